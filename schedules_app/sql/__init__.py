"""Statements of this app, one per file; how they are written and read: ``tasks_app/sql/__init__.py``."""
