"""A reading as metric families: everything with a name, a unit and a HELP text is here.

All names begin with ``task_scheduler_``, times are in seconds. Counters and histograms have all their label values from
the first scrape on, at zero: a rate needs the sample before the first event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitoring_app import workflows
from monitoring_app.busiest import QueueReading
from monitoring_app.counting import BOUNDS, Total
from monitoring_app.gauges import PREFIX, gauge, labelled
from monitoring_app.labels import among, task_types
from monitoring_app.metrics import Reading
from monitoring_app.selectors import Survey
from schedules_app.firing_rules import FireState
from tasks_app.states import FINAL, ExecutionStatus, TaskStatus, WorkerState
from workflows_app.batch_rules import DONE

_FAILED: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT})
_LOST: Final = frozenset({ExecutionStatus.LOST, ExecutionStatus.RELEASED})


class Label(NamedTuple):
    """A label, the column of `Total` it is read from, and the values it may have."""

    name: str
    column: str
    values: Collection[str]


class Families(Collector):
    """What prometheus_client asks for the families of a reading."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        reading = self._reading
        yield gauge("database_up", "Whether the database could be read for this scrape.", reading.is_up)
        yield gauge("scrape_duration_seconds", "Time the database took for the last reading.", reading.seconds)
        if reading.survey is not None:
            yield from _states(reading.survey)
        if reading.queues is not None:
            yield from _queues(reading.queues)
        if reading.workflows is not None:
            yield from workflows.families_of(reading.workflows)
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
    yield gauge("schedules_put_off", "Schedules that could not be decided.", survey.schedules_put_off)
    yield gauge("freezes_open", "Freezes that are open.", survey.freezes)
    yield gauge("frozen_waiting", "Tasks that wait behind freezes, at least.", survey.frozen)
    yield gauge("database_connections_used", "Connections of the whole server.", survey.connections_used)
    yield gauge("database_connections_allowed", "Connections ordinary users may have.", survey.connections_allowed)


def _queues(queues: Mapping[str, QueueReading]) -> Iterator[Metric]:
    """Of the busiest queues by name, of the others as one."""
    each = sorted(queues.items())
    yield labelled("queue_waiting", "Tasks that no worker has.", "queue", ((name, q.waiting) for name, q in each))
    yield labelled("queue_running", "Running tasks.", "queue", ((name, q.running) for name, q in each))
    yield labelled(
        "queue_oldest_due_age_seconds",
        "How long the longest waiting due task has waited, in paused queues too; 0: none is due.",
        "queue",
        ((name, q.oldest_due_seconds) for name, q in each),
    )
    yield labelled(
        "queue_limit",
        "How many tasks may be assigned or running, of queues that have a limit.",
        "queue",
        ((name, q.limit) for name, q in each if q.limit is not None),
    )
    yield labelled(
        "queue_rate_tokens",
        "How many tasks may start now, of queues that have a rate.",
        "queue",
        ((name, q.tokens) for name, q in each if q.tokens is not None),
    )
    behind = GaugeMetricFamily(PREFIX + "queue_gate_waiting", "Tasks behind a closed gate.", labels=["queue", "gate"])
    for name, queue in each:
        for gate, count in sorted(queue.gates.items()):
            behind.add_metric([name, gate], count)
    yield behind


def _counters(totals: Iterable[Total]) -> Iterator[Metric]:
    by_metric: dict[str, list[Total]] = defaultdict(list)
    for total in totals:
        by_metric[total.metric].append(total)
    attempts = by_metric["attempts"]
    ended = [total for total in attempts if total.task_status in FINAL] + by_metric["ends"]
    retried = [total for total in attempts if total.status in _FAILED and total.task_status == TaskStatus.PENDING]
    lost = [total for total in attempts if total.status in _LOST]
    kind = Label("type", "type", task_types())
    yield counter(
        "attempts", "Attempts that ended, by type and outcome.", attempts, kind, _of("status", ExecutionStatus)
    )
    yield counter(
        "tasks_ended", "Tasks that ended, also those that never started.", ended, kind, _of("task_status", FINAL)
    )
    yield counter("retries", "Retries granted after failures.", retried, kind)
    yield counter(
        "lease_losses", "Attempts lost with their worker, or given back by it.", lost, kind, _of("status", _LOST)
    )
    yield counter(
        "schedule_fires",
        "Slots of recurring schedules, by what became of them.",
        by_metric["fires"],
        Label("state", "status", sorted(FireState)),
    )
    yield counter(
        "batches_ended",
        "Batches that were done, by how they ended, a minute later.",
        by_metric["batches"],
        _of("status", DONE),
    )
    yield counter("late_results", "Results that came after their attempt was taken away.", by_metric["late"], kind)


def _of(column: str, statuses: Iterable[str]) -> Label:
    return Label("status", column, sorted(statuses))


def _histograms(totals: Collection[Total]) -> Iterator[Metric]:
    kind = Label("type", "type", task_types())
    run = Label("state", "type", sorted({FireState.FIRED, FireState.LATE}))
    yield _histogram("attempt_duration_seconds", "How long attempts ran, by type.", totals, "duration", kind)
    yield _histogram("start_delay_seconds", "From due to started, by type.", totals, "start_delay", kind)
    yield _histogram("schedule_lateness_seconds", "From the time of a schedule to its task.", totals, "lateness", run)


def _histogram(name: str, text: str, totals: Iterable[Total], metric: str, label: Label) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=[label.name])
    by_value: dict[str, list[Total]] = {value: [] for value in label.values}
    for total in totals:
        if total.metric == metric:
            by_value.setdefault(among(getattr(total, label.column), label.values), []).append(total)
    for value, buckets in sorted(by_value.items()):
        # Cumulative by bound: buckets counted under other bounds, by an older version, still find their place.
        counts = [(_bound(bound), sum(b.n for b in buckets if b.le <= bound)) for bound in BOUNDS]
        family.add_metric([value], buckets=counts, sum_value=sum(b.seconds for b in buckets))
    return family


def _bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def counter(name: str, text: str, totals: Iterable[Total], *labels: Label) -> Metric:
    """Totals added up by the values of labels."""
    family = CounterMetricFamily(PREFIX + name, text, labels=[label.name for label in labels])
    sums = dict.fromkeys(product(*(label.values for label in labels)), 0)
    for total in totals:
        values = tuple(among(getattr(total, label.column), label.values) for label in labels)
        sums[values] = sums.get(values, 0) + total.n
    for values, n in sorted(sums.items()):
        family.add_metric(values, n)
    return family
