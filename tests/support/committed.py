"""The database of tests whose commits are real: emptied after each, over connections that are not opened anew for each.

Measured for a test that makes a worker and a task and runs a pass: TRUNCATE 17 to 50 ms, of them 14 ms CPU of the
server, DELETE of as few rows 2 ms; a new connection 5 ms, and the plans of the pass 11 ms more.
"""

from __future__ import annotations

from typing import Final

import psycopg
from django.conf import settings
from django.db import Error, connection
from psycopg.pq import TransactionStatus

from tasks_app.sessions import Session

OURS: Final = (
    "tasks",
    "task_executions",
    "audit_events",
    "freezes",
    "idempotency_keys",
    "schedules",
    "schedule_fires",
    "blackout_calendars",
    "queues",
    "buckets",
    "key_buckets",
    "targets",
    "queue_turns",
    "queue_keys",
    "api_keys",
    "worker_heartbeats",
    "scheduler_heartbeats",
    "task_needs",
    "task_edges",
    "task_joins",
    "task_inputs",
    "task_progress",
    "task_output",
    "bulk_operations",
    "webhook_endpoints",
    "deliveries",
    "batches",
    "marks",
    "metric_minutes",
    "task_failures",
    "failure_groups",
)
_TRUNCATE: Final = f"TRUNCATE {', '.join(OURS)} RESTART IDENTITY"
#: What ANALYZE, or an autovacuum, has found out in a test before: TRUNCATE keeps it.
_FORGET: Final = f"""
SET allow_system_table_mods = on;
DELETE FROM pg_statistic WHERE starelid = ANY('{{{",".join(OURS)}}}'::regclass[]);
RESET allow_system_table_mods
"""
# The lock waits for who is still writing, as TRUNCATE does by itself; without triggers, the order of tables is free.
# What is deleted stays on disk until it is vacuumed: beyond a megabyte, TRUNCATE is the cheaper one.
_EMPTY: Final = f"""
DO $$
BEGIN
  LOCK TABLE {", ".join(OURS)};
  SET LOCAL session_replication_role = replica;
  IF EXISTS (SELECT FROM unnest('{{{",".join(OURS)}}}'::regclass[]) AS t WHERE pg_relation_size(t) > 1000000) THEN
    {_TRUNCATE};
  END IF;
  {"".join(f"IF EXISTS (SELECT FROM {table}) THEN DELETE FROM {table}; END IF;" for table in OURS)}
END $$
"""
_LIKE_NEW: Final = b"RESET ALL; UNLISTEN *; CLOSE ALL; DISCARD TEMP; SELECT pg_advisory_unlock_all()"
#: A connection that is closed does so by itself; what an idle one has counted would reach a later test.
_COUNTED: Final = "SELECT pg_stat_force_next_flush()"


def empty_tables() -> None:
    """Empty all tables of ours, over Django's connection; anew when the test has broken it."""
    try:
        _empty()
    except Error:
        connection.close()
        _empty()


def begin_with_new_tables() -> None:
    """As they are in a new database, for what looks at pages and plans: no dead rows, and the planner knows nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_TRUNCATE)
        cursor.execute(_FORGET)


def _empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ALL")
        cursor.execute(_EMPTY)
        cursor.execute(_COUNTED)


class IdleConnections:
    """Connections of ended tests, which sessions of the next ones begin with."""

    def __init__(self) -> None:
        self._idle: list[psycopg.Connection] = []
        self._database = settings.DATABASE

    def session(self) -> Session:
        """As new: it has no connection before its first use. A second one is opened anew, whatever is idle."""
        return _SecondHand(self)

    def take(self) -> psycopg.Connection | None:
        while self._idle and settings.DATABASE is self._database:  # which some tests change, to a pooler say
            if _is_alive(taken := self._idle.pop()):
                return taken
        return None

    def put(self, session: Session) -> None:
        """Keep what a session leaves when nothing of its test is left in it, else close it."""
        used, session._connection = session._connection, None
        if used is None or used.closed:
            return
        if (
            settings.DATABASE is self._database
            and used.autocommit
            and used.info.transaction_status == TransactionStatus.IDLE
            and _is_alive(used)
        ):
            self._idle.append(used)
        else:
            used.close()

    def close(self) -> None:
        for idle in self._idle:
            idle.close()


class _SecondHand(Session):
    def __init__(self, idle: IdleConnections) -> None:
        super().__init__("test")
        self._idle = idle

    def _connect(self) -> psycopg.Connection:
        return (self._idle.take() if self.epoch == 0 else None) or super()._connect()


def _is_alive(idle: psycopg.Connection) -> bool:
    """Whether it is still connected; then nothing that a test may have set for it holds."""
    try:
        idle.execute(_LIKE_NEW)
        idle.execute(_COUNTED)
    except psycopg.Error:
        idle.close()
        return False
    return True
