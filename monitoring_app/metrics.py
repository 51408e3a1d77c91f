"""What Prometheus scrapes: states read at the scrape, and totals counted from the history that every worker writes.

Every web process answers the same figures, because they come from the database; a reading is kept for five seconds, so
that scraping can never become a load. All names begin with ``task_scheduler_`` and times are in seconds. Requests are
counted by django-prometheus, in each process; with ``PROMETHEUS_MULTIPROC_DIR`` set (``scheduler_project.serving``) the
answer holds those of all processes of this host.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Any, Final

import prometheus_client
import structlog
from django.db import connection
from django.db.models import Max
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitoring_app import selectors
from monitoring_app.health import DATABASE_ERRORS
from monitoring_app.models import MetricMark, MetricTotal
from monitoring_app.selectors import Survey, TooSlow
from schedules_app.models import ScheduleFire
from tasks_app.models import TaskExecution
from tasks_app.sql import statement
from tasks_app.states import FINAL, ExecutionStatus, TaskStatus, WorkerState

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
KEPT_FOR: Final = timedelta(seconds=5)
#: Executions counted at one scrape: some tenths of a second; a backlog is worked off over several.
MOST_COUNTED: Final = 100_000
COUNT_TIMEOUT: Final = timedelta(seconds=5)
#: Upper bounds of the buckets of every histogram, in seconds.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, inf)
_FAILED: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT})
_LOST: Final = frozenset({ExecutionStatus.LOST, ExecutionStatus.RELEASED})

log = structlog.get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scrape read; None or empty where the database did not answer in time."""

    survey: Survey | None
    totals: list[Total]
    uncounted: int | None
    is_up: bool
    seconds: float


def exposition() -> bytes:
    """The body of an answer to a scrape: this application's metrics, then those of its requests."""
    own = CollectorRegistry()
    own.register(Families(latest_reading()))
    return prometheus_client.generate_latest(own) + prometheus_client.generate_latest(_process_registry())


def _process_registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return prometheus_client.REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


_lock = threading.Lock()
_kept: tuple[float, Reading] | None = None


def latest_reading() -> Reading:
    """A reading no older than `KEPT_FOR`; scrapes that come together share one."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] >= KEPT_FOR.total_seconds():
            _kept = (time.monotonic(), read())
        return _kept[1]


def read() -> Reading:
    """Survey the system and count what ended since the last time. Never raises for a database that is away or slow."""
    started = time.perf_counter()
    survey, uncounted, is_up = None, None, True
    totals: list[Total] = []
    try:
        survey = selectors.survey()
    except TooSlow as error:
        log.warning("metrics_not_read", error=str(error))
    except DATABASE_ERRORS as error:
        is_up = False
        log.warning("database_unavailable", error=str(error).strip())
    if is_up:
        try:
            count_new_fires()
            totals, uncounted = count_new_executions()
        except (TooSlow, *DATABASE_ERRORS) as error:
            log.warning("metrics_not_counted", error=str(error).strip())
    else:
        connection.close()
    return Reading(survey, totals, uncounted, is_up, time.perf_counter() - started)


def count_new_executions() -> tuple[list[Total], int]:
    """Count attempts that ended since the last time; answer all totals, and how many are still to be counted."""
    uncounted = _count("count_new_executions", "executions", TaskExecution)
    return [Total(*row) for row in MetricTotal.objects.values_list(*Total.__slots__)], uncounted


def count_new_fires() -> int:
    """Count slots of schedules that were decided since the last time; answer how many are still to be counted."""
    return _count("count_new_fires", "fires", ScheduleFire)


def _count(name: str, mark_name: str, model: type[TaskExecution | ScheduleFire]) -> int:
    """Add up to the totals what came since the last time; answer how many rows are left.

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
            cursor.execute(statement(name, selectors.SQL), parameters)
    mark, _ = MetricMark.objects.get_or_create(name=mark_name)
    newest = model._default_manager.aggregate(newest=Max("id"))["newest"] or 0
    return max(0, newest - mark.counted_id)


class Families(Collector):
    """A reading as metric families. Everything with a name, a unit and a HELP text is here."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        reading = self._reading
        yield gauge("database_up", "Whether the database answered this scrape.", reading.is_up)
        yield gauge("scrape_duration_seconds", "Time the database took for the last reading.", reading.seconds)
        if reading.survey is not None:
            yield from _states(reading.survey)
        if reading.uncounted is not None:
            yield gauge("executions_uncounted", "Ended attempts not counted yet, at most.", reading.uncounted)
            yield from _counters(reading.totals)
            yield from _histograms(reading.totals)


def _states(survey: Survey) -> Iterator[Metric]:
    tasks = {
        TaskStatus.PENDING: survey.waiting,
        TaskStatus.SCHEDULED: survey.scheduled,
        TaskStatus.RUNNING: survey.running,
    }
    workers = {
        WorkerState.ACTIVE: survey.active,
        WorkerState.DRAINING: survey.draining,
        WorkerState.STOPPED: survey.stopped,
        WorkerState.DEAD: survey.dead,
    }
    yield labelled("tasks", "Tasks that have not ended, by status.", "status", tasks.items())
    yield gauge("tasks_is_estimate", "1: PENDING is too many to count, and estimated.", survey.waiting_is_estimate)
    yield gauge(
        "oldest_due_age_seconds",
        "How long the longest waiting due task of a queue that is not paused has waited; 0: none is due.",
        survey.oldest_due_age or 0,
    )
    yield labelled("workers", "Workers the database knows, by state.", "state", workers.items())
    yield gauge("workers_live", "Workers heard of within their lease.", survey.live)
    yield gauge("worker_slots", "Slots of the live workers.", survey.slots)
    yield gauge("schedulers_alive", "Scheduler processes heard of within a lease.", survey.schedulers)
    yield gauge("database_connections_used", "Connections of the whole server.", survey.connections_used)
    yield gauge("database_connections_allowed", "Connections ordinary users may have.", survey.connections_allowed)


def _counters(totals: Iterable[Total]) -> Iterator[Metric]:
    attempts = [total for total in totals if total.metric == "attempts"]
    ended = [total for total in attempts if total.task_status in FINAL]
    retried = [total for total in attempts if total.status in _FAILED and total.task_status == TaskStatus.PENDING]
    lost = [total for total in attempts if total.status in _LOST]
    late = [total for total in totals if total.metric == "late"]
    yield counter("attempts", "Attempts that ended, by type and outcome.", attempts, type="type", status="status")
    yield counter("tasks_ended", "Tasks that an attempt brought to an end.", ended, type="type", status="task_status")
    yield counter("retries", "Retries granted after failures.", retried, type="type")
    yield counter(
        "lease_losses", "Attempts lost with their worker, or given back by it.", lost, type="type", status="status"
    )
    fires = [total for total in totals if total.metric == "fires"]
    yield counter("schedule_fires", "Slots of recurring schedules, by what became of them.", fires, state="status")
    yield counter("late_results", "Results that came after their attempt was taken away.", late, type="type")


def _histograms(totals: Iterable[Total]) -> Iterator[Metric]:
    totals = list(totals)
    yield _histogram("attempt_duration_seconds", "How long attempts ran, by type.", totals, "duration")
    yield _histogram("start_delay_seconds", "From due to started, by type.", totals, "start_delay")
    yield _histogram(
        "schedule_lateness_seconds", "From the time of a schedule to its task.", totals, "lateness", "state"
    )


def _histogram(name: str, text: str, totals: Iterable[Total], metric: str, label: str = "type") -> Metric:
    family = HistogramMetricFamily(f"task_scheduler_{name}", text, labels=[label])
    by_type: dict[str, list[Total]] = defaultdict(list)
    for total in totals:
        if total.metric == metric:
            by_type[total.type].append(total)
    for kind, buckets in sorted(by_type.items()):
        # Cumulative by bound: buckets counted under other bounds, by an older version, still find their place.
        counts = [(_bound(bound), sum(b.n for b in buckets if b.le <= bound)) for bound in BOUNDS]
        family.add_metric([kind], buckets=counts, sum_value=sum(b.seconds for b in buckets))
    return family


def _bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def counter(name: str, text: str, totals: Iterable[Total], **columns: str) -> Metric:
    """Totals added up by label; ``columns`` maps each label to the column it is read from."""
    family = CounterMetricFamily(f"task_scheduler_{name}", text, labels=list(columns))
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    for total in totals:
        sums[tuple(getattr(total, column) for column in columns.values())] += total.n
    for labels, n in sorted(sums.items()):
        family.add_metric(labels, n)
    return family


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"task_scheduler_{name}", text, value=value)


def labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"task_scheduler_{name}", text, labels=[label])
    for key, value in values:
        family.add_metric([str(key)], value)
    return family
