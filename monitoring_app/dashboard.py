"""The index page of the staff UI: the state of the system at a glance, in a handful of cheap reads.

What waits, what is owned and who is alive comes from ``selectors.survey``; what ended is read from the last hour of
attempts, of which each minute is counted once. The whole is kept for two seconds, whoever looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from monitoring_app import selectors
from monitoring_app.selectors import Survey, WorkerLoad
from schedules_app.models import Schedule
from schedules_app.selectors import OVERDUE
from tasks_app.access import Action, Person
from tasks_app.admin import display
from tasks_app.admin.queues import MOST_COUNTED, counts, is_paused
from tasks_app.models import OWNED_ROW, UNSUCCESSFUL_ROW, Queue, Task
from tasks_app.selectors import error_of, latest_executions
from tasks_app.sql import statement
from tasks_app.states import LIVE_WORKER_STATES, TaskStatus, WorkerState
from workers_app.admin import state_badge

KEPT_SECONDS: Final = 2
MINUTES: Final = 60
#: How long after its end a minute may still grow: an attempt's end is stamped before its transaction commits.
SETTLED: Final = timedelta(minutes=2)
#: A success rate below this is shown in red.
WORST_RATE: Final = 0.9
#: Queues are many only by accident; beyond so many the page does not look.
MOST_LOOKED_AT: Final = 200
_MOST_QUEUES: Final = 12
_MOST_WORKERS: Final = 12
_MOST_FAILURES: Final = 8
_MOST_SCHEDULES: Final = 6
_MOST_OVERDUE: Final = 1000
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


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """DASHBOARD_CALLBACK of django-unfold: add what the person may see to the index page's context."""
    person = Person(request.user)
    may = {name: person.may(action) for name, action in _SHOWN.items()}
    shown = {"title": "Overview", "may": may, "overview": overview() if any(may.values()) else None}
    if request.headers.get("X-Live"):  # asked by live.js: no frame, and no message of another tab is used up
        shown["frame"] = "admin/scheduler/part.html"
    return context | shown


_SHOWN: Final = {
    "task": Action.TASK_READ,
    "queue": Action.QUEUE_READ,
    "worker": Action.WORKER_READ,
    "schedule": Action.SCHEDULE_READ,
}


def overview() -> dict[str, Any]:
    """Everything the index page shows, at most two seconds old."""
    kept: dict[str, Any] | None = cache.get("dashboard:overview")
    if kept is None:
        kept = _read_overview()
        cache.set("dashboard:overview", kept, KEPT_SECONDS)
    return kept


def _read_overview() -> dict[str, Any]:
    now = timezone.now()
    try:
        survey = selectors.survey()
        loads = selectors.workers()
        minutes = ended_by_minute(now)
        queues = read_queues()
        schedules = read_schedules(now)
    except selectors.TooSlow:
        return {"now": now, "too_slow": True}
    processes = processes_of(survey, loads, now)
    return {
        "now": now,
        "stats": stats_of(survey, minutes),
        "chart": draw(minutes, now),
        "delays": read_delays(),
        "queues": queues,
        "failures": read_failures(now),
        "schedules": schedules,
        "warnings": warnings_of(processes, queues, schedules),
        **processes,
    }


def stats_of(survey: Survey, minutes: dict[datetime, Minute]) -> dict[str, Any]:
    succeeded, failed, retried = (sum(minute[part] for minute in minutes.values()) for part in range(3))
    ended = succeeded + failed
    oldest = None if survey.oldest_due_age is None else timedelta(seconds=survey.oldest_due_age)
    return {
        "waiting": f"≈ {survey.waiting:,}" if survey.waiting_is_estimate else display.number(survey.waiting),
        "scheduled": display.number(survey.scheduled),
        "running": display.number(survey.running),
        "oldest_due": "none" if oldest is None else display.brief(oldest),
        "oldest_due_tone": _tone(oldest),
        "succeeded": display.number(succeeded),
        "failed": display.number(failed),
        "retried": display.number(retried),
        "success_rate": f"{100 * succeeded / ended:.1f} %" if ended else display.EMPTY,
        "success_tone": "ts-red" if ended and succeeded / ended < WORST_RATE else "ts-green",
        "per_minute": f"{(succeeded + failed + retried) / MINUTES:,.1f}",
    }


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
    with connection.cursor() as cursor:
        cursor.execute(_DELAYS, [_SAMPLE])
        delay, duration = cursor.fetchone()
    seconds = [*(delay or [None, None]), *(duration or [None, None])]
    spans = [display.span(None if value is None else timedelta(seconds=max(0.0, value))) for value in seconds]
    return dict(zip(("delay_median", "delay_95", "duration_median", "duration_95"), spans, strict=True))


def read_queues() -> list[dict[str, Any]]:
    """Queues with something waiting, owned or paused: paused ones first, then the fullest."""
    with selectors.bounded(selectors.SURVEY_TIMEOUT) as cursor:
        cursor.execute(statement("survey_due"), {"start": "", "limit": selectors.MOST_HEADS})
        ages: dict[str, float] = {}
        for queue, _, due_in, *_ in cursor.fetchall():
            if queue is not None and due_in is not None:
                ages[queue] = max(ages.get(queue, -due_in), -due_in)
        owned = set(Task.objects.filter(OWNED_ROW).order_by().values_list("queue", flat=True).distinct())
        paused = {queue.name: queue for queue in Queue.objects.filter(paused_at__isnull=False)[:MOST_LOOKED_AT]}
        names = sorted(ages.keys() | owned | paused.keys())[:MOST_LOOKED_AT]
        counted = counts(names)
    first = sorted(names, key=lambda name: (name in paused, sum(counted[name])), reverse=True)
    return [_queue_row(name, counted[name], ages.get(name), paused.get(name)) for name in first[:_MOST_QUEUES]]


def _queue_row(name: str, counted: tuple[int, int], age: float | None, row: Queue | None) -> dict[str, Any]:
    waiting, owned = counted
    paused = row is not None and is_paused(row)
    return {
        "name": name,
        "tasks": display.query(queue=name),
        "page": display.page_url(row) if row else "",
        "badge": display.badge("PAUSED") if paused else "",
        "paused": paused,
        "waiting": display.number(waiting, at_most=MOST_COUNTED),
        "owned": display.number(owned),
        "oldest": display.brief(timedelta(seconds=age)) if age is not None and age > 0 else display.EMPTY,
    }


def read_schedules(now: datetime) -> dict[str, Any]:
    """The schedules that fire next, and how many are past their time. Index: schedules_due."""
    enabled = Schedule.objects.filter(next_fire_at__isnull=False).order_by("next_fire_at")
    with selectors.bounded(selectors.SURVEY_TIMEOUT):
        next_ones = list(enabled.only("name", "next_fire_at")[:_MOST_SCHEDULES])
        overdue = enabled.filter(next_fire_at__lt=now - OVERDUE)[: _MOST_OVERDUE + 1].count()
    rows = [
        {
            "id": schedule.pk,
            "name": schedule.name,
            "url": display.page_url(schedule),
            "fires": display.instant(schedule.next_fire_at, now),
        }
        for schedule in next_ones
    ]
    return {
        "next": rows,
        "overdue": f"more than {_MOST_OVERDUE:,}" if overdue > _MOST_OVERDUE else overdue,
    }


def processes_of(survey: Survey, loads: list[WorkerLoad], now: datetime) -> dict[str, Any]:
    """Live and recently lost workers, and the schedulers that are alive."""
    live = [load for load in loads if load.worker.state in LIVE_WORKER_STATES]
    alive = [load for load in live if load.heartbeat_age <= settings.SCHEDULER.heartbeat_timeout]
    owned = sum(load.assigned + load.running for load in alive)
    return {
        "workers": [_worker_row(load, now) for load in live[:_MOST_WORKERS]],
        "more_workers": max(0, len(live) - _MOST_WORKERS),
        "live_workers": len(alive),
        "silent_workers": len(live) - len(alive),
        "lost_workers": sum(load.worker.state == WorkerState.DEAD for load in loads),
        "slots": display.bar(owned, sum(load.worker.slots for load in alive)),
        "schedulers": survey.schedulers,
    }


def _worker_row(load: WorkerLoad, now: datetime) -> dict[str, Any]:
    worker = load.worker
    return {
        "id": worker.pk,
        "name": worker.name,
        "host": worker.host,
        "url": display.page_url(worker),
        "badge": state_badge(worker),
        "load": display.bar(load.assigned + load.running, worker.slots),
        "heartbeat": display.instant(worker.last_heartbeat_at, now),
    }


def read_failures(now: datetime) -> list[dict[str, Any]]:
    """The youngest failed tasks. Index: tasks_unsuccessful."""
    failed = list(
        Task.objects.filter(UNSUCCESSFUL_ROW, status=TaskStatus.FAILED)
        .order_by("-id")
        .defer("payload")[:_MOST_FAILURES]
    )
    latest = latest_executions([task.pk for task in failed])
    return [_failure_row(task, latest, now) for task in failed]


def _failure_row(task: Task, latest: dict[UUID, Any], now: datetime) -> dict[str, Any]:
    error = error_of(task, latest.get(task.pk)) or {"code": "", "message": ""}
    return {
        "id": task.pk,
        "link": display.task_link(task.pk),
        "type": task.type,
        "ended": display.instant(task.finished_at, now),
        **error,
    }


def warnings_of(
    processes: dict[str, Any], queues: list[dict[str, Any]], schedules: dict[str, Any]
) -> list[tuple[str, str]]:
    """What somebody should look at: tone and sentence."""
    found = []
    if not processes["schedulers"]:
        found.append(("ts-red", "No scheduler is alive: nothing new is assigned."))
    if not processes["live_workers"]:
        found.append(("ts-red", "No worker is alive: nothing runs."))
    if processes["silent_workers"]:
        found.append(
            ("ts-orange", f"Workers past their lease, about to be declared dead: {processes['silent_workers']}.")
        )
    if processes["lost_workers"]:
        found.append(("ts-orange", f"Workers lost within the last hour: {processes['lost_workers']}."))
    if overdue := schedules["overdue"]:
        found.append(("ts-red", f"Schedules past their time by more than {display.span(OVERDUE)}: {overdue}."))
    if paused := [queue["name"] for queue in queues if queue["paused"]]:
        found.append(("ts-orange", f"Paused: {', '.join(paused)}."))
    return found


def _tone(oldest_due: timedelta | None) -> str:
    """A due task that waits longer than a lease is worth a colour; longer than five minutes, another."""
    if oldest_due is None or oldest_due < settings.SCHEDULER.heartbeat_timeout:
        return "ts-green"
    return "ts-orange" if oldest_due < timedelta(minutes=5) else "ts-red"
