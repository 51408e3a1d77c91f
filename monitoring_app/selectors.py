"""What monitoring reads, each as one bounded question to the database: the survey, workers, figures of the history.

Bounded twice: no statement looks at more than a fixed number of rows, and none may run longer than its time-out. What
it means (UP, DEGRADED, a metric's name) is decided in ``health`` and ``metrics``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Count, ExpressionWrapper, F, fields
from django.db.models.functions import Now

from access_app.patience import no_longer_than
from access_app.sql import statement
from flow_app.outlook import Head
from flow_app.survey import read_heads
from monitoring_app.histograms import FRACTIONS
from tasks_app.selectors import owned_tasks
from tasks_app.states import TaskStatus
from workers_app.heartbeats import known_workers
from workers_app.models import Worker

#: Waiting tasks beyond this many are estimated; counting this many costs some ten milliseconds.
MOST_COUNTED: Final = 100_000
#: Attempts of a window beyond this many ids are sampled.
MOST_READ: Final = 200_000
SAMPLE: Final = 50_000
SURVEY_TIMEOUT: Final = timedelta(seconds=2)
FIGURES_TIMEOUT: Final = timedelta(seconds=10)
#: How long workers that are gone are still shown.
RECENT: Final = timedelta(hours=1)
MOST_WORKERS: Final = 1_000


#: Tasks that workers hold: how many, by worker, status and queue.
Owned = dict[tuple[UUID, str, str], int]

_is_bounded: ContextVar[bool] = ContextVar("is_bounded", default=False)


@contextmanager
def bounded(timeout: timedelta) -> Iterator[CursorWrapper]:
    """A cursor in a transaction whose statements may not run longer than ``timeout``. Raises `TooSlow`.

    Sequential scans are off: with stale statistics the planner would expect to meet a waiting task soon, and read a
    million ended ones first. Inside another one it is a part of that.
    """
    if _is_bounded.get():
        with connection.cursor() as cursor:
            yield cursor
        return
    token = _is_bounded.set(True)
    try:
        with no_longer_than(timeout, enable_seqscan="off", jit="off") as cursor:
            yield cursor
    finally:
        _is_bounded.reset(token)


def rows(cursor: CursorWrapper, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one of our statements, by column name."""
    cursor.execute(statement(name), parameters)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The system at one instant. Live: heard of within the lease, by the database's clock."""

    server_version: str
    connections_used: int
    connections_allowed: int
    schedulers: int
    #: Schedules that could not be decided, and are looked at again later.
    schedules_put_off: int
    #: Open ones, and tasks that wait behind them, or are not back yet; a lower bound.
    freezes: int
    frozen: int
    active: int
    draining: int
    stopped: int
    dead: int
    live: int
    slots: int
    waiting: int
    waiting_is_estimate: bool
    scheduled: int
    running: int
    #: Seconds since the longest waiting task fell due, of those that nothing but room holds back; None: none is due.
    oldest_due_age: float | None
    #: The first task of each queue and priority that waits.
    heads: list[Head]


def survey() -> Survey:
    """Look at the whole system. Raises `TooSlow`."""
    with bounded(SURVEY_TIMEOUT) as cursor:
        parameters = {"most": MOST_COUNTED, "lease": settings.SCHEDULER.heartbeat_timeout}
        [facts] = rows(cursor, "survey", parameters)
        # The scheduler's own look at the heads of the queues, so that both mean the same by "due".
        # A head that is never due by itself belongs to a queue that somebody paused, or that is full.
        heads = read_heads(cursor)
    oldest = max((-head.due_in for head in heads if head.due_in is not None), default=-1.0)
    return Survey(**facts, oldest_due_age=oldest if oldest >= 0 else None, heads=heads)


def round_trip() -> tuple[float, bool]:
    """Seconds of a round trip to the database, opening a connection not counted, and whether it is read-only."""
    connection.ensure_connection()
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only') = 'on'")  # a standby's always is
        [read_only] = cursor.fetchone()
    return time.perf_counter() - started, read_only


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A worker and what it holds."""

    worker: Worker
    heartbeat_age: timedelta
    assigned: int
    running: int


def owned() -> Owned:
    """How many tasks workers hold, by worker, status and queue. Index: tasks_owned. Raises `TooSlow`."""
    counted = owned_tasks().values_list("worker_id", "status", "queue").annotate(n=Count("*"))
    with bounded(SURVEY_TIMEOUT):
        return {(worker, status, queue): n for worker, status, queue, n in counted}


def workers(held: Owned | None = None) -> list[WorkerLoad]:
    """Every live worker and those that ended within the last hour, the latest first. Raises `TooSlow`.

    ``held``: what `owned` has counted already.
    """
    age = ExpressionWrapper(Now() - F("last_heartbeat_at"), output_field=fields.DurationField())
    with bounded(SURVEY_TIMEOUT):
        found = list(known_workers(ended_within=RECENT).annotate(heartbeat_age=age)[:MOST_WORKERS])
        load: Counter[tuple[UUID, str]] = Counter()
        for (worker, status, _), n in (owned() if held is None else held).items():
            load[worker, status] += n
    return [
        WorkerLoad(
            worker,
            worker.heartbeat_age,
            load[worker.pk, TaskStatus.SCHEDULED],
            load[worker.pk, TaskStatus.RUNNING],
        )
        for worker in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Attempts that ended in the last ``hours``. With a sample, each row read stands for ``weight`` attempts."""

    until: datetime
    rows: int
    weight: float
    #: {"type", "status", "task_status", "hour" (epoch seconds), "n"}
    counts: list[dict[str, Any]]
    #: {"type" (None: all), "duration_ms", "start_delay_ms"}: lists in the order of FRACTIONS, or None
    percentiles: list[dict[str, Any]]

    @property
    def sampled(self) -> bool:
        return self.weight != 1


def execution_figures(hours: int) -> Figures:
    """Read the history of the last ``hours``: all of it, or a sample of a long one. Raises `TooSlow`."""
    with bounded(FIGURES_TIMEOUT) as cursor:
        ends = _first_execution_since(cursor, hours)
        sample, weight = _sample_of(ends)
        parameters = {"hours": hours, "sample": sample, "fractions": list(FRACTIONS.values()), **ends}
        [facts] = rows(cursor, "execution_figures", parameters)
    return Figures(
        until=facts["until"],
        rows=facts["rows"],
        weight=weight,
        counts=json.loads(facts["counts"]),
        percentiles=json.loads(facts["percentiles"]),
    )


def _first_execution_since(cursor: CursorWrapper, hours: int) -> dict[str, Any]:
    """The lowest id of the history, the first of the last ``hours`` and the highest; all None when there is none."""
    [ends] = rows(cursor, "first_execution_since", {"hours": hours})
    return ends


def _sample_of(ends: dict[str, Any]) -> tuple[int | None, float]:
    """How many rows to pick (None: read all), and how many each stands for."""
    if ends["lowest"] is None or ends["highest"] - ends["lowest"] < MOST_READ:
        return None, 1  # whatever its order: imported histories need not be sorted by time
    span = ends["highest"] - ends["first"] + 1
    return (None, 1) if span <= MOST_READ else (SAMPLE, span / SAMPLE)
