"""Attempts that end in transactions of a test's own, and what minutes must say of all that were committed: a scan."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from monitoring_app.histograms import BOUNDS
from monitoring_app.models import MetricMark, MetricMinute
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session

COUNTS = ("success", "failed", "timed_out", "cancelled", "lost", "released", "retried", "given_up")
SPANS = (1, 10, 60)
#: Status of the attempt and where it took its task.
ENDS = (
    ("SUCCESS", "SUCCESS"), ("FAILED", "PENDING"), ("FAILED", "FAILED"), ("TIMED_OUT", "PENDING"),
    ("TIMED_OUT", "FAILED"), ("CANCELLED", "CANCELLED"), ("LOST", "PENDING"), ("LOST", "FAILED"),
    ("RELEASED", "PENDING"),
)  # fmt: skip
#: As statements of the engine: a transaction has its id before its rows have theirs.
_END = """
INSERT INTO task_executions (task_id, attempt, worker_id, due_at, started_at, finished_at, type, status, task_status)
SELECT id, %s, %s, %s, %s, %s, type, %s, %s FROM tasks WHERE id = %s FOR UPDATE
"""

Thing = tuple[int, datetime, str, str]


def forget() -> None:
    """As in a new database: marks outlive those of a test."""
    MetricMinute.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value - 1 + is_called::int FROM task_executions_id_seq")
        [last] = cursor.fetchone()
    MetricMark.objects.filter(name="minutes").update(counted_id=last, seen_id=last, seen_xid=0)


def settle() -> None:
    """As if a minute had gone by since the note: nobody who still has a transaction open, here or elsewhere, counts."""
    MetricMark.objects.filter(name="minutes").update(seen_at=datetime.now(UTC) - timedelta(minutes=2))


def end(
    session: Session, task: UUID, attempt: int, *, at: datetime, ran: float, waited: float, how: Sequence[str]
) -> None:
    """An attempt of a task that ends at an instant, in the session's transaction if it has one."""
    started = at - timedelta(seconds=ran)
    due = started - timedelta(seconds=waited)
    session.execute(_END, [attempt, uuid4(), due, started, at, *how, task])


def scan() -> dict[Thing, dict[str, Any]]:
    """What the minutes must hold, from all attempts one by one."""
    queues = dict(Task.objects.values_list("pk", "queue"))
    found: dict[Thing, dict[str, Any]] = defaultdict(
        lambda: {"start_delay": Counter(), "duration": Counter(), **dict.fromkeys(COUNTS, 0)}
    )
    for attempt in TaskExecution.objects.all():
        for span in SPANS:
            minutes = attempt.finished_at.minute // span * span if span < 60 else 0
            at = attempt.finished_at.replace(minute=minutes, second=0, microsecond=0)
            of_type = found[span, at, "type", attempt.type]
            for row in (of_type, found[span, at, "queue", queues[attempt.task_id]]):
                _count(row, attempt)
            of_type["start_delay"][_bucket(attempt.started_at - attempt.due_at)] += 1
            if attempt.status not in ("LOST", "RELEASED"):
                of_type["duration"][_bucket(attempt.finished_at - attempt.started_at)] += 1
    return dict(found)


def rolled_up() -> dict[Thing, dict[str, Any]]:
    """What they hold of attempts."""
    rows = MetricMinute.objects.exclude(kind="system").values()
    return {
        (row["span"], row["at"], row["kind"], row["name"]): {
            name: row[name] for name in (*COUNTS, "start_delay", "duration")
        }
        for row in rows
    }


def _count(row: dict[str, Any], attempt: TaskExecution) -> None:
    row[attempt.status.lower()] += 1
    row["retried"] += attempt.status in ("FAILED", "TIMED_OUT") and attempt.task_status == "PENDING"
    row["given_up"] += attempt.task_status == "FAILED"


def _bucket(time: timedelta) -> str:
    return str(bisect_right(BOUNDS, max(0.0, time.total_seconds())))
