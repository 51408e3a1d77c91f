"""New tasks become rows: one, or many at once. What they must be, and who may ask, is up to ``services``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from access_app import audit
from tasks_app import approving, edges, notices, wakeups
from tasks_app.bounds import Full, admit, require_room, unbounded
from tasks_app.duplicates import holders_of
from tasks_app.fields import NewTask
from tasks_app.graphs import below_refused
from tasks_app.inserting import COLUMNS, insert_task, store_tasks, task_row
from tasks_app.meeting import CHANGES, Created, debounced, meet, meet_busy
from tasks_app.models import Task
from tasks_app.needs import MOST_NEEDS, need_of
from tasks_app.states import OnBusy, OnDuplicate

#: A new task of many: its id, what it is to be, its payload as JSON text.
New = tuple[UUID, NewTask, str]
RowOf = Callable[[UUID, NewTask, str], tuple[Any, ...]]


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
    if new.callback is not None:
        notices.check_endpoints([new.callback])
    approving.check_groups([new.approval])
    if new.on_busy != OnBusy.QUEUE:
        with transaction.atomic():
            return meet_busy(new, created_by) or _insert_or_meet(new, insert, created_by)
    return _insert_or_meet(debounced(new), insert, created_by)


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
            with transaction.atomic() if new.on_duplicate in CHANGES else nullcontext():  # a look needs none
                if met := meet(new, created_by):
                    return met
        with connection.cursor() as cursor:
            require_room(cursor, new.queue, new.concurrency_key)
        admitted = True


def create_many(
    rows: Sequence[New], created_by: str, idempotency_key: str | None = None, batch: edges.InBatch | None = None
) -> Stored:
    """COPY the rows in, in the caller's transaction: one statement whatever their number, two with unique keys.

    ``batch``: the one they belong to, which the caller holds.

    Of those whose queue, or concurrency key, takes no more, the first are stored as far as there is room. ``now`` is
    the database's, as for every due time.
    """
    stored, left = Stored([task_id for task_id, _, _ in rows]), list(rows)
    ended = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT now(), EXISTS (SELECT FROM bounded_queues)")
        now, bounded = cursor.fetchone()
        if bounded:
            left = _admitted(cursor, stored, left)
        notices.check_endpoints(new.callback for _, new, _ in rows)
        approving.check_groups(new.approval for _, new, _ in rows)
        row_of: RowOf = partial(
            task_row,
            created_by=created_by,
            idempotency_key=idempotency_key,
            correlation=audit.correlation_id(),
            now=now,
        )
        if batch is not None or any(new.depends_on for _, new, _ in rows):
            ended = _copy_with_edges(cursor, stored, left, row_of, batch)
        else:
            _copy(cursor, stored, left, row_of)
    if ended:
        transaction.on_commit(wakeups.notify_schedulers)
    else:
        plain = all(_is_plain(new, now) for _, new, _ in rows)
        _after_commit_wake_schedulers({(new.queue, new.priority) for _, new, _ in rows} if plain else ())
    return stored


def _copy(cursor: Any, stored: Stored, left: list[New], row_of: RowOf, columns: Sequence[str] = COLUMNS) -> None:
    """Store what has no place taken by an open task, until it is known of each."""
    while left:
        made = (row_of(task_id, new, text) for task_id, new, text in left)
        met = store_tasks(cursor, columns, made, most_needs=MOST_NEEDS)
        left = _look_up(cursor, stored, [row for row in left if row[0] in met]) if met else []


def _copy_with_edges(cursor: Any, stored: Stored, left: list[New], row_of: RowOf, batch: edges.InBatch | None) -> bool:
    """The same of tasks that are in a batch, or of which some wait for others, of the same call too; whether any of
    those has ended.
    """
    if stored.full:
        left = _without_dependents(stored, left)
    children = {task_id: new for task_id, new, _ in left if new.depends_on}
    parents = {parent for new in children.values() for parent in edges.parents_of(new)}
    ended = edges.hold_parents(cursor, children.values(), stored.ids)

    def row_with_edges(task_id: UUID, new: NewTask, text: str) -> tuple[Any, ...]:
        return row_of(task_id, new, text) + edges.values_of(new, has_dependents=task_id in parents)

    def row_of_member(task_id: UUID, new: NewTask, text: str) -> tuple[Any, ...]:
        marked = task_id in parents or task_id == watch
        return row_of(task_id, new, text) + edges.member_values(new, batch_id, has_dependents=marked)

    if batch is None:
        _copy(cursor, stored, left, row_with_edges, COLUMNS + edges.COLUMNS)
    else:
        batch_id, watch = batch
        _copy(cursor, stored, left, row_of_member, COLUMNS + edges.MEMBER_COLUMNS)
    if children:
        edges.add_edges(cursor, children)
    return ended


def _without_dependents(stored: Stored, left: list[New]) -> list[New]:
    """Those that depend on no task which found its queue full; the others are refused for that, too."""
    places = {task_id: place for place, task_id in enumerate(stored.ids)}
    above = {places[task_id]: [places.get(parent, -1) for parent in edges.parents_of(new)] for task_id, new, _ in left}
    for place, parent in below_refused(above, stored.full.keys()):
        stored.full[place] = stored.full[parent]
    return [row for row in left if places[row[0]] not in stored.full]


def _is_plain(new: NewTask, now: datetime) -> bool:
    """Whether it is due, for every worker, and waits for nothing else."""
    due = new.schedule_at is None or new.schedule_at <= now
    return due and not _needs(new) and not new.depends_on and new.approval is None


def _insert_one(
    task_id: UUID, new: NewTask, *, text: str, created_by: str, idempotency_key: str | None, admitted: bool
) -> Task | None:
    """Insert and read back in one trip, which is what the latency of creating a task consists of."""
    row = task_row(task_id, new, text, created_by, idempotency_key=idempotency_key, correlation=audit.correlation_id())
    if new.depends_on:
        return _insert_with_edges(task_id, new, row, admitted=admitted)
    if _needs(new) or new.approval is not None:
        return _insert_without_hint(row, admitted=admitted)
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


def _insert_without_hint(row: tuple[Any, ...], *, admitted: bool) -> Task | None:
    """The same of a task that needs something of its worker, or an approval: no hint says where it is."""
    with transaction.atomic():
        task = insert_task(row, admitted=admitted)
        _after_commit_wake_schedulers(())
    return task


def _insert_with_edges(task_id: UUID, new: NewTask, row: tuple[Any, ...], *, admitted: bool) -> Task | None:
    """The same of a task that waits for others. Raises `InvalidTask` when there is not one of them."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            ended = edges.hold_parents(cursor, [new])
            more = dict(zip(edges.COLUMNS, edges.values_of(new, has_dependents=False), strict=True))
            task = insert_task(row, more, admitted=admitted)
            if task is None:
                return None  # its queue may be full
            edges.add_edges(cursor, {task_id: new})
        if ended:
            transaction.on_commit(wakeups.notify_schedulers)
    return task


def _look_up(cursor: Any, stored: Stored, met: list[New]) -> list[New]:
    """Note those that open tasks stand in the way of, and return those whose way is free by now."""
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


def _admitted(cursor: Any, stored: Stored, rows: list[New]) -> list[New]:
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


def _after_commit_wake_schedulers(new: Collection[wakeups.Pair]) -> None:
    """``new`` are the pairs of the new tasks; none when some are not due yet, or not for every worker."""
    transaction.on_commit(lambda: wakeups.notify_schedulers(only_new=True, new=new))
