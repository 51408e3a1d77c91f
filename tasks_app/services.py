"""What a person or a program may ask for: create, bulk create, edit, cancel, retry, clone.

Each function is one transaction. Wake-ups go out after its commit. Checks of a new task are in ``new_tasks``, the
guarded changes of existing ones in ``transitions``; who may ask is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from access_app.idempotency import Idempotency, answer_with, move_idempotency_key, take_idempotency_key
from access_app.ids import new_task_ids
from access_app.versions import Versions
from tasks_app import transitions, wakeups
from tasks_app.bounds import QueueFull, queue_full
from tasks_app.creating import Stored, create_many, create_one
from tasks_app.duplicates import DuplicateTask
from tasks_app.edges import InBatch, check_inputs
from tasks_app.fields import ASKED, NewTask
from tasks_app.meeting import Created
from tasks_app.models import Task
from tasks_app.new_tasks import EXPIRES_TOO_EARLY, InvalidTask, bulk_problems, check_task, depending_on_inputs
from tasks_app.rerunning import retry
from tasks_app.selectors import task_of
from tasks_app.states import TaskStatus


def create_task(new: NewTask, *, created_by: str, idempotency: Idempotency | None = None) -> Created:
    """Create one task, PENDING; or what its ``onDuplicate`` says when an open one has its unique key.

    With an idempotency key, the same key and fingerprint return the same task, also when sent in parallel. Raises
    `InvalidTask`, `IdempotencyConflict`, `DuplicateTask`, `QueueFull`.
    """
    text, [task_id] = check_task(new), new_task_ids(1)
    if idempotency is None:  # one statement is a transaction of its own: two trips fewer
        return create_one(task_id, new, text, created_by)
    with transaction.atomic():
        replay = take_idempotency_key(created_by, idempotency, [task_id])
        if replay is not None:
            if task := Task.objects.filter(pk=replay.task_ids[0]).first():
                return Created(task, replayed=True)
            move_idempotency_key(created_by, idempotency, [task_id])  # somebody deleted the task and left its key
        made = create_one(task_id, new, text, created_by, idempotency.key)
        if made.existing:
            answer_with(created_by, idempotency, [made.task.pk], lives_with=made.task.pk)
        return made


def create_tasks(
    new_tasks: Sequence[NewTask],
    *,
    created_by: str,
    texts: Sequence[str] | None = None,
    ids: Sequence[UUID] | None = None,
    idempotency: Idempotency | None = None,
) -> list[UUID]:
    """Create many tasks at once, all or none, and return their ids in order.

    ``texts`` are the payloads as `check_task` returned them, for a caller that has checked each task already; without
    them every task is checked here and the first bad one raises `InvalidTask`. ``ids`` are fresh ids made before, to be
    stored with an idempotency key that the caller has taken. Where an open task has a unique key, its id is returned,
    or `DuplicateTask` raised; and `QueueFull`, where there is not room for all.
    """
    with transaction.atomic():
        stored = store_tasks(new_tasks, created_by=created_by, texts=texts, ids=ids, idempotency=idempotency)
        if stored.rejected:
            raise DuplicateTask(stored.ids[min(stored.rejected)])
        if stored.full:
            raise full_for(stored)
    return stored.ids


def store_tasks(
    new_tasks: Sequence[NewTask],
    *,
    created_by: str,
    texts: Sequence[str] | None = None,
    ids: Sequence[UUID] | None = None,
    idempotency: Idempotency | None = None,
    batch: InBatch | None = None,
) -> Stored:
    """As `create_tasks`, but without those whose unique keys open tasks have, or whose queues are full."""
    texts = [_check_one_of_many(new) for new in new_tasks] if texts is None else texts
    ids = new_task_ids(len(new_tasks)) if ids is None else ids
    if not new_tasks:
        return Stored([])
    with transaction.atomic():
        rows = list(zip(ids, new_tasks, texts, strict=True))
        return create_many(rows, created_by, idempotency.key if idempotency else None, batch)


def full_for(stored: Stored) -> QueueFull:
    """The refusal of those that were not stored because their queues are full."""
    with connection.cursor() as cursor:
        return queue_full(cursor, stored.full[min(stored.full)], refused=len(stored.full))


def _check_one_of_many(new: NewTask) -> str:
    if problems := bulk_problems(new):
        raise InvalidTask(problems)
    return check_task(new)


def cancel_task(task_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Task:
    """Cancel a task: at once when it waits, within a second when it runs. See `transitions.cancel`."""
    with transaction.atomic():
        task = transitions.cancel(task_id, actor=actor, reason=reason, versions=versions)
        if task.status == TaskStatus.RUNNING and task.worker_id is not None:
            transaction.on_commit(partial(wakeups.notify_stop, task.worker_id))
        else:  # its room, or its concurrency key, is free
            transaction.on_commit(wakeups.notify_schedulers)
    return task


def edit_task(task_id: UUID, changes: dict[str, Any], *, actor: str, versions: Versions = None) -> Task:
    """Change a task that has not started. ``changes`` are checked columns; see `transitions.edit`.

    Raises `InvalidTask` too, when it would expire before it is due, or take results of what it does not depend on.
    """
    with transaction.atomic():
        task = transitions.edit(task_id, changes, actor=actor, versions=versions)
        _check_order(task, changes)
        check_inputs(task.pk, task.type, changes.get("payload"))
        transaction.on_commit(wakeups.notify_schedulers)
    return task


def _check_order(task: Task, changes: dict[str, Any]) -> None:
    if task.expires_at is None or task.expires_at > task.schedule_at:
        return
    if "expires_at" in changes:
        raise InvalidTask({"expiresAt": EXPIRES_TOO_EARLY})
    if "schedule_at" in changes:
        raise InvalidTask({"scheduleAt": f"must lie before expiresAt, {task.expires_at.astimezone(UTC):%FT%TZ}"})


def retry_task(task_id: UUID, *, actor: str, **options: Any) -> Task:
    """Run an ended task again. See `rerunning.retry`."""
    with transaction.atomic():
        transaction.on_commit(wakeups.notify_schedulers)
        return retry(task_id, actor=actor, **options)


def clone_task(task_id: UUID, *, actor: str, correlation_id: str | None = None) -> Task:
    """Create a new task, due now, with the definition of another in any state. Raises `TaskNotFound`, `InvalidTask`."""
    return create_task(replace(definition_of(task_of(task_id)), correlation_id=correlation_id), created_by=actor).task


def definition_of(task: Task) -> NewTask:
    """What one would ask for to create this task again, without its times; it depends on what it takes results of."""
    asked = {row.column: row.asked(getattr(task, row.column)) for row in ASKED if row.cloned}
    return depending_on_inputs(NewTask(**asked))
