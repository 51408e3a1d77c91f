"""The index page of the staff UI: the state of the system at a glance, in a handful of cheap reads.

What waits, what is owned and who is alive comes from ``selectors.survey``; what ended is read from the last hour of
attempts, of which each minute is counted once. The whole is kept for some seconds, whoever looks.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone

from access_app.patience import TooSlow
from access_app.rights import Account, Action, Person
from access_app.staff import display
from access_app.staff.live import frame_of
from access_app.staff.outputs import masked
from monitoring_app import selectors
from monitoring_app.backlog import oldest_due, read_queues
from monitoring_app.selectors import Survey, WorkerLoad
from monitoring_app.throughput import MINUTES, Minute, draw, ended_by_minute, read_delays
from schedules_app import selectors as schedule_selectors
from schedules_app.admin.next_fires import next_fires
from tasks_app.models import Task
from tasks_app.selectors import error_of, latest_executions, latest_failures
from tasks_app.states import LIVE_WORKER_STATES, WorkerState
from workers_app.admin.alive import state_badge

#: With the statements of one look, this is what many viewers cost: two statements a second.
KEPT_SECONDS: Final = 8
_KEPT: Final = "dashboard:overview"
_READING: Final = threading.Lock()
#: A success rate below this is shown in red.
WORST_RATE: Final = 0.9
_MOST_WORKERS: Final = 12
_MOST_FAILURES: Final = 8
_MOST_SCHEDULES: Final = 6
_MOST_PAUSED: Final = 4
_MOST_OVERDUE: Final = 1000
_SHOWN_OF_SCHEDULES: Final = ("name", "next_fire_at", "next_slot", "calendars", "paused_at", "resumed_at")


_SHOWN: Final = {
    "task": Action.TASK_READ,
    "queue": Action.QUEUE_READ,
    "worker": Action.WORKER_READ,
    "schedule": Action.SCHEDULE_READ,
}


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """DASHBOARD_CALLBACK of django-unfold: add what the person may see to the index page's context."""
    return context | shown_to(seen_by(request.user)) | frame_of(request)


def seen_by(account: Account) -> dict[str, bool]:
    """Of each part of the page, whether somebody may see it."""
    person = Person(account)
    return {name: person.may(action) for name, action in _SHOWN.items()}


def shown_to(may: dict[str, bool]) -> dict[str, Any]:
    """The page for somebody who may see these parts."""
    everything = overview() if any(may.values()) else {}
    warnings = [(tone, text) for part, tone, text in everything.get("warnings", ()) if may[part]]
    return {"title": "Overview", "may": may, "overview": everything, "warnings": warnings}


def overview() -> dict[str, Any]:
    """Everything the index page shows, a few seconds old at most: read once, however many look."""
    kept: dict[str, Any] | None = cache.get(_KEPT)
    if kept is None:
        with _READING:  # the others wait for the one that reads
            kept = cache.get(_KEPT)
            if kept is None:
                kept = _read_overview()
                cache.set(_KEPT, kept, KEPT_SECONDS)
    return kept


def _read_overview() -> dict[str, Any]:
    now = timezone.now()
    try:
        with selectors.bounded(selectors.SURVEY_TIMEOUT):
            return _read_parts(now)
    except TooSlow:
        return {"now": now, "too_slow": True}


def _read_parts(now: datetime) -> dict[str, Any]:
    owned = selectors.owned()
    survey = selectors.survey()
    loads = selectors.workers(owned)
    minutes = ended_by_minute(now)
    queues = read_queues(survey.heads, {queue for _, _, queue in owned})
    schedules = read_schedules(now) | {"put_off": survey.schedules_put_off}
    processes = processes_of(survey, loads, now)
    return {
        "now": now,
        "stats": stats_of(survey, minutes, queues),
        "chart": draw(minutes, now),
        "delays": read_delays(),
        "queues": queues,
        "failures": read_failures(now),
        "schedules": schedules,
        "warnings": warnings_of(processes, queues, schedules),
        **processes,
    }


def stats_of(survey: Survey, minutes: dict[datetime, Minute], queues: list[dict[str, Any]]) -> dict[str, Any]:
    succeeded, failed, retried = (sum(minute[part] for minute in minutes.values()) for part in range(3))
    ended = succeeded + failed
    oldest = None if survey.oldest_due_age is None else timedelta(seconds=survey.oldest_due_age)
    return {
        "waiting": f"≈ {survey.waiting:,}" if survey.waiting_is_estimate else display.number(survey.waiting),
        "scheduled": display.number(survey.scheduled),
        "running": display.number(survey.running),
        **oldest_due(oldest, max((each["oldest_age"] for each in queues if each["held"]), default=None)),
        "succeeded": display.number(succeeded),
        "failed": display.number(failed),
        "retried": display.number(retried),
        "success_rate": f"{100 * succeeded / ended:.1f} %" if ended else display.EMPTY,
        "success_tone": tone_of(succeeded, ended),
        "per_minute": f"{(succeeded + failed + retried) / MINUTES:,.1f}",
    }


def tone_of(succeeded: int, ended: int) -> str:
    """None of nothing: that nothing has ended is not well."""
    return "" if not ended else "ts-red" if succeeded / ended < WORST_RATE else "ts-green"


def read_schedules(now: datetime) -> dict[str, Any]:
    """The schedules that fire next, and how many are past their time. Index: schedules_due."""
    with selectors.bounded(selectors.SURVEY_TIMEOUT):
        next_ones = list(schedule_selectors.running().only(*_SHOWN_OF_SCHEDULES)[:_MOST_SCHEDULES])
        words = next_fires(next_ones, now)
        overdue = schedule_selectors.overdue(now)[: _MOST_OVERDUE + 1].count()
    rows = [
        {
            "id": schedule.pk,
            "name": schedule.name,
            "url": display.page_url(schedule),
            "fires": words[schedule.pk],
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
        "heartbeat": display.past(worker.last_heartbeat_at, now),
    }


def read_failures(now: datetime) -> list[dict[str, Any]]:
    """The youngest failed tasks. Index: tasks_unsuccessful."""
    failed = list(latest_failures()[:_MOST_FAILURES])
    latest = latest_executions([task.pk for task in failed])
    return [_failure_row(task, latest, now) for task in failed]


def _failure_row(task: Task, latest: dict[UUID, Any], now: datetime) -> dict[str, Any]:
    error = error_of(task, latest.get(task.pk)) or {"code": "", "message": ""}
    return {
        "id": task.pk,
        "link": display.task_link(task.pk),
        "type": task.type,
        "ended": display.past(task.finished_at, now),
        **masked(error),
    }


def warnings_of(
    processes: dict[str, Any], queues: list[dict[str, Any]], schedules: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """What somebody should look at: which part of the page it is about, tone and sentence."""
    found = []
    if not processes["schedulers"]:
        found.append(("worker", "ts-red", "No scheduler is alive: nothing new is assigned."))
    if not processes["live_workers"]:
        found.append(("worker", "ts-red", "No worker is alive: nothing runs."))
    if processes["silent_workers"]:
        text = f"Workers past their lease, about to be declared dead: {processes['silent_workers']}."
        found.append(("worker", "ts-orange", text))
    if processes["lost_workers"]:
        found.append(("worker", "ts-orange", f"Workers lost within the last hour: {processes['lost_workers']}."))
    if overdue := schedules["overdue"]:
        text = f"Schedules past their time by more than {display.span(schedule_selectors.OVERDUE)}: {overdue}."
        found.append(("schedule", "ts-red", text))
    if put_off := schedules["put_off"]:
        found.append(("schedule", "ts-red", f"Schedules that could not be decided, and are put off: {put_off}."))
    if paused := [queue["name"] for queue in queues if queue["paused"]]:
        more = f" and {len(paused) - _MOST_PAUSED} more" if len(paused) > _MOST_PAUSED else ""
        found.append(("queue", "ts-orange", f"Paused: {', '.join(paused[:_MOST_PAUSED])}{more}."))
    return found
