"""The index page of the staff UI: the state of the system at a glance, in a handful of cheap reads.

What waits and what is owned is counted through partial indexes and only up to a bound; what ended is read from the last
hour of attempts, of which each minute is counted once. The whole is kept for two seconds, whoever looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone

from tasks_app import selectors
from tasks_app.admin import display
from tasks_app.admin.queues import MOST_COUNTED, counts, is_paused
from tasks_app.models import ENDED_ROW, OWNED_ROW, Queue, Task
from tasks_app.sql import statement
from tasks_app.states import LIVE_WORKER_STATES, TaskStatus, WorkerState
from workers_app.admin import is_silent, owned_counts, scheduler_state, silence
from workers_app.models import Scheduler, Worker

KEPT_SECONDS: Final = 2
MINUTES: Final = 60
#: How long after its end a minute may still grow: an attempt's end is stamped before its transaction commits.
SETTLED: Final = timedelta(minutes=2)
_MOST_QUEUES: Final = 12
_MOST_WORKERS: Final = 12
_MOST_FAILURES: Final = 8
_SAMPLE: Final = 1000

# Each part has the predicate of one partial index (tasks_due, tasks_suspects, tasks_key_waiting), so that each is an
# index-only scan that stops at the bound. Beyond it the index's own statistics give an estimate.
_WAITING = """
SELECT (SELECT count(*) FROM (SELECT FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL
           AND NOT key_blocked AND crash_count = 0 LIMIT %(limit)s) AS due)
     + (SELECT count(*) FROM (SELECT FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL
           AND NOT key_blocked AND crash_count > 0 LIMIT %(limit)s) AS suspects)
     + (SELECT count(*) FROM (SELECT FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL
           AND concurrency_key IS NOT NULL AND key_blocked LIMIT %(limit)s) AS blocked),
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'tasks_due'::regclass)
"""
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
    may = {name: request.user.has_perm(f"{app}.view_{name}") for app, name in _SHOWN}
    return context | {"title": "Overview", "may": may, "overview": overview() if any(may.values()) else None}


_SHOWN: Final = (("tasks_app", "task"), ("tasks_app", "queue"), ("workers_app", "worker"))


def overview() -> dict[str, Any]:
    """Everything the index page shows, at most two seconds old."""
    kept: dict[str, Any] | None = cache.get("dashboard:overview")
    if kept is None:
        kept = _read_overview()
        cache.set("dashboard:overview", kept, KEPT_SECONDS)
    return kept


def _read_overview() -> dict[str, Any]:
    now = timezone.now()
    minutes = ended_by_minute(now)
    processes = read_processes(now)
    queues, oldest_due = read_queues(now)
    return {
        "now": now,
        "stats": read_stats(minutes, oldest_due),
        "chart": draw(minutes, now),
        "delays": read_delays(),
        "queues": queues,
        "failures": read_failures(now),
        "warnings": warnings_of(processes, queues),
        **processes,
    }


def read_stats(minutes: dict[datetime, Minute], oldest_due: timedelta | None) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"limit": MOST_COUNTED})
        waiting, estimate = cursor.fetchone()
    owned = dict(Task.objects.filter(OWNED_ROW).order_by().values_list("status").annotate(n=Count("pk")))
    succeeded, failed, retried = (sum(minute[part] for minute in minutes.values()) for part in range(3))
    ended = succeeded + failed
    return {
        "waiting": display.number(waiting) if waiting < MOST_COUNTED else f"≈ {max(estimate, waiting):,}",
        "scheduled": display.number(owned.get(TaskStatus.SCHEDULED, 0)),
        "running": display.number(owned.get(TaskStatus.RUNNING, 0)),
        "oldest_due": display.span(oldest_due) if oldest_due else "nothing due",
        "oldest_due_tone": _tone(oldest_due),
        "succeeded": display.number(succeeded),
        "failed": display.number(failed),
        "retried": display.number(retried),
        "success_rate": f"{100 * succeeded / ended:.1f} %" if ended else display.EMPTY,
        "success_tone": "ts-red" if ended and succeeded / ended < 0.9 else "ts-green",
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


def read_queues(now: datetime) -> tuple[list[dict[str, Any]], timedelta | None]:
    """Queues with something waiting, owned or paused, the fullest first; and for how long the oldest due task waits.

    Tasks of paused queues do not count as due: nobody is expected to start them.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement("survey_due"), {})
        heads = cursor.fetchall()
    ages: dict[str, float] = {}
    for queue, _, due_in in heads:
        name = queue or ""
        ages[name] = max(ages.get(name, -due_in), -due_in)
    owned = Task.objects.filter(OWNED_ROW).order_by().values_list("queue", flat=True).distinct()
    rows = {queue.name: queue for queue in Queue.objects.filter(paused_at__isnull=False)[:100]}
    names = sorted({name for name in ages if name} | set(owned) | set(rows))[:200]
    counted = counts(names)
    fullest = sorted(names, key=lambda name: (name in rows, sum(counted[name])), reverse=True)[:_MOST_QUEUES]
    due = [age for age in ages.values() if age > 0]
    return [_queue_row(name, counted[name], ages.get(name), rows.get(name)) for name in fullest], (
        timedelta(seconds=max(due)) if due else None
    )


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
        "oldest": display.span(timedelta(seconds=age)) if age is not None and age > 0 else display.EMPTY,
    }


def read_processes(now: datetime) -> dict[str, Any]:
    """Live and recently lost workers, and the schedulers that are alive."""
    live = list(Worker.objects.filter(state__in=sorted(LIVE_WORKER_STATES)).order_by("name", "started_at")[:1000])
    lost = Worker.objects.filter(state=WorkerState.DEAD, state_changed_at__gte=now - timedelta(hours=1)).count()
    owned = owned_counts([worker.pk for worker in live])
    schedulers = Scheduler.objects.filter(stopped_at__isnull=True, last_heartbeat_at__gte=now - silence())
    alive = [worker for worker in live if not is_silent(worker)]
    return {
        "workers": [_worker_row(worker, owned.get(worker.pk, 0), now) for worker in live[:_MOST_WORKERS]],
        "more_workers": max(0, len(live) - _MOST_WORKERS),
        "live_workers": len(alive),
        "silent_workers": len(live) - len(alive),
        "lost_workers": lost,
        "slots": display.bar(sum(owned.values()), sum(worker.slots for worker in alive)),
        "schedulers": schedulers.count(),
    }


def _worker_row(worker: Worker, owned: int, now: datetime) -> dict[str, Any]:
    return {
        "name": worker.name,
        "host": worker.host,
        "url": display.page_url(worker),
        "badge": display.badge("SILENT" if is_silent(worker) else worker.state),
        "load": display.bar(owned, worker.slots),
        "heartbeat": display.instant(worker.last_heartbeat_at, now),
    }


def read_failures(now: datetime) -> list[dict[str, Any]]:
    """The youngest failed tasks. Index: tasks_ended_status."""
    failed = list(
        Task.objects.filter(ENDED_ROW, status=TaskStatus.FAILED).order_by("-id").defer("payload")[:_MOST_FAILURES]
    )
    latest = selectors.latest_executions([task.pk for task in failed])
    return [_failure_row(task, latest, now) for task in failed]


def _failure_row(task: Task, latest: dict[UUID, Any], now: datetime) -> dict[str, Any]:
    error = selectors.error_of(task, latest.get(task.pk)) or {"code": "", "message": ""}
    return {
        "link": display.task_link(task.pk),
        "type": task.type,
        "queue": task.queue,
        "ended": display.instant(task.finished_at, now),
        **error,
    }


def warnings_of(processes: dict[str, Any], queues: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What somebody should look at: tone and sentence."""
    found = []
    if not processes["schedulers"]:
        found.append(("ts-red", "No scheduler is alive: nothing new is assigned."))
    if not processes["live_workers"]:
        found.append(("ts-red", "No worker is alive: nothing runs."))
    if processes["silent_workers"]:
        found.append(("ts-orange", f"{processes['silent_workers']} worker(s) missed their lease and will be declared dead."))
    if processes["lost_workers"]:
        found.append(("ts-orange", f"{processes['lost_workers']} worker(s) were lost within the last hour."))
    if paused := [queue["name"] for queue in queues if queue["paused"]]:
        found.append(("ts-orange", f"Paused: {', '.join(paused)}."))
    return found


def _tone(oldest_due: timedelta | None) -> str:
    """A due task that waits longer than a lease is worth a colour; longer than five minutes, another."""
    if oldest_due is None or oldest_due < settings.SCHEDULER.heartbeat_timeout:
        return "ts-green"
    return "ts-orange" if oldest_due < timedelta(minutes=5) else "ts-red"
