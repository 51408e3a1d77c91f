"""Statements about processes: registration, beats, death. Loaded by ``tasks_app.sql.statement``."""
