"""New tasks become rows: one, or many at once, and what becomes of one whose unique key an open task has.

The index decides who is first; what the second meets is decided on the locked row of the first. Checks came before; who
may ask, and idempotency, is up to ``services``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Greatest, Now

from access_app import audit
from tasks_app import busy, transitions, wakeups
from tasks_app.bounds import Full, admit, require_room, unbounded
from tasks_app.cancelling import cancel_tasks
from tasks_app.duplicates import DuplicateTask, holder_of, holders_of
from tasks_app.fields import ASKED, NewTask
from tasks_app.inserting import COLUMNS, insert_task, store_tasks, task_row
from tasks_app.models import Task
from tasks_app.needs import MOST_NEEDS, need_of
from tasks_app.states import WAITING, OnBusy, OnDuplicate

#: They change the open task, whose row is locked for it.
_CHANGES: Final = {OnDuplicate.REPLACE, OnDuplicate.POSTPONE}
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


@dataclass(slots=True)
class Stored:
    """Many tasks: their ids in order. Some may be of tasks that were open before, which have their unique keys."""

    ids: list[UUID]
    #: Their places in the call.
    existing: set[int] = field(default_factory=set)
    #: Places of those that asked to be refused then: nothing was made for them.
    rejected: set[int] = field(default_factory=set)
    #: What was full for those that were refused for that, by their places.
    full: dict[int, Full] = field(default_factory=dict)


def create_one(task_id: UUID, new: NewTask, text: str, created_by: str, idempotency_key: str | None = None) -> Created:
    """Insert a task, or meet the open one that has its unique key, or a busy one.

    Raises `DuplicateTask`, and `QueueFull` when there is to be another and too many wait.
    """
    insert = partial(_insert_one, task_id, created_by=created_by, text=text, idempotency_key=idempotency_key)
    if new.on_busy != OnBusy.QUEUE:
        with transaction.atomic():
            return _meet_busy(new, created_by) or _insert_or_meet(new, insert, created_by)
    return _insert_or_meet(_debounced(new), insert, created_by)


def _insert_or_meet(new: NewTask, insert: Callable[..., Task | None], created_by: str) -> Created:
    """What has its unique key comes first: a full queue takes no more, and what is open in it is there."""
    began = time.monotonic()
    admitted = unbounded.holds(new.queue, began)
    while True:
        if task := insert(new, admitted=admitted):
            if not admitted:
                unbounded.note(new.queue, began)
            return Created(task)
        if new.unique_key is not None:
            with transaction.atomic() if new.on_duplicate in _CHANGES else nullcontext():  # a look needs none
                if met := _meet(new, created_by):
                    return met
        with connection.cursor() as cursor:
            require_room(cursor, new.queue, new.concurrency_key)
        admitted = True


def create_many(
    rows: Sequence[tuple[UUID, NewTask, str]], created_by: str, idempotency_key: str | None = None
) -> Stored:
    """COPY the rows in, in the caller's transaction: one statement whatever their number, two with unique keys.

    Of those whose queue, or concurrency key, takes no more, the first are stored as far as there is room. ``now`` is
    the database's, as for every due time.
    """
    correlation = audit.correlation_id()
    stored, left = Stored([task_id for task_id, _, _ in rows]), list(rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT now(), EXISTS (SELECT FROM bounded_queues)")
        now, bounded = cursor.fetchone()
        if bounded:
            left = _admitted(cursor, stored, left)
        while left:
            made = (
                task_row(
                    task_id, new, text, created_by, idempotency_key=idempotency_key, correlation=correlation, now=now
                )
                for task_id, new, text in left
            )
            met = store_tasks(cursor, COLUMNS, made, most_needs=MOST_NEEDS)
            left = _look_up(cursor, stored, [row for row in left if row[0] in met]) if met else []
    plain = all((new.schedule_at is None or new.schedule_at <= now) and not _needs(new) for _, new, _ in rows)
    _after_commit_wake_schedulers({(new.queue, new.priority) for _, new, _ in rows} if plain else ())
    return stored


def _insert_one(
    task_id: UUID, new: NewTask, *, text: str, created_by: str, idempotency_key: str | None, admitted: bool
) -> Task | None:
    """Insert and read back in one trip, which is what the latency of creating a task consists of."""
    row = task_row(task_id, new, text, created_by, idempotency_key=idempotency_key, correlation=audit.correlation_id())
    if _needs(new):
        return _insert_with_needs(row, admitted=admitted)
    pairs = {(new.queue, new.priority)}
    # Due for certain, and a transaction of its own: then the hint goes in the same trip, when nobody else sends any.
    hint = wakeups.own_hint(pairs) if new.schedule_at is None and connection.get_autocommit() else None
    task = insert_task(row, hint=hint, admitted=admitted)
    if task is not None and hint is None:
        _after_commit_wake_schedulers(pairs if task.run_at == task.updated_at else ())
    return task


def _needs(new: NewTask) -> bool:
    """Whether not every worker will do."""
    return need_of(new.required_labels, new.slots) is not None


def _insert_with_needs(row: tuple[Any, ...], *, admitted: bool) -> Task | None:
    """The same of a task that needs something of its worker: no hint says where it is, and a survey finds it."""
    with transaction.atomic():
        task = insert_task(row, admitted=admitted)
        _after_commit_wake_schedulers(())
    return task


def _meet_busy(new: NewTask, actor: str) -> Created | None:
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


def _debounced(new: NewTask) -> NewTask:
    """The first of those that are put off waits as long as the others, by the database's clock."""
    if new.on_duplicate != OnDuplicate.POSTPONE or new.debounce_seconds is None:
        return new
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        [now] = cursor.fetchone()
    return replace(new, schedule_at=now + timedelta(seconds=new.debounce_seconds))


def _meet(new: NewTask, actor: str) -> Created | None:
    """What becomes of a task whose unique key an open one has; None: that has just ended. Raises `DuplicateTask`."""
    assert new.unique_key is not None
    holder = holder_of(new.queue, new.unique_key, lock=new.on_duplicate in _CHANGES)
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
    columns["correlation_id"] = new.correlation_id or audit.correlation_id() or None
    return Created(transitions.replace(holder, columns, actor=actor), existing="replaced")


def _postpone(holder: Task, new: NewTask, actor: str) -> Created:
    assert new.debounce_seconds is not None
    most = None if new.debounce_max_seconds is None else timedelta(seconds=new.debounce_max_seconds)
    moved = transitions.postpone(holder, timedelta(seconds=new.debounce_seconds), at_most=most, actor=actor)
    return Created(moved, existing="postponed") if moved else Created(holder, existing="returned")


def _look_up(cursor: Any, stored: Stored, met: list[tuple[UUID, NewTask, str]]) -> list[tuple[UUID, NewTask, str]]:
    """Answer those that open tasks stand in the way of, and return those whose way is free by now."""
    places = {task_id: place for place, task_id in enumerate(stored.ids)}
    holders = holders_of(cursor, {(new.queue, str(new.unique_key)) for _, new, _ in met})
    free = []
    for row in met:
        task_id, new, _ = row
        holder, place = holders.get((new.queue, str(new.unique_key))), places[task_id]
        if holder is None:
            free.append(row)
            continue
        stored.ids[place] = holder
        (stored.rejected if new.on_duplicate == OnDuplicate.REJECT else stored.existing).add(place)
    return free


def _admitted(cursor: Any, stored: Stored, rows: list[tuple[UUID, NewTask, str]]) -> list[tuple[UUID, NewTask, str]]:
    """Those there is room for. Of one unique key the first needs some, unless an open task has it."""
    unique = {(new.queue, new.unique_key) for _, new, _ in rows if new.unique_key is not None}
    met: set[Any] = set(holders_of(cursor, unique)) if unique else set()
    needing = []
    for place, (_, new, _) in enumerate(rows):
        name = (new.queue, new.unique_key)
        if name not in met:
            needing.append((place, (new.queue, new.concurrency_key)))
        if new.unique_key is not None:
            met.add(name)
    found = admit(cursor, [name for _, name in needing]) if needing else []
    stored.full = {place: full for (place, _), full in zip(needing, found, strict=True) if full is not None}
    return [row for place, row in enumerate(rows) if place not in stored.full]


def _retries(new: NewTask) -> int:
    return int(settings.SCHEDULER.default_max_retries if new.max_retries is None else new.max_retries)


def _after_commit_wake_schedulers(new: Collection[wakeups.Pair]) -> None:
    """``new`` are the pairs of the new tasks; none when some are not due yet, or not for every worker."""
    transaction.on_commit(lambda: wakeups.notify_schedulers(only_new=True, new=new))
