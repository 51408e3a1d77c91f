"""The firing pass: due schedules become decisions, ledger rows and tasks, in one transaction.

Any number of schedulers make passes at the same time; none leads. Each locks the due schedules that nobody else has
locked (``sql/due_schedules.sql``), asks the rules what becomes of their slots, and writes the ledger, the tasks and the
next times together (``sql/record_fires.sql``): after a crash anywhere there is either all of it or nothing. What cannot
be decided for one schedule is put off and reported, and stops no other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

import psycopg
import structlog

from access_app.sql import Copying, Cursor, statement
from schedules_app import signals
from schedules_app.batch_templates import Open, OpenBatch
from schedules_app.batches import Batch, FireReport
from schedules_app.calendars import Calendar, parse_calendar
from schedules_app.effort import TooCostly
from schedules_app.firing_rules import Overlap, Pause
from schedules_app.recurrence import InvalidRecurrence
from schedules_app.stored import StoredSchedule
from schedules_app.zones import UnknownZone, zone
from tasks_app.sessions import Session

#: Most schedules one pass decides.
BATCH: Final = 500
#: Seconds of deciding after which a pass writes what it has: the server ends a transaction that stands still for two.
LONGEST_LOOK: Final = 0.5

#: In how many seconds the next schedule is due; NULL: none ever. Index: schedules_due.
NEXT_DUE: Final = (
    "SELECT extract(epoch FROM min(next_fire_at) - now())::float8 FROM schedules WHERE next_fire_at IS NOT NULL"
)

log = structlog.get_logger(__name__)


def fire_due(session: Session, *, limit: int = BATCH) -> FireReport:
    """Make one pass over at most ``limit`` due schedules. Raises `DatabaseAway`; then it may have been committed."""
    try:
        with session.connection.transaction(), session.connection.cursor() as cursor:
            report = fire(cursor, _due_schedules(cursor, limit))
    except psycopg.Error as error:
        session.fail(error)
    report.more = report.more or report.schedules == limit
    announce(report)
    return report


def _due_schedules(cursor: Cursor, limit: int) -> list[StoredSchedule]:
    """Lock schedules that have something to decide, the longest overdue first."""
    cursor.execute(statement("due_schedules"), {"limit": limit})
    return [StoredSchedule._make(row) for row in cursor.fetchall()]


def fire(cursor: Copying, rows: Sequence[StoredSchedule], *, pause: Pause | None = None) -> FireReport:
    """Decide the due slots of schedules the caller has locked, in the caller's transaction.

    ``pause``: decide as if they were paused like this.
    """
    if not rows:
        return FireReport()
    calendars, open_tasks = _calendars(cursor, rows), _open_tasks(cursor, rows)
    batch, end = Batch(rows[0].now, cursor), time.monotonic() + LONGEST_LOOK
    for row in sorted(rows, key=lambda each: each.put_offs > 0):  # what could not be decided delays no other
        if len(batch) and (batch.making.is_full or time.monotonic() > end):
            batch.report.more = True
            break
        try:
            batch.add(row, calendars, open_tasks.get(row.id, ()), pause)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, a defect of ours too: the others must fire
            _put_off(batch, row, error)
    batch.write(cursor)
    return batch.report


def announce(report: FireReport) -> None:
    """Report what was committed to whoever listens."""
    if report.states:
        signals.schedules_fired.send_robust(FireReport, report=report)


def follow_zone_rules(session: Session, *, limit: int = 1000) -> int:
    """Compute next slots anew, at most ``limit``, where the rules of a zone changed since; return how many.

    No wall clock that was decided comes again. A pass does the same for what is due; this is for slots that come sooner
    now. Raises `DatabaseAway`.
    """
    rules = _rules_of_today(session)
    try:
        with session.connection.transaction(), session.connection.cursor() as cursor:
            rows = _schedules_under_old_rules(cursor, rules, limit)
            if rows:
                batch = Batch(rows[0].now, cursor)
                for row in rows:
                    try:
                        batch.follow(row)
                    except Exception as error:  # noqa: BLE001 - as in a pass
                        _put_off(batch, row, error, rules[row.timezone])
                batch.write(cursor)
    except psycopg.Error as error:
        session.fail(error)
    return len(rows)


def _schedules_under_old_rules(cursor: Cursor, rules: Mapping[str, str], limit: int) -> list[StoredSchedule]:
    """Lock schedules whose next slot was computed under other rules of its zone than those given."""
    parameters = {"zones": list(rules), "rules": list(rules.values()), "limit": limit}
    cursor.execute(statement("schedules_under_old_rules"), parameters)
    return [StoredSchedule._make(row) for row in cursor.fetchall()]


def _put_off(batch: Batch, row: StoredSchedule, error: Exception, rules: str = "") -> None:
    again_at = batch.put_off(row, error, rules)
    known = isinstance(error, (InvalidRecurrence, TooCostly))  # a traceback would say nothing more
    log.error(
        "schedule_not_decided",
        schedule=row.name,
        schedule_id=str(row.id),
        reason=str(error),
        times=row.put_offs + 1,
        again_at=again_at.isoformat(),
        exc_info=None if known else error,
    )


def _rules_of_today(session: Session) -> dict[str, str]:
    found = session.fetch("SELECT DISTINCT timezone, now() FROM schedules WHERE next_fire_at IS NOT NULL")
    rules = {}
    for name, now in found:
        try:
            rules[name] = zone(name).fingerprint(now)
        except UnknownZone:  # reported by each pass that cannot decide its schedules
            continue
    return rules


def _calendars(cursor: Cursor, rows: Iterable[StoredSchedule]) -> dict[str, Calendar]:
    names = sorted({name for row in rows for name in row.calendars})
    if not names:
        return {}
    cursor.execute(
        "SELECT name, timezone, on_blackout, ranges::text FROM blackout_calendars WHERE name = ANY(%s)", [names]
    )
    return {row[0]: _parsed_calendar(*row) for row in cursor.fetchall()}


@lru_cache(maxsize=256)
def _parsed_calendar(name: str, timezone: str, on_blackout: str, ranges: str) -> Calendar:
    return parse_calendar(name, timezone, on_blackout, json.loads(ranges))


def _open_tasks(cursor: Cursor, rows: Iterable[StoredSchedule]) -> dict[UUID, list[Open]]:
    ids = [row.id for row in rows if row.overlap != Overlap.ALLOW]
    if not ids:
        return {}
    cursor.execute(statement("open_tasks"), {"schedules": ids})
    return {pk: [*tasks, *map(OpenBatch, batches)] for pk, tasks, batches in cursor.fetchall()}
