"""Checks an installation from where it is run, and says what to do about each red line. Reads; changes nothing.

Each check is a function that answers one `Finding`. What must hold of the rows is ``workers_app.invariants``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import psycopg
from django.conf import settings
from django.db import DatabaseError

from access_app.database_faults import DatabaseAway, Kind, fault, fault_of
from access_app.migrations_state import MadeBefore, pending_migrations
from schedules_app.selectors import OVERDUE
from tasks_app import wakeups
from tasks_app.executors import shell_sandbox
from tasks_app.executors.shell import ShellExecutor
from tasks_app.sessions import PLANNING, Session
from workers_app import invariants, tables

#: Clocks may differ this much before people are confused by times in logs. Nothing else depends on it.
CLOCK_SKEW: Final = 2.0
OLDEST_VERSION: Final = 140000
WAKE_UP_WITHIN: Final = 2.0
#: A key that was used this lately, and ends this soon, is told.
KEY_IN_USE: Final = timedelta(days=30)
KEY_ENDS_SOON: Final = timedelta(days=7)
#: Dead rows of a table that nobody has vacuumed for a while: fewer are normal between two rounds of autovacuum.
MOST_DEAD: Final = 10_000
MOST_DEAD_SHARE: Final = 0.3
VACUUM_WITHIN: Final = 600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``advice`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Run every check in order; those behind a missing connection or missing tables are left out."""
    with closing(Session("doctor")) as session:
        try:
            yield _connection(session)
        except DatabaseAway as error:
            yield Finding("connection", False, str(error).strip(), _how_to_connect(error))
            return
        for check in _CHECKS:
            yield (finding := _look(check, session))
            if check is _migrations and not finding.ok:
                return


def _look(check: Callable[[Session], Finding], session: Session) -> Finding:
    try:
        return check(session)
    except (DatabaseAway, DatabaseError, psycopg.Error) as error:
        found = fault_of(error)
        advice = "look at the database's log" if found is None else found.advice
        return Finding(check.__name__.strip("_"), False, str(error).strip(), advice)


def _how_to_connect(error: DatabaseAway) -> str:
    if "startup parameter" in str(error):  # PgBouncer's words for what it does not know
        return "a pooler refuses what direct connections ask for: set DIRECT_DATABASE_URL to an address past it, or off"
    return (fault_of(error) or fault(Kind.UNREACHABLE)).advice


def _connection(session: Session) -> Finding:
    began = time.perf_counter()
    session.fetch("SELECT 1")
    opened = time.perf_counter() - began
    began = time.perf_counter()
    [(version, number)] = session.fetch(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int"
    )
    trip = time.perf_counter() - began
    detail = f"PostgreSQL {version}, connected in {opened * 1000:.0f} ms, round trip {trip * 1000:.1f} ms"
    return Finding("connection", number >= OLDEST_VERSION, detail, "PostgreSQL 14 or newer is needed")


def _migrations(_: Session) -> Finding:
    try:
        pending = pending_migrations()
    except MadeBefore as error:
        return Finding("migrations", False, "of an earlier commit", str(error))
    detail = f"{len(pending)} not applied" if pending else "all applied"
    return Finding("migrations", not pending, detail, "run `python manage.py migrate`")


def _clock(session: Session) -> Finding:
    before = datetime.now(UTC)
    [(there,)] = session.fetch("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    skew = (there - before - (after - before) / 2).total_seconds()
    advice = "run NTP on both hosts; due times follow the database's clock, so nothing else breaks"
    return Finding("clock", abs(skew) <= CLOCK_SKEW, f"this host is {-skew:+.3f} s off the database's clock", advice)


def _writable(session: Session) -> Finding:
    [(standby, read_only, source)] = session.fetch(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',"
        " (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only')"
    )
    if standby:
        advice = "add target_session_attrs=read-write to DATABASE_URL"
        return Finding("writable", False, "a standby: it cannot be written", advice)
    if read_only:
        detail = f"a primary, but default_transaction_read_only is on ({source})"
        return Finding("writable", False, detail, _HOW_TO_WRITE.get(source, _HOW_TO_WRITE["configuration file"]))
    return Finding("writable", True, "a primary")


#: By the source of the setting, as pg_settings names it.
_HOW_TO_WRITE: Final = {
    "configuration file": "take default_transaction_read_only out of postgresql.conf; somebody had a reason to set it",
    "database": "ALTER DATABASE … RESET default_transaction_read_only; somebody had a reason to set it",
    "user": "ALTER ROLE … RESET default_transaction_read_only; somebody had a reason to set it",
    "database user": "ALTER ROLE … IN DATABASE … RESET default_transaction_read_only; somebody had a reason to set it",
    "client": "take default_transaction_read_only out of the options of DATABASE_URL",
}


def _pooler(session: Session) -> Finding:
    """A transaction pooler forgets what a session set: then hot plans and LISTEN need DIRECT_DATABASE_URL."""
    kept = _keeps_its_server(session)
    pooled = settings.DATABASE.behind_pooler
    detail = "sessions are kept" if kept else "a transaction pooler"
    advice = "set DIRECT_DATABASE_URL to an address past the pooler, or to off"
    return Finding("pooler", kept or pooled, detail + (" (DIRECT_DATABASE_URL is set)" if pooled else ""), advice)


def _keeps_its_server(session: Session) -> bool:
    """Whether one connection is one server session, also after another one has taken the one it had last.

    A pooler gives an idle session to whoever asks next, so a single client may be given the same one for ever.
    """
    pids = {session.fetch("SELECT pg_backend_pid()")[0][0] for _ in range(5)}
    with closing(Session("doctor")) as other:
        other.execute("BEGIN")
        other.fetch("SELECT pg_backend_pid()")
        pids.add(session.fetch("SELECT pg_backend_pid()")[0][0])
        other.execute("ROLLBACK")
    return len(pids) == 1


def _session_settings(session: Session) -> Finding:
    """What every session asks for must arrive: a pooler may drop it (``ignore_startup_parameters``)."""
    found = {name: session.fetch("SELECT current_setting(%s)", [name])[0][0] for name in PLANNING}
    wrong = ", ".join(
        f"{name} is {found[name]}, not {value}" for name, value in PLANNING.items() if found[name] != value
    )
    advice = "let the pooler pass `options` on, or set DIRECT_DATABASE_URL"
    return Finding("session settings", not wrong, wrong or f"{len(PLANNING)} arrive", advice)


def _wakeups(_: Session) -> Finding:
    if not wakeups.enabled():
        seconds = wakeups.longest_rest().total_seconds()
        return Finding("wake-ups", True, f"off: polling every {seconds:g} s")
    channel, message = "task_scheduler_doctor", uuid4().hex
    with closing(Session("doctor", direct=True)) as ear, closing(Session("doctor")) as mouth:
        ear.execute(f"LISTEN {channel}")
        began = time.perf_counter()
        mouth.execute("SELECT pg_notify(%s, %s)", [channel, message])
        heard = any(note.payload == message for note in ear.connection.notifies(timeout=WAKE_UP_WITHIN, stop_after=1))
        took = time.perf_counter() - began
    detail = f"heard after {took * 1000:.1f} ms" if heard else f"not heard within {WAKE_UP_WITHIN:g} s"
    return Finding("wake-ups", heard, detail, "LISTEN needs a direct connection: set DIRECT_DATABASE_URL")


def _schedulers(session: Session) -> Finding:
    [(alive,)] = session.fetch(
        "SELECT count(*) FROM scheduler_heartbeats"
        " WHERE stopped_at IS NULL AND last_heartbeat_at > now() - make_interval(secs => %s)",
        [settings.SCHEDULER.heartbeat_timeout.total_seconds()],
    )
    return Finding("schedulers", alive > 0, f"{alive} alive", "start `python manage.py runscheduler`")


def _schedules(session: Session) -> Finding:
    [(enabled, overdue, seconds, put_off)] = session.fetch(
        "SELECT count(*), count(*) FILTER (WHERE next_fire_at < now() - make_interval(secs => %s)),"
        " coalesce(extract(epoch FROM now() - min(next_fire_at)), 0)::float8, count(*) FILTER (WHERE put_offs > 0)"
        " FROM schedules WHERE next_fire_at IS NOT NULL",
        [OVERDUE.total_seconds()],
    )
    detail = f"{enabled} enabled, {overdue} overdue" + (f" for up to {seconds:.0f} s" if overdue else "")
    if put_off:
        detail += f", {put_off} put off"
    advice = "start `python manage.py runscheduler`; when one runs, look in its log for schedule_not_decided"
    if put_off and not overdue:
        advice = "ask `why` of those that the list in the admin shows as put off, and edit them"
    return Finding("schedules", not overdue and not put_off, detail, advice)


def _api_keys(session: Session) -> Finding:
    """Whoever calls with a key that ends calls in vain, and may notice late: an expiry is the default."""
    rows = session.fetch(
        "SELECT name FROM api_keys WHERE revoked_at IS NULL AND last_used_at > now() - %s"
        " AND expires_at BETWEEN now() AND now() + %s ORDER BY expires_at LIMIT 10",
        [KEY_IN_USE, KEY_ENDS_SOON],
    )
    names = ", ".join(name for (name,) in rows)
    detail = (
        f"in use and about to expire: {names}" if names else f"none in use expires within {KEY_ENDS_SOON.days} days"
    )
    return Finding(
        "api keys", not names, detail, "make new keys (`createapikey`), move the callers over, revoke the old"
    )


def _workers(session: Session) -> Finding:
    [(alive, slots)] = session.fetch(
        "SELECT count(*), coalesce(sum(slots), 0) FROM worker_heartbeats WHERE state = 'ACTIVE'"
    )
    return Finding("workers", alive > 0, f"{alive} active with {slots} slots", "start `python manage.py runworker`")


def _sandbox(_: Session) -> Finding:
    """Of this host: workers run elsewhere ask it of theirs."""
    config = settings.SCHEDULER
    if not config.shell_tasks_enabled:
        return Finding("sandbox", True, "SHELL tasks are off here")
    with closing(ShellExecutor()) as executor:
        why = shell_sandbox.problem(config, executor)
    detail = f"SHELL_SANDBOX={config.shell_sandbox}" + (f": {why}" if why else " works here")
    advice = "mend that, or choose a level that this host can do: no worker starts here"
    return Finding("sandbox", not why, detail, advice)


def _autovacuum(session: Session) -> Finding:
    off = [table.name for table in tables.table_health(session) if not table.autovacuum]
    detail = f"off for {', '.join(off)}" if off else "on for every hot table"
    advice = "turn `autovacuum` and `track_counts` on in postgresql.conf; ALTER TABLE … RESET (autovacuum_enabled)"
    return Finding("autovacuum", not off, detail, advice)


def _dead_rows(session: Session) -> Finding:
    """Many dead rows are a problem only where vacuum has not been for a while: between two rounds they come and go."""
    parts, bad = [], []
    for table in tables.table_health(session):
        share, ago = table.dead / max(1, table.live + table.dead), table.vacuumed_ago
        vacuumed = "never vacuumed" if ago is None else f"vacuumed {ago / 60:.0f} min ago"
        parts.append(f"{table.name} {share:.0%} ({vacuumed})")
        if table.dead >= MOST_DEAD and share >= MOST_DEAD_SHARE and (ago is None or ago >= VACUUM_WITHIN):
            bad.append(table.name)
    advice = f"run VACUUM {', '.join(bad)}; when that removes nothing, see the line old snapshot"
    return Finding("dead rows", not bad, "; ".join(parts), advice)


def _old_snapshot(session: Session) -> Finding:
    """The one that has kept dead rows from being removed for longest, and how to end that."""
    holders = tables.old_snapshots(session)
    too_old = [holder for holder in holders if holder.is_too_old]
    if not holders:
        return Finding("old snapshot", True, "nothing holds back vacuum")
    first = (too_old or holders)[0]
    since = "" if first.seconds is None else f" for {first.seconds:.0f} s"
    detail = f"{first.kind} {first.name} ({first.detail}) holds back vacuum{since}, {first.age} transactions"
    return Finding("old snapshot", not too_old, detail, _HOW_TO_END[first.kind].format(name=first.name))


#: By kind of holder in `old_snapshots.sql`.
_HOW_TO_END: Final = {
    "session": "end it: SELECT pg_terminate_backend({name}); idle_in_transaction_session_timeout prevents it",
    "standby": "look for a long query on that standby, or turn its hot_standby_feedback off",
    "slot": "drop it if nobody will use it again: SELECT pg_drop_replication_slot('{name}')",
    "prepared": "COMMIT PREPARED or ROLLBACK PREPARED '{name}'",
}


def _index_bloat(session: Session) -> Finding:
    sizes = tables.index_sizes(session)
    bloated = [index for index in sizes if index.is_bloated]
    if not bloated:
        return Finding("index bloat", True, f"none of {len(sizes)} indexes is far larger than its entries")
    parts = [f"{index.name} takes {index.size / 2**20:.0f} MiB for {index.entries:.0f} entries" for index in bloated]
    return Finding("index bloat", False, "; ".join(parts), f"run REINDEX INDEX CONCURRENTLY {bloated[0].name}")


def _invariants(session: Session) -> Finding:
    broken = invariants.violations(session)
    detail = "; ".join(f"{name}: {count} rows" for name, count in broken.items()) or f"{len(invariants.QUERIES)} hold"
    return Finding("invariants", not broken, detail, "this is a defect: keep the rows and report it")


_CHECKS: Final[tuple[Callable[[Session], Finding], ...]] = (
    _migrations,
    _writable,
    _clock,
    _pooler,
    _session_settings,
    _wakeups,
    _schedulers,
    _schedules,
    _api_keys,
    _workers,
    _sandbox,
    _autovacuum,
    _dead_rows,
    _old_snapshot,
    _index_bloat,
    _invariants,
)
