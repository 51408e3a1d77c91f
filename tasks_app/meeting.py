"""What becomes of a new task that meets an open one: of its unique key, or of a concurrency key that is busy.

Who was first is decided by the index; what the second meets is decided on the locked row of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Greatest, Now

from access_app import audit
from access_app.sql import database_now
from tasks_app import busy, transitions, wakeups
from tasks_app.cancelling import cancel_tasks
from tasks_app.duplicates import DuplicateTask, holder_of
from tasks_app.fields import ASKED, NewTask
from tasks_app.models import Task
from tasks_app.states import WAITING, OnDuplicate

#: They change the open task, whose row is locked for it.
CHANGES: Final = {OnDuplicate.REPLACE, OnDuplicate.POSTPONE}
#: What stays of a task that is replaced. Another type or concurrency key is another kind of task.
_KEPT: Final = {"type", "queue", "concurrency_key", "unique_key", "correlation_id", "schedule_at", "max_retries"}
_REPLACED: Final = [row.column for row in ASKED if row.stored and row.column not in _KEPT]


@dataclass(frozen=True, slots=True)
class Created:
    """A task, whether its idempotency key was replayed, and what became of the one that was there before."""

    task: Task
    replayed: bool = False
    #: ``returned``, ``replaced``, ``postponed``, ``skipped`` or ``queued``: no task was created. Empty: one was.
    existing: str = ""


def meet_busy(new: NewTask, actor: str) -> Created | None:
    """The task to return because the concurrency key is busy; None: there is to be another. Some may make way."""
    with connection.cursor() as cursor:
        verdict = busy.decide(new.on_busy, *busy.open_tasks_of(cursor, new.queue, str(new.concurrency_key)))
        if verdict.existing:
            return Created(Task.objects.get(pk=verdict.existing), existing=verdict.word)
        if verdict.cancel:
            reason = "a task that cancels those of its concurrency key was created"
            workers = cancel_tasks(cursor, [(task_id, actor) for task_id in verdict.cancel], reason=reason)
            for worker_id in workers:
                transaction.on_commit(partial(wakeups.notify_stop, worker_id))
    return None


def debounced(new: NewTask) -> NewTask:
    """The first of those that are put off waits as long as the others, by the database's clock."""
    if new.on_duplicate != OnDuplicate.POSTPONE or new.debounce_seconds is None:
        return new
    return replace(new, schedule_at=database_now() + timedelta(seconds=new.debounce_seconds))


def meet(new: NewTask, actor: str) -> Created | None:
    """What becomes of a task whose unique key an open one has; None: that has just ended. Raises `DuplicateTask`."""
    assert new.unique_key is not None
    holder = holder_of(new.queue, new.unique_key, lock=new.on_duplicate in CHANGES)
    if holder is None:
        return None
    if new.on_duplicate == OnDuplicate.RETURN:
        return Created(holder, existing="returned")
    if new.on_duplicate == OnDuplicate.REJECT:
        raise DuplicateTask(holder.pk)
    if holder.status not in WAITING:
        raise DuplicateTask(holder.pk, "it runs: it can be neither replaced nor postponed")
    if holder.type != new.type:
        raise DuplicateTask(holder.pk, "it is of another type: it can be neither replaced nor postponed by this one")
    met = _replace(holder, new, actor) if new.on_duplicate == OnDuplicate.REPLACE else _postpone(holder, new, actor)
    transaction.on_commit(wakeups.notify_schedulers)
    return met


def _replace(holder: Task, new: NewTask, actor: str) -> Created:
    if holder.concurrency_key != new.concurrency_key:
        raise DuplicateTask(holder.pk, "it is of another concurrencyKey, and cannot be replaced by this one")
    due: Any = Now() if new.schedule_at is None else Greatest(Value(new.schedule_at), Now())
    columns = {column: getattr(new, column) for column in _REPLACED}
    columns |= {"schedule_at": due, "run_at": due, "max_retries": _retries(new)}
    columns["callback"] = new.callback or None
    columns["correlation_id"] = new.correlation_id or audit.correlation_id() or None
    return Created(transitions.replace(holder, columns, actor=actor), existing="replaced")


def _postpone(holder: Task, new: NewTask, actor: str) -> Created:
    assert new.debounce_seconds is not None
    most = None if new.debounce_max_seconds is None else timedelta(seconds=new.debounce_max_seconds)
    moved = transitions.postpone(holder, timedelta(seconds=new.debounce_seconds), at_most=most, actor=actor)
    return Created(moved, existing="postponed") if moved else Created(holder, existing="returned")


def _retries(new: NewTask) -> int:
    return int(settings.SCHEDULER.default_max_retries if new.max_retries is None else new.max_retries)
