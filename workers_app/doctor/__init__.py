"""Checks an installation from where it is run, and says what to do about each red line. Reads; changes nothing.

Each check is a function that returns one `Finding`: ``database.py`` looks at the way there, ``processes.py`` at what
should run, ``tables.py`` at the tables. What must hold of the rows is ``workers_app.invariants``.
"""

from workers_app.doctor.finding import Finding
from workers_app.doctor.report import examine

__all__ = ["Finding", "examine"]
