"""The summary of the last hours as JSON: counts by outcome and type, success rate, percentiles, throughput by hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from access_app.http.times import show_instant
from monitoring_app.histograms import FRACTIONS
from monitoring_app.selectors import Figures
from tasks_app.states import ExecutionStatus, TaskStatus

HOUR: Final = timedelta(hours=1)
#: Outcomes that are a task's doing; cancelled and released attempts say nothing about success.
_JUDGED: Final = frozenset(
    {ExecutionStatus.SUCCESS, ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.LOST}
)


def summary(figures: Figures, hours: int) -> dict[str, Any]:
    """The body of ``GET /health/metrics``. Of a sample, counts are scaled up to the whole."""
    percentiles = {row["type"]: row for row in figures.percentiles}
    types = sorted({row["type"] for row in figures.counts})
    return {
        "hours": hours,
        "from": show_instant(figures.until - hours * HOUR),
        "to": show_instant(figures.until),
        "sampled": figures.sampled,
        "sampleSize": figures.rows,
        **_outcomes(figures.counts, figures.weight),
        "retries": _scaled(_retries(figures.counts), figures.weight),
        **_percentiles(percentiles.get(None, {})),
        "byType": {
            kind: _outcomes([row for row in figures.counts if row["type"] == kind], figures.weight)
            | _percentiles(percentiles.get(kind, {}))
            for kind in types
        },
        "throughputByHour": _by_hour(figures, hours),
    }


def _outcomes(counts: Iterable[dict[str, Any]], weight: float) -> dict[str, Any]:
    by_outcome: Counter[str] = Counter()
    for row in counts:
        by_outcome[row["status"]] += row["n"]
    judged = sum(by_outcome[status] for status in _JUDGED)
    return {
        "attempts": _scaled(by_outcome.total(), weight),
        "byOutcome": {str(status): _scaled(by_outcome[status], weight) for status in ExecutionStatus},
        "successRate": round(by_outcome[ExecutionStatus.SUCCESS] / judged, 6) if judged else None,
    }


def _retries(counts: Iterable[dict[str, Any]]) -> int:
    failed = (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
    return sum(row["n"] for row in counts if row["status"] in failed and row["task_status"] == TaskStatus.PENDING)


def _percentiles(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dict(zip(FRACTIONS, (round(value, 1) for value in row[column]), strict=True)) if row.get(column) else None
        for name, column in (("durationMs", "duration_ms"), ("startDelayMs", "start_delay_ms"))
    }


def _by_hour(figures: Figures, hours: int) -> list[dict[str, Any]]:
    """Every hour the window touches, also those in which nothing ended: the first and the last are cut off by it."""
    attempts: Counter[int] = Counter()
    succeeded: Counter[int] = Counter()
    for row in figures.counts:
        attempts[row["hour"]] += row["n"]
        succeeded[row["hour"]] += row["n"] if row["status"] == ExecutionStatus.SUCCESS else 0
    last = figures.until.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [
        {
            "hour": show_instant(hour),
            "attempts": _scaled(attempts[_epoch(hour)], figures.weight),
            "succeeded": _scaled(succeeded[_epoch(hour)], figures.weight),
        }
        for hour in (last - back * HOUR for back in range(hours, -1, -1))
    ]


def _epoch(instant: datetime) -> int:
    return int(instant.timestamp())


def _scaled(count: int, weight: float) -> int:
    return round(count * weight)
