"""Whether a process still lives, as its badge shows it: people see it fall silent before it is declared dead."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.safestring import SafeString

from access_app.staff import display
from tasks_app.states import LIVE_WORKER_STATES, WorkerState
from workers_app.models import Scheduler, Worker


def is_silent(worker: Worker) -> bool:
    """Whether a live worker has missed its lease and is about to be declared dead."""
    age = timezone.now() - worker.last_heartbeat_at
    return worker.state in LIVE_WORKER_STATES and age > silence()


def state_badge(worker: Worker) -> SafeString:
    return display.badge("SILENT" if is_silent(worker) else worker.state)


def scheduler_state(scheduler: Scheduler) -> str:
    """Schedulers have no state column: a stopped one says so, a dead one just falls silent."""
    if scheduler.stopped_at is not None:
        return WorkerState.STOPPED
    return WorkerState.ACTIVE if timezone.now() - scheduler.last_heartbeat_at <= silence() else WorkerState.DEAD


def silence() -> timedelta:
    """How long a process may be silent before it counts as gone."""
    timeout: timedelta = settings.SCHEDULER.heartbeat_timeout
    return timeout
