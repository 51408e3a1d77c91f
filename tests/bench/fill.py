"""Tasks to measure with: created by the service as an application would, or, where millions are needed, in SQL."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench.bench import Bench

BATCH = 5_000
#: Rows of one statement.
AT_ONCE = 1_000_000
NOBODY = "00000000-0000-7000-8000-000000000000"

# Time-ordered ids like those of access_app/ids.py, so many to a millisecond, that end now; the salt keeps two fills
# apart.
_MS = "(%(milliseconds)s::bigint + floor((i - %(count)s::bigint) / %(each_ms)s::float8)::bigint)"
_ID = f"""
(lpad(to_hex({_MS}), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0')
 || '8' || lpad(to_hex(%(salt)s::bigint + i), 15, '0'))::uuid"""
_ROWS = f"(SELECT {_ID} AS id, i FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i) AS made"

_WAITING = f"""
INSERT INTO tasks (id, created_at, schedule_at, run_at, max_retries, timeout_ms, priority, type, queue, created_by,
                   concurrency_key)
SELECT id, now(), %(run_at)s, %(run_at)s, 3, 300000, %(priority)s, 'DUMMY', %(queue)s, 'bench', %(key)s
  FROM {_ROWS}"""

_ENDED = f"""
WITH ended AS (
  INSERT INTO tasks (id, created_at, schedule_at, run_at, assigned_at, started_at, finished_at, worker_id, version,
                     attempt, max_retries, timeout_ms, type, status, created_by)
  SELECT id, at, at, at, at, at, at, %(worker)s, 4,
         1, 3, 300000, 'DUMMY', 'SUCCESS', 'bench'
    FROM {_ROWS}, LATERAL (SELECT to_timestamp({_MS} / 1000.0) AS at) AS times
  RETURNING id, run_at, worker_id)
INSERT INTO task_executions (task_id, attempt, worker_id, type, due_at, assigned_at, started_at, finished_at, status,
                             task_status, result)
SELECT id, 1, worker_id, 'DUMMY', run_at, run_at, run_at, run_at, 'SUCCESS', 'SUCCESS', '{{"sleptMs": 0}}' FROM ended"""


def create(count: int, task: NewTask | None = None) -> float:
    """Create tasks with the service, in batches, and return how many seconds it took."""
    began = time.monotonic()
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        create_tasks([task or NewTask(type="DUMMY") for _ in range(size)], created_by="bench")
    return time.monotonic() - began


def fill_waiting(
    bench: Bench,
    count: int,
    *,
    run_at: datetime | None = None,
    priority: int = 0,
    queue: str = "default",
    key: str | None = None,
) -> None:
    """Waiting DUMMY tasks, in SQL."""
    due = run_at or bench.one(bench.watch, "SELECT now()")
    _fill(bench, _WAITING, count, run_at=due, priority=priority, queue=queue, key=key)


def fill_ended(bench: Bench, count: int) -> None:
    """Tasks that have succeeded just now, with their history, in SQL."""
    _fill(bench, _ENDED, count, worker=NOBODY)


def fill_history(bench: Bench, count: int, *, per_second: int) -> None:
    """Tasks that have succeeded, so many a second until now, with their history, in SQL."""
    _fill(bench, _ENDED, count, each_ms=per_second / 1000, worker=NOBODY)


def _fill(bench: Bench, sql: str, count: int, *, each_ms: float = 4096, **columns: Any) -> None:
    salt = int.from_bytes(os.urandom(6)) << 8
    given = {"count": count, "milliseconds": time.time_ns() // 1_000_000, "salt": salt, "each_ms": each_ms}
    for first in range(1, count + 1, AT_ONCE):
        part = {"first": first, "last": min(count, first + AT_ONCE - 1)}
        bench.watch.execute(sql.encode(), given | part | columns)
