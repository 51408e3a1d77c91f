"""Statements of this app, one per file; how they are written and read: ``access_app.sql``."""
