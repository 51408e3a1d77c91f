"""Fixtures of every test. The database is a scratch cluster of the session's own; see ``tests/support/cluster.py``."""
