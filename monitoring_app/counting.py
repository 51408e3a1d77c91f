"""Running totals behind the counters of /metrics: what came since the last time is added up in the database.

Every web process returns the same totals, because they are counted there, from the history that every worker writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Any, Final

from django.db.models import Max

from access_app.models import AuditEvent
from access_app.sql import statement
from monitoring_app import selectors
from monitoring_app.models import MetricMark, MetricTotal
from schedules_app.models import ScheduleFire
from tasks_app.models import TaskExecution

#: Rows counted at one scrape: some tenths of a second; a backlog is worked off over several.
MOST_COUNTED: Final = 100_000
COUNT_TIMEOUT: Final = timedelta(seconds=5)
#: Upper bounds of the buckets of every histogram, in seconds.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, inf)

Counted = TaskExecution | ScheduleFire | AuditEvent


@dataclass(frozen=True, slots=True)
class Total:
    """One row of `MetricTotal`."""

    metric: str
    type: str
    status: str
    task_status: str
    le: float
    n: int
    seconds: float


def count_new() -> tuple[list[Total], int]:
    """Count what came since the last time; return all totals, and how many rows are still to be counted.

    Raises `TooSlow`.
    """
    count_new_fires()
    count_new_batches()
    uncounted = count_new_executions() + count_new_ends()
    return _totals(), uncounted


def counted_so_far() -> tuple[list[Total], int]:
    """The same without counting: for a database that cannot be written."""
    return _totals(), _left("executions", TaskExecution) + _left("ends", AuditEvent)


def count_new_executions() -> int:
    """Count attempts that ended since the last time; return how many are still to be counted, at most."""
    return _count(statement("count_new_executions"), "executions", TaskExecution)


def count_new_ends() -> int:
    """Count tasks that ended without an attempt since the last time; return how many events are still to be read."""
    return _count(statement("count_new_ends"), "ends", AuditEvent)


def count_new_fires() -> int:
    """Count slots of schedules that were decided since the last time; return how many are still to be counted."""
    return _count(statement("count_new_fires"), "fires", ScheduleFire)


def count_new_batches() -> None:
    """Count batches that were done since the last time, but for the last minute."""
    with selectors.bounded(COUNT_TIMEOUT) as cursor:
        cursor.execute(statement("count_new_batches"), {"most": MOST_COUNTED})
        known = cursor.rowcount
    if not known:
        MetricMark.objects.get_or_create(name="batches")


def _count(counting: str, mark_name: str, model: type[Counted]) -> int:
    """Add up to the totals what came since the last time; return how many rows are left.

    The same statement twice: the first call notes how far the history goes, and the second counts up to there, unless a
    transaction is under way that may still add a row below; then the next scrape does.
    """
    parameters: dict[str, Any] = {
        "most": MOST_COUNTED,
        "bounds": list(BOUNDS),
        "negated": [-bound for bound in reversed(BOUNDS)],
        "buckets": len(BOUNDS),
    }
    for _ in range(2):
        with selectors.bounded(COUNT_TIMEOUT) as cursor:
            cursor.execute(counting, parameters)
    MetricMark.objects.get_or_create(name=mark_name)
    return _left(mark_name, model)


def _totals() -> list[Total]:
    return [Total(*row) for row in MetricTotal.objects.values_list(*Total.__slots__)]


def _left(mark_name: str, model: type[Counted]) -> int:
    """How many rows are behind the mark, at most."""
    counted = MetricMark.objects.filter(name=mark_name).values_list("counted_id", flat=True).first() or 0
    newest = model._default_manager.aggregate(newest=Max("id"))["newest"] or 0
    return max(0, newest - counted)
