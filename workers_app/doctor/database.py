"""The way to the database: connection, migrations, clock, poolers, and whether wake-ups arrive."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from django.conf import settings

from access_app.database_faults import DatabaseAway, Kind, fault, fault_of
from access_app.migrations_state import MadeBefore, pending_migrations
from tasks_app import wakeups
from tasks_app.sessions import PLANNING, Session
from workers_app.doctor.finding import Finding

#: Clocks may differ this much before people are confused by times in logs. Nothing else depends on it.
CLOCK_SKEW: Final = 2.0
OLDEST_VERSION: Final = 140000
WAKE_UP_WITHIN: Final = 2.0

#: By the source of the setting, as pg_settings names it.
_HOW_TO_WRITE: Final = {
    "configuration file": "take default_transaction_read_only out of postgresql.conf; somebody had a reason to set it",
    "database": "ALTER DATABASE … RESET default_transaction_read_only; somebody had a reason to set it",
    "user": "ALTER ROLE … RESET default_transaction_read_only; somebody had a reason to set it",
    "database user": "ALTER ROLE … IN DATABASE … RESET default_transaction_read_only; somebody had a reason to set it",
    "client": "take default_transaction_read_only out of the options of DATABASE_URL",
}


def check_connection(session: Session) -> Finding:
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


def how_to_connect(error: DatabaseAway) -> str:
    if "startup parameter" in str(error):  # PgBouncer's words for what it does not know
        return "a pooler refuses what direct connections ask for: set DIRECT_DATABASE_URL to an address past it, or off"
    return (fault_of(error) or fault(Kind.UNREACHABLE)).advice


def check_migrations(_: Session) -> Finding:
    try:
        pending = pending_migrations()
    except MadeBefore as error:
        return Finding("migrations", False, "of an earlier commit", str(error))
    detail = f"{len(pending)} not applied" if pending else "all applied"
    return Finding("migrations", not pending, detail, "run `python manage.py migrate`")


def check_clock(session: Session) -> Finding:
    before = datetime.now(UTC)
    [(there,)] = session.fetch("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    skew = (there - before - (after - before) / 2).total_seconds()
    advice = "run NTP on both hosts; due times follow the database's clock, so nothing else breaks"
    return Finding("clock", abs(skew) <= CLOCK_SKEW, f"this host is {-skew:+.3f} s off the database's clock", advice)


def check_writable(session: Session) -> Finding:
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


def check_pooler(session: Session) -> Finding:
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


def check_session_settings(session: Session) -> Finding:
    """What every session asks for must arrive: a pooler may drop it (``ignore_startup_parameters``)."""
    found = {name: session.fetch("SELECT current_setting(%s)", [name])[0][0] for name in PLANNING}
    wrong = ", ".join(
        f"{name} is {found[name]}, not {value}" for name, value in PLANNING.items() if found[name] != value
    )
    advice = "let the pooler pass `options` on, or set DIRECT_DATABASE_URL"
    return Finding("session settings", not wrong, wrong or f"{len(PLANNING)} arrive", advice)


def check_wakeups(_: Session) -> Finding:
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
