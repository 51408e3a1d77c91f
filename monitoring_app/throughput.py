"""What ended within the last hour, by minute, and how long the newest attempts took: the chart of the overview."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db import connection

from access_app.staff import display

MINUTES: Final = 60
#: How long after its end a minute may still grow: an attempt's end is stamped before its transaction commits.
SETTLED: Final = timedelta(minutes=2)
_SAMPLE: Final = 1000

# Index: executions_finished (BRIN).
_ENDED_BY_MINUTE = """
SELECT date_trunc('minute', finished_at, 'UTC'),
       count(*) FILTER (WHERE status = 'SUCCESS'),
       count(*) FILTER (WHERE status <> 'SUCCESS' AND task_status = 'FAILED'),
       count(*) FILTER (WHERE status IN ('FAILED', 'TIMED_OUT', 'LOST') AND task_status = 'PENDING')
  FROM task_executions
 WHERE finished_at >= %s
 GROUP BY 1
"""
# The newest attempts, by the primary key: a sample of fixed size, whatever the load.
_DELAYS = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - due_at)),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
  FROM (SELECT due_at, started_at, finished_at FROM task_executions ORDER BY id DESC LIMIT %s) AS newest
"""

Minute = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute of the chart: heights in percent of the busiest, stacked from the bottom."""

    x: int
    parts: list[tuple[str, float, float]]
    title: str


def ended_by_minute(now: datetime) -> dict[datetime, Minute]:
    """Attempts of the last hour that succeeded, failed for good, or are tried again, by minute of their end.

    Minutes long past do not change: each process counts them once and then only asks for what came after.
    """
    this_minute = now.replace(second=0, microsecond=0)
    first = this_minute - timedelta(minutes=MINUTES - 1)
    settled: dict[datetime, Minute] = cache.get("dashboard:minutes") or {}
    known_until: datetime = cache.get("dashboard:known_until") or first
    since = max(first, known_until)
    with connection.cursor() as cursor:
        cursor.execute(_ENDED_BY_MINUTE, [since])
        fresh: dict[datetime, Minute] = {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}
    minutes = {minute: n for minute, n in settled.items() if first <= minute < since} | fresh
    final_before = this_minute - SETTLED
    cache.set("dashboard:minutes", {minute: n for minute, n in minutes.items() if minute < final_before}, 600)
    cache.set("dashboard:known_until", max(first, final_before), 600)
    return minutes


def draw(minutes: dict[datetime, Minute], now: datetime) -> dict[str, Any]:
    """The chart's bars, oldest first."""
    this_minute = now.replace(second=0, microsecond=0)
    most = max((sum(minute) for minute in minutes.values()), default=0)
    bars = []
    for x in range(MINUTES):
        minute = this_minute - timedelta(minutes=MINUTES - 1 - x)
        succeeded, failed, retried = minutes.get(minute, (0, 0, 0))
        title = f"{minute:%H:%M} UTC: {succeeded} succeeded, {failed} failed, {retried} to be retried"
        parts, top = [], 100.0
        for tone, n in (("ts-green", succeeded), ("ts-orange", retried), ("ts-red", failed)):
            if n:
                height = 100 * n / most
                top -= height
                parts.append((tone, top, height))
        bars.append(Bar(x * 10, parts, title))
    return {"bars": bars, "most": most, "start": f"{this_minute - timedelta(minutes=MINUTES - 1):%H:%M}"}


def read_delays() -> dict[str, str]:
    """Of the newest attempts, how long they waited and took; read twice a minute."""
    kept: dict[str, str] | None = cache.get("dashboard:delays")
    if kept is None:
        kept = _read_delays()
        cache.set("dashboard:delays", kept, 30)
    return kept


def _read_delays() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_DELAYS, [_SAMPLE])
        delay, duration = cursor.fetchone()
    seconds = [*(delay or [None, None]), *(duration or [None, None])]
    spans = [display.span(None if value is None else timedelta(seconds=max(0.0, value))) for value in seconds]
    return dict(zip(("delay_median", "delay_95", "duration_median", "duration_95"), spans, strict=True))
