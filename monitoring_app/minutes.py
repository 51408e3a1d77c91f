"""Chores of schedulers that keep `MetricMinute`: adding what ended, noting what waits, deleting what is old.

Any number of schedulers may do them at once. Attempts are counted as they were committed, each once, so that the
minutes equal a scan of the history; what waits is looked at by whoever is first in a minute.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

import psycopg
from django.conf import settings

from flow_app import figures
from flow_app.figures import Figures
from monitoring_app.busiest import MOST_LOOKED_AT, MOST_NAMED
from monitoring_app.histograms import BOUNDS
from monitoring_app.labels import OTHER
from tasks_app.sessions import BATCH, Session
from workers_app.processes import chores
from workers_app.processes.chores import Chore

#: What ended is on the charts after as long, or twice that while attempts end all the time.
EVERY: Final = timedelta(seconds=15)
OLD_EVERY: Final = timedelta(minutes=10)
KEPT: Final = timedelta(days=30)
#: Ids counted in one transaction, some tenth of a second; and how many seconds a backlog is worked off at a time.
MOST_COUNTED: Final = 20_000
PATIENCE: Final = 0.5
_SEEN: Final = """
SELECT FROM metric_minutes
 WHERE span = 1 AND at = date_trunc('minute', now(), 'UTC') AND kind = 'system'
"""
#: Sessions of schedulers have none, as nothing hot may turn to them; here they are of what has just been counted.
_HASH_JOINS: Final = "SELECT set_config('enable_hashjoin', 'on', true)"


def register() -> None:
    """Give the chores to schedulers, when the app starts."""
    chores.register(lambda: Chore("minutes_kept", EVERY, keep_minutes))
    chores.register(lambda: Chore("old_minutes_deleted", OLD_EVERY, delete_old))


def keep_minutes(session: Session) -> int:
    """Add what ended, and note what waits. Returns 0: tasks wait for none of it. Raises `DatabaseAway`."""
    roll_up(session)
    sample(session)
    return 0


def roll_up(session: Session) -> None:
    """Count what is new: the first call notes how far the history goes, the second counts up to there.

    While attempts are being recorded, the second finds what was noted unsettled, and the next time counts it.
    """
    over = time.monotonic() + PATIENCE
    roll_up_minutes(session)
    while roll_up_minutes(session) == MOST_COUNTED and time.monotonic() < over:
        pass


def roll_up_minutes(session: Session, *, most: int = MOST_COUNTED) -> int:
    """Count up to ``most`` ids of attempts; return how many. Raises `DatabaseAway`."""
    parameters = {
        "most": most,
        "bounds": list(BOUNDS),
        "kept": KEPT,
        "other": OTHER,
        "most_queues": MOST_NAMED,
    }
    try:
        with session.connection.transaction():
            session.connection.execute(_HASH_JOINS)
            found = session.send("roll_up_minutes", parameters).fetchall()
    except psycopg.Error as error:
        session.fail(error)
    return sum(counted for (counted,) in found)


def sample(session: Session) -> None:
    """Note what waits in queues and how many slots are used, unless that was done in this minute."""
    if session.fetch(_SEEN):
        return
    ask = figures.asking(session)
    try:
        names, _ = figures.find_some(most=MOST_LOOKED_AT, ask=ask)
        measured = figures.measure_deeply(names, ask=ask)
    except psycopg.Error as error:
        session.fail(error)
    sample_minute(session, measured)


def sample_minute(session: Session, measured: dict[str, Figures]) -> None:
    """Note what was measured of queues; the fullest have rows of their own."""
    fullest = sorted(measured, key=lambda name: (-_load(measured[name]), name))
    seen = [name for name in fullest if _load(measured[name])]
    parameters: dict[str, Any] = {
        "names": seen,
        "waiting": [measured[name].waiting for name in seen],
        "oldest_due": [measured[name].oldest_due_seconds for name in seen],
        "other": OTHER,
        "most_queues": MOST_NAMED,
        "lease": settings.SCHEDULER.heartbeat_timeout,
    }
    try:
        session.send("sample_minute", parameters)
    except psycopg.Error as error:
        session.fail(error)


def delete_old(session: Session) -> int:
    """Delete minutes past their time, batch by batch; returns 0, as `keep_minutes` does. Raises `DatabaseAway`."""
    while delete_old_minutes(session) == BATCH:
        pass
    return 0


def delete_old_minutes(session: Session, *, limit: int = BATCH) -> int:
    """Delete some of them; return how many."""
    [(deleted,)] = session.rows("delete_old_minutes", {"kept": KEPT, "limit": limit})
    return int(deleted)


def _load(found: Figures) -> int:
    return found.waiting + found.scheduled + found.running
