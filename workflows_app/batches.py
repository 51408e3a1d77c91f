"""What a person or a program may ask for: make a batch, add to it, close it, cancel it, run what failed in it again.

Each function is one transaction that holds the batch. Where it may be done with that, a hint to schedulers follows:
whether it is, is for their rounds to see (``batch_endings``). Batches are locked before tasks, each in the order of
their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from access_app import audit
from access_app.idempotency import Idempotency, drop_idempotency_key, take_idempotency_key
from access_app.ids import created_at, new_task_id
from access_app.sql import Cursor, statement
from access_app.versions import Versions, require
from schedules_app.stored import template_json
from tasks_app import edges, services, wakeups
from tasks_app.attempts import hold_attempt
from tasks_app.creating import Stored
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask
from tasks_app.rerunning import Allow, rerun
from tasks_app.task_tokens import Fence
from workflows_app.batch_rules import DONE, BatchStatus, FollowUp
from workflows_app.batch_table import MAX_DEPTH, Batch
from workflows_app.new_batches import InvalidBatch, NewBatch, check_batch, watched_of
from workflows_app.selectors import BatchNotFound, batch_of, find_batch

#: Whoever looks for circles takes turns: see ``sql/find_circle.sql``.
_LOCK_CIRCLES: Final = "SELECT pg_advisory_xact_lock(7302)"
_CIRCLE: Final = "would wait for itself: what it depends on waits for the batch that it is in"


class BatchDone(Exception):
    """The batch takes no more, or there is nothing to do in it. ``status`` is what it was."""

    def __init__(self, why: str, status: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Members:
    """Checked tasks of a call: what they are, their payloads as JSON text, and fresh ids."""

    tasks: Sequence[NewTask] = ()
    texts: Sequence[str] = ()
    ids: Sequence[UUID] = ()
    #: The attempt that adds them by its token.
    added_by: Fence | None = None


class Made(NamedTuple):
    """A batch, its tasks as they were stored, what is returned of them, and whether an earlier request made it."""

    batch: Batch
    stored: Stored
    refs: dict[str, str]
    replayed: bool = False


class Joined(NamedTuple):
    """A batch that is held while something is added to it. ``awaited``: somebody waits for it, or one around it."""

    status: str
    stopping: bool
    depth: int
    awaited: bool


def create_batch(
    new: NewBatch,
    members: Members,
    *,
    created_by: str,
    refs: dict[str, UUID] | None = None,
    idempotency: Idempotency | None = None,
) -> Made:
    """Make a batch and its tasks, all or none: those that found no room are in ``stored.full``, and nothing is kept
    when the caller raises for that.

    Raises `InvalidBatch`, `InvalidTask` (what they depend on), `BatchDone` (what it is to lie in), and
    `IdempotencyConflict`.
    """
    check_batch(new)
    batch_id, names = new_task_id(), {ref: str(task_id) for ref, task_id in (refs or {}).items()}
    with transaction.atomic():
        if idempotency is not None and (earlier := _replayed(created_by, idempotency, batch_id, names)):
            return earlier
        with connection.cursor() as cursor:
            outer = None if new.parent_id is None else _join_outer(cursor, new.parent_id, members)
            _insert(batch_id, new, outer.depth + 1 if outer else 0, created_by, idempotency)
            if outer:  # nobody can wait yet for one that lies in none
                _check_circle(cursor, batch_id, members, awaited=outer.awaited)
        stored = _store(members, edges.InBatch(batch_id, watched_of(members.tasks, members.ids)), created_by, None)
        if stored.full or not members.tasks:  # then none of them may be watched
            Batch.objects.filter(pk=batch_id).update(look=True)
            transaction.on_commit(_hint)
    return Made(batch_of(batch_id), stored, names)


def add_tasks(batch_id: UUID, members: Members, *, created_by: str, idempotency: Idempotency | None = None) -> Stored:
    """Add tasks to a batch that is not done. Raises `BatchNotFound`, `BatchDone`, `InvalidTask`; else as
    `create_batch`.

    Others may add at the same time; a task of the batch that runs keeps it from being done meanwhile. What an attempt
    adds is added only while it runs (`AttemptOver`).
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            joined = _join(cursor, batch_id, members)
            if joined is None:
                raise BatchNotFound(f"there is no batch {batch_id}")
            if members.added_by is not None:
                hold_attempt(members.added_by)
            _require_open(joined)
            _check_circle(cursor, batch_id, members, awaited=joined.awaited)
        return _store(members, edges.InBatch(batch_id), created_by, idempotency)


def close_batch(batch_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Batch:
    """Let a batch be done once its tasks are; one that was closed before is looked at again.

    Raises `BatchNotFound`, `Stale`, `BatchDone`.
    """
    with transaction.atomic():
        batch = _lock(batch_id, versions)
        if batch.status in DONE:
            raise BatchDone(f"the batch is {batch.status}", batch.status)
        closes = batch.status == BatchStatus.OPEN
        _update(batch, grows=closes, status=BatchStatus.RUNNING, look=True)
        if closes:
            audit.record(actor, "batch.closed", f"batch:{batch_id}", reason=reason)
        transaction.on_commit(_hint)
    return batch_of(batch_id)


def cancel_batch(batch_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Batch:
    """Cancel what waits in a batch and in those in it; what runs is left to end, and then the batch is CANCELLED.

    Asking again changes nothing. Raises `BatchNotFound`, `Stale`, `BatchDone`.
    """
    with transaction.atomic():
        batch = _lock(batch_id, versions)
        if batch.status in DONE:
            raise BatchDone(f"the batch is {batch.status} already", batch.status)
        if batch.cancelled_at is None:
            _update(batch, status=BatchStatus.RUNNING, cancelled_at=Now(), stopping=True, look=True)
            audit.record(actor, "batch.cancelled", f"batch:{batch_id}", reason=reason)
        transaction.on_commit(_hint)
    return batch_of(batch_id)


def retry_batch(
    batch_id: UUID, *, actor: str, allow: Allow, everything: bool = False, reason: str = "", versions: Versions = None
) -> tuple[Batch, int]:
    """Run again what failed in a batch and what was cancelled for that, here and in those that waited for it.

    What succeeded keeps its result. When all has ended, the batch is done again, under the next completion number.
    ``everything``: also what somebody cancelled. Return the batch and how many tasks run again. Raises `BatchNotFound`,
    `Stale`, `BatchDone` (nothing failed), `QueueFull`, and what ``allow`` raises.
    """
    with transaction.atomic():
        batch = batch_of(batch_id)
        require(versions, batch.version, "batch")
        with connection.cursor() as cursor:
            failed = find_failed_in(cursor, batch_id, everything=everything)
        if not failed or batch.status == BatchStatus.SUCCESS:
            raise BatchDone("nothing has failed in the batch", batch.status)
        again = rerun([*failed, batch_id], actor=actor, allow=allow, reason=reason)
        if not again:  # somebody else was first
            raise BatchDone("nothing has failed in the batch", batch.status)
        audit.record(actor, "batch.retried", f"batch:{batch_id}", reason=reason, detail={"tasks": len(again)})
        transaction.on_commit(wakeups.notify_schedulers)
    return batch_of(batch_id), len(again)


def join_batch(cursor: Cursor, batch_id: UUID) -> Joined | None:
    """Hold a batch while something is added to it; None: there is none."""
    cursor.execute(statement("join_batch"), {"id": batch_id})
    return next(map(Joined._make, cursor.fetchall()), None)


def find_circle(cursor: Cursor, batch_id: UUID, parents: Collection[UUID]) -> bool:
    """Whether any of these tasks and batches waits for a batch, or is it."""
    cursor.execute(statement("find_circle"), {"id": batch_id, "parents": list(parents)})
    [(circle,)] = cursor.fetchall()
    return bool(circle)


def find_failed_in(cursor: Cursor, batch_id: UUID, *, everything: bool = False) -> list[UUID]:
    """The tasks of a batch, and of those in it, that a retry runs again."""
    cursor.execute(statement("find_failed_in"), {"id": batch_id, "all": everything})
    return [task_id for (task_id,) in cursor.fetchall()]


def _replayed(created_by: str, idempotency: Idempotency, batch_id: UUID, refs: dict[str, str]) -> Made | None:
    """What an earlier request with the key has made; else the key is taken now."""
    document = {"id": str(batch_id), "refs": refs}
    while replay := take_idempotency_key(created_by, idempotency, [], document):
        if batch := find_batch(UUID(replay.response["id"])):
            return Made(batch, Stored([]), replay.response["refs"], replayed=True)
        drop_idempotency_key(created_by, idempotency.key)  # somebody deleted the batch and left its key
    return None


def _join(cursor: Cursor, batch_id: UUID, members: Members) -> Joined | None:
    """Hold a batch, together with the batches that tasks to be added depend on, where there are such."""
    if awaited := {each for new in members.tasks for each in edges.batches_of(new)}:
        edges.hold_batches(cursor, awaited, batch_id)
    return join_batch(cursor, batch_id)


def _join_outer(cursor: Cursor, parent_id: UUID, members: Members) -> Joined:
    """Hold the batch that a new one is to lie in."""
    joined = _join(cursor, parent_id, members)
    if joined is None:
        raise InvalidBatch({"parentBatchId": f"there is no batch {parent_id}"})
    _require_open(joined)
    if joined.depth >= MAX_DEPTH:
        raise InvalidBatch({"parentBatchId": f"must not lie in more than {MAX_DEPTH} batches"})
    return joined


def _require_open(joined: Joined) -> None:
    if joined.status in DONE:
        raise BatchDone(f"the batch is {joined.status} and takes no more", joined.status)
    if joined.stopping:
        raise BatchDone("the batch was cancelled, or has failed fast, and takes no more", joined.status)


def _check_circle(cursor: Cursor, batch_id: UUID, members: Members, *, awaited: bool) -> None:
    """Refuse tasks that wait, over whatever others, for the batch that they are to be in.

    Not ``awaited``: nobody waits for it or for those around it, these tasks neither, whose batches are marked by now.
    """
    batches = {each for new in members.tasks for each in edges.batches_of(new)}
    tasks = {each for new in members.tasks for each in edges.parents_of(new)} - set(members.ids)
    if awaited and (batches or tasks):
        cursor.execute(_LOCK_CIRCLES)
        if find_circle(cursor, batch_id, batches | tasks):
            raise InvalidTask({"dependsOn": _CIRCLE})


def _insert(batch_id: UUID, new: NewBatch, depth: int, created_by: str, idempotency: Idempotency | None) -> None:
    templates: dict[FollowUp, Any] = {which: template_json(task) for which, task in new.follow_ups.items()}
    Batch.objects.create(
        id=batch_id,
        created_at=created_at(batch_id),
        parent_id=new.parent_id,
        depth=depth,
        name=new.name,
        status=BatchStatus.OPEN if new.open else BatchStatus.RUNNING,
        has_dependents=new.parent_id is not None,  # which has to know of its end
        fail_fast=new.fail_fast and new.fail_fast.limit,
        fail_fast_is_percent=bool(new.fail_fast and new.fail_fast.percent),
        on_complete=templates.get(FollowUp.COMPLETE),
        on_success=templates.get(FollowUp.SUCCESS),
        on_failure=templates.get(FollowUp.FAILURE),
        created_by=created_by,
        correlation_id=audit.correlation_id() or None,
        idempotency_key=idempotency.key if idempotency else None,
    )


def _store(members: Members, batch: edges.InBatch, created_by: str, idempotency: Idempotency | None) -> Stored:
    return services.store_tasks(
        members.tasks,
        created_by=created_by,
        texts=members.texts,
        ids=members.ids,
        idempotency=idempotency,
        batch=batch,
    )


def _lock(batch_id: UUID, versions: Versions) -> Batch:
    batch = Batch.objects.select_for_update(no_key=True).filter(pk=batch_id).first()
    if batch is None:
        raise BatchNotFound(f"there is no batch {batch_id}")
    require(versions, batch.version, "batch")
    return batch


def _update(batch: Batch, *, grows: bool = True, **columns: Any) -> None:
    """Write columns of a locked row."""
    version = F("version") + (1 if grows else 0)
    Batch.objects.filter(pk=batch.pk).update(version=version, updated_at=Now(), **columns)


def _hint() -> None:
    wakeups.notify_schedulers(ended=True)
