"""The embedded PostgreSQL: a private server for this checkout, used when the environment names no database.

Reading order: ``location`` (where, as whom), ``binaries`` (which PostgreSQL), ``server`` (start, stop, crashes).
Which database is used at all is decided in ``scheduler_project/database.py``.
"""
