"""The report: every check in its order, and what becomes of one that cannot be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import psycopg
from django.db import DatabaseError

from access_app.database_faults import DatabaseAway, fault_of
from tasks_app.sessions import Session
from workers_app.doctor import database, processes, tables
from workers_app.doctor.finding import Finding

#: By the name of what is found, in the order of the report. Without a database that is migrated, nothing else is known.
CHECKS: Final[dict[str, Callable[[Session], Finding]]] = {
    "migrations": database.check_migrations,
    "writable": database.check_writable,
    "clock": database.check_clock,
    "pooler": database.check_pooler,
    "session settings": database.check_session_settings,
    "wake-ups": database.check_wakeups,
    "schedulers": processes.check_schedulers,
    "schedules": processes.check_schedules,
    "api keys": processes.check_api_keys,
    "workers": processes.check_workers,
    "sandbox": processes.check_sandbox,
    "autovacuum": tables.check_autovacuum,
    "dead rows": tables.check_dead_rows,
    "old snapshot": tables.check_old_snapshot,
    "index bloat": tables.check_index_bloat,
    "invariants": tables.check_invariants,
}


def examine() -> Iterator[Finding]:
    """Run every check in order; those behind a missing connection or missing tables are left out."""
    with closing(Session("doctor")) as session:
        try:
            yield database.check_connection(session)
        except DatabaseAway as error:
            yield Finding("connection", False, str(error).strip(), database.how_to_connect(error))
            return
        for name, check in CHECKS.items():
            yield (finding := _look(name, check, session))
            if name == "migrations" and not finding.ok:
                return


def _look(name: str, check: Callable[[Session], Finding], session: Session) -> Finding:
    try:
        return check(session)
    except (DatabaseAway, DatabaseError, psycopg.Error) as error:
        found = fault_of(error)
        advice = "look at the database's log" if found is None else found.advice
        return Finding(name, False, str(error).strip(), advice)
