"""Runs that somebody asks for: one now, or those of a window that did not run. Pauses do not hold them back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from access_app import audit
from access_app.idempotency import Idempotency, drop_idempotency_key, move_idempotency_key, take_idempotency_key
from access_app.ids import new_task_id, new_task_ids
from access_app.refusals import InvalidInput
from access_app.sql import database_now
from schedules_app.batches import one_at_a_time
from schedules_app.effort import Effort, TooCostly
from schedules_app.firing_rules import FireState, Overlap
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.recurrence import InvalidRecurrence, Recurrence
from schedules_app.services import Guard, lock, record
from schedules_app.stored import StoredSchedule, checked_template, recurrence_of
from tasks_app import wakeups
from tasks_app.bounds import admit, queue_full
from tasks_app.duplicates import DuplicateTask, holder_of
from tasks_app.executors.base import JsonObject
from tasks_app.fields import NewTask
from tasks_app.inserting import SCHEDULED_COLUMNS, store_tasks, task_row
from tasks_app.meeting import Created
from tasks_app.new_tasks import InvalidTask
from tasks_app.selectors import find_task, task_of

#: Most runs one backfill makes, and most slots it looks at to find them.
MAX_BACKFILL: Final = 1000
MOST_SLOTS: Final = 100_000
_CHUNK: Final = 1000
#: Most steps it takes to find them.
_MOST_STEPS: Final = 5 * MOST_SLOTS
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
#: How far back a triggered run looks for a second of its own.
_SECONDS_BACK: Final = 60


class InvalidBackfill(InvalidInput):
    """A window that cannot be backfilled. ``problems`` maps a JSON field to one sentence."""


@dataclass(frozen=True, slots=True)
class Backfilled:
    """Slots and the tasks made for them, oldest first; ``more``: the window holds others that did not run."""

    tasks: list[tuple[datetime, UUID]]
    more: bool
    #: Returned again, because its idempotency key was used before.
    replayed: bool = False


def trigger_schedule(
    schedule_id: UUID, *, actor: str, idempotency: Idempotency | None = None, guard: Guard | None = None
) -> Created:
    """Make a task of a schedule now, also when it is paused, disabled or has one open.

    Raises `ScheduleNotFound`, `InvalidSchedule` (its template is no longer taken), `IdempotencyConflict`,
    `DuplicateTask` when an open task has its unique key, and `QueueFull`.
    """
    with transaction.atomic():
        schedule, task_id = lock(schedule_id, guard=guard), new_task_id()
        if idempotency and (replay := take_idempotency_key(actor, idempotency, [task_id])):
            if task := find_task(replay.task_ids[0]):
                return Created(task, replayed=True)
            move_idempotency_key(actor, idempotency, [task_id])
        slot = _free_second(schedule)
        _run(schedule, _template(schedule), [slot], [task_id], actor, FireState.FIRED, idempotency)
        record(actor, "schedule.triggered", schedule, detail={"taskId": str(task_id)})
    return Created(task_of(task_id), replayed=False)


def backfill_schedule(
    schedule_id: UUID,
    *,
    since: datetime,
    until: datetime,
    actor: str,
    limit: int = MAX_BACKFILL,
    priority: int | None = None,
    idempotency: Idempotency | None = None,
    guard: Guard | None = None,
) -> Backfilled:
    """Make tasks for the slots from ``since`` to ``until`` that did not run, oldest first, at most ``limit``.

    Slots that are still to be decided are left out, and those of other times than the schedule has now unless the
    ledger knows them. ``priority`` instead of the template's. Unless the schedule lets its tasks overlap, they run one
    at a time. Raises `ScheduleNotFound`, `InvalidBackfill`, `InvalidSchedule`, `IdempotencyConflict`, and `QueueFull`
    when there is not room for all.
    """
    _check_window(since, until, limit)
    with transaction.atomic():
        schedule, now = lock(schedule_id, guard=guard), database_now()
        since, until = max(since, _oldest_known(now)), min(until, schedule.last_slot, now)
        recurrence = StoredSchedule.of(schedule, now).recurrence()
        known = {fire.slot: fire for fire in _not_run(schedule_id, since, until)[: limit + 1]}
        silent = islice(_never_recorded(recurrence, schedule_id, max(since, schedule.defined_at), until), limit + 1)
        slots = sorted({*known, *silent})
        more, slots = len(slots) > limit, slots[:limit]
        template = _template(schedule)
        if template[0].unique_key is not None:
            raise InvalidSchedule({"task.uniqueKey": "lets one task be open, and a backfill makes many: trigger it"})
        if priority is not None:
            template = replace(template[0], priority=priority), template[1]
        if schedule.overlap != Overlap.ALLOW:
            template = one_at_a_time(template[0], schedule_id), template[1]
        ids = new_task_ids(len(slots))
        done = Backfilled(list(zip(slots, ids, strict=True)), more)
        if idempotency and (replay := take_idempotency_key(actor, idempotency, ids, _kept(done))):
            return _replayed(replay.response)
        if slots:
            _take_back([known[slot] for slot in slots if slot in known], slots[-1], recurrence)
            _run(schedule, template, slots, ids, actor, FireState.LATE, idempotency)
            detail = {"tasks": len(slots), "from": slots[0].isoformat(), "to": slots[-1].isoformat()}
            record(actor, "schedule.backfilled", schedule, detail=detail)
        elif idempotency:  # retention takes a key away with its tasks: one without any would stay for ever
            drop_idempotency_key(actor, idempotency.key)
    return done


def _run(
    schedule: Schedule,
    template: tuple[NewTask, str],
    slots: Sequence[datetime],
    ids: Sequence[UUID],
    actor: str,
    state: FireState,
    idempotency: Idempotency | None = None,
) -> None:
    """Make the tasks of slots that somebody asked for, and write both to the ledger.

    Raises `DuplicateTask` and `QueueFull`: then for none.
    """
    new, text = template
    key, correlation, now = idempotency.key if idempotency else None, audit.correlation_id(), database_now()
    how = "triggered" if state is FireState.FIRED else "backfilled"
    ScheduleFire.objects.bulk_create(
        ScheduleFire(
            schedule_id=schedule.pk, slot=slot, due_at=slot, state=state, task_id=task_id, note=f"{how} by {actor}"
        )
        for slot, task_id in zip(slots, ids, strict=True)
    )
    with connection.cursor() as cursor:
        refused = list(filter(None, admit(cursor, [(new.queue, new.concurrency_key)] * len(ids))))
        if refused:
            raise queue_full(cursor, refused[0], refused=len(refused))
        taken = store_tasks(
            cursor,
            SCHEDULED_COLUMNS,
            [
                (
                    *task_row(task_id, new, text, actor, idempotency_key=key, correlation=correlation, now=now),
                    schedule.pk,
                    slot,
                )
                for slot, task_id in zip(slots, ids, strict=True)
            ],
        )
    if taken:
        holder = holder_of(new.queue, str(new.unique_key))
        raise DuplicateTask(holder.pk if holder else None)
    transaction.on_commit(wakeups.notify_schedulers)


def _kept(done: Backfilled) -> JsonObject:
    return {"tasks": [(slot.isoformat(), str(task_id)) for slot, task_id in done.tasks], "more": done.more}


def _replayed(kept: JsonObject) -> Backfilled:
    tasks = [(datetime.fromisoformat(slot), UUID(task_id)) for slot, task_id in kept["tasks"]]
    return Backfilled(tasks, kept["more"], replayed=True)


def _template(schedule: Schedule) -> tuple[NewTask, str]:
    try:
        return checked_template(json.dumps(schedule.task))
    except InvalidTask as error:
        raise InvalidSchedule({f"task.{name}": text for name, text in error.problems.items()}) from error


def _free_second(schedule: Schedule) -> datetime:
    """The last whole second, by the database's clock, that is no slot of the schedule and has no row in its ledger.

    A slot that it takes from the schedule would be lost: there is one task for each. One that runs every second has
    none to spare since it was defined, and gets one before that. Call it under the schedule's lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT date_trunc('second', clock_timestamp())")
        now: datetime = cursor.fetchone()[0]
    free = {now - _SECOND * n for n in range(_SECONDS_BACK)}
    free -= _slots_between(schedule, now - _SECOND * _SECONDS_BACK, now)
    fires = ScheduleFire.objects.filter(schedule_id=schedule.pk)
    free.difference_update(fires.filter(slot__in=free).values_list("slot", flat=True))
    if free:
        return max(free)
    first = fires.order_by("slot").values_list("slot", flat=True).first() or now
    return min(first, schedule.defined_at).replace(microsecond=0) - _SECOND


def _slots_between(schedule: Schedule, since: datetime, until: datetime) -> set[datetime]:
    try:
        return {slot.at for slot in recurrence_of(schedule).slots(since, until)}
    except (InvalidRecurrence, TooCostly):  # it fires no more
        return set()


def _check_window(since: datetime, until: datetime, limit: int) -> None:
    problems = {}
    if not 1 <= limit <= MAX_BACKFILL:
        problems["limit"] = f"must be a whole number from 1 to {MAX_BACKFILL}"
    if since > until:
        problems["to"] = "must not lie before from"
    if problems:
        raise InvalidBackfill(problems)


def _oldest_known(now: datetime) -> datetime:
    """Before this, a slot without a row may have run: retention has forgotten it."""
    age: timedelta | None = settings.SCHEDULER.retention_failed
    return datetime.min.replace(tzinfo=UTC) if age is None else now - age


def _not_run(schedule_id: UUID, since: datetime, until: datetime) -> QuerySet[ScheduleFire]:
    fires = ScheduleFire.objects.filter(schedule_id=schedule_id, slot__range=(since, until), task_id=None)
    return fires.order_by("slot")


def _never_recorded(recurrence: Recurrence, schedule_id: UUID, since: datetime, until: datetime) -> Iterator[datetime]:
    """Slots that have no row of their own. Raises `InvalidBackfill` when there are too many to look at."""
    slots = (slot.at for slot in recurrence.slots(since - _MICROSECOND, until, Effort(_MOST_STEPS)) if slot.runs)
    for _ in range(MOST_SLOTS // _CHUNK):
        try:
            chunk = list(islice(slots, _CHUNK))
        except TooCostly:
            break
        known = ScheduleFire.objects.filter(schedule_id=schedule_id, slot__in=chunk).values_list("slot", flat=True)
        yield from sorted(set(chunk) - set(known))
        if len(chunk) < _CHUNK:
            return
    raise InvalidBackfill({"to": f"the window holds more than {MOST_SLOTS:,} slots: make it smaller"})


def _take_back(fires: Sequence[ScheduleFire], newest: datetime, recurrence: Recurrence) -> None:
    """Make room in the ledger for slots that run after all. What is left of a run of slots stays recorded."""
    ScheduleFire.objects.filter(pk__in=[fire.pk for fire in fires]).delete()
    for fire in fires:
        rest = recurrence.slots(newest, fire.last_slot) if fire.last_slot and fire.last_slot > newest else ()
        for slot in islice(rest, 1):
            fire.pk, fire.slot = None, slot.at
            fire.save(force_insert=True)
