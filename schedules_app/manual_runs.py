"""Runs that somebody asks for: one now, or those of a window that did not run. Pauses do not hold them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from access_app.idempotency import Idempotency, drop_idempotency_key, move_idempotency_key, take_idempotency_key
from access_app.ids import new_task_ids
from access_app.refusals import InvalidInput, inside
from access_app.sql import database_now
from schedules_app.batch_templates import batch_id_of
from schedules_app.by_hand import ByHand, run_by_hand
from schedules_app.effort import Effort, TooCostly
from schedules_app.firing_rules import FireState, Overlap
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.recurrence import InvalidRecurrence, Recurrence
from schedules_app.services import Guard, lock, record
from schedules_app.stored import StoredSchedule, recurrence_of
from schedules_app.templates import Makes, made_by, one_at_a_time
from tasks_app.executors.base import JsonObject
from tasks_app.meeting import Created
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
class CreatedBatch:
    """A batch, and whether it existed already because its idempotency key was replayed."""

    id: UUID
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Backfilled:
    """Slots and what was made for each, oldest first; ``more``: the window holds others that did not run."""

    made: list[tuple[datetime, UUID]]
    more: bool
    of_batches: bool = False
    #: Returned again, because its idempotency key was used before.
    replayed: bool = False


def trigger_schedule(
    schedule_id: UUID, *, actor: str, idempotency: Idempotency | None = None, guard: Guard | None = None
) -> Created | CreatedBatch:
    """Make a task, or a batch, of a schedule now, also when it is paused, disabled or has one open.

    Raises `ScheduleNotFound`, `InvalidSchedule` (its template is no longer taken), `IdempotencyConflict`,
    `DuplicateTask` when an open task has its unique key, and `QueueFull`.
    """
    with transaction.atomic():
        schedule = lock(schedule_id, guard=guard)
        slot = _free_second(schedule)
        made = _ids_of(schedule, [slot])
        if idempotency and (replayed := _triggered_before(schedule, actor, idempotency, made)):
            return replayed
        makes = _template(schedule)
        run_by_hand(ByHand(schedule, makes, [(slot, made[0])], actor, FireState.FIRED, idempotency))
        what = "taskId" if makes.batch is None else "batchId"
        record(actor, "schedule.triggered", schedule, detail={what: str(made[0])})
    return Created(task_of(made[0])) if makes.batch is None else CreatedBatch(made[0])


def _triggered_before(
    schedule: Schedule, actor: str, idempotency: Idempotency, made: list[UUID]
) -> Created | CreatedBatch | None:
    """What an earlier request with the key has made; else the key is taken now."""
    of_batch = schedule.batch is not None
    document = {"batchId": str(made[0])} if of_batch else None
    replay = take_idempotency_key(actor, idempotency, [] if of_batch else made, document)
    if replay is None:
        return None
    if replay.response:
        return CreatedBatch(UUID(replay.response["batchId"]), replayed=True)
    if task := find_task(replay.task_ids[0]):
        return Created(task, replayed=True)
    move_idempotency_key(actor, idempotency, made)
    return None


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
        recurrence = recurrence_of(schedule)
        known = {fire.slot: fire for fire in _not_run(schedule_id, since, until)[: limit + 1]}
        silent = islice(_never_recorded(recurrence, schedule_id, max(since, schedule.defined_at), until), limit + 1)
        slots = sorted({*known, *silent})
        more, slots = len(slots) > limit, slots[:limit]
        makes = _for_backfill(_template(schedule), schedule, priority)
        if makes.most_slots is not None and len(slots) > makes.most_slots:
            more, slots = True, slots[: makes.most_slots]
        ids = _ids_of(schedule, slots)
        done = Backfilled(list(zip(slots, ids, strict=True)), more, of_batches=makes.batch is not None)
        taken = [] if done.of_batches else ids
        if idempotency and (replay := take_idempotency_key(actor, idempotency, taken, _kept(done))):
            return _replayed(replay.response)
        if slots:
            _take_back([known[slot] for slot in slots if slot in known], slots[-1], recurrence)
            run_by_hand(ByHand(schedule, makes, done.made, actor, FireState.LATE, idempotency, priority))
            noun = "batches" if done.of_batches else "tasks"
            detail = {noun: len(slots), "from": slots[0].isoformat(), "to": slots[-1].isoformat()}
            record(actor, "schedule.backfilled", schedule, detail=detail)
        elif idempotency:  # retention takes a key away with its tasks: one without any would stay for ever
            drop_idempotency_key(actor, idempotency.key)
    return done


def _kept(done: Backfilled) -> JsonObject:
    made = [(slot.isoformat(), str(made)) for slot, made in done.made]
    return {"made": made, "more": done.more, "ofBatches": done.of_batches}


def _replayed(kept: JsonObject) -> Backfilled:
    made = [(datetime.fromisoformat(slot), UUID(made)) for slot, made in kept["made"]]
    return Backfilled(made, kept["more"], kept["ofBatches"], replayed=True)


def _template(schedule: Schedule) -> Makes:
    try:
        with connection.cursor() as cursor:
            return made_by(cursor, StoredSchedule.of(schedule, database_now()))
    except InvalidInput as error:
        which = "task" if schedule.batch is None else "batch"
        raise InvalidSchedule(inside(which, error.problems)) from error


def _for_backfill(makes: Makes, schedule: Schedule, priority: int | None) -> Makes:
    """What a backfill makes of its task; batches take both with their slots."""
    new = makes.new
    if new is None:
        return makes
    if new.unique_key is not None:
        raise InvalidSchedule({"task.uniqueKey": "lets one task be open, and a backfill makes many: trigger it"})
    if priority is not None:
        new = replace(new, priority=priority)
    return replace(makes, new=new if schedule.overlap == Overlap.ALLOW else one_at_a_time(new, schedule.pk))


def _ids_of(schedule: Schedule, slots: Sequence[datetime]) -> list[UUID]:
    """The ids of what is made for slots: of batches they follow from these."""
    if schedule.batch is None:
        return new_task_ids(len(slots))
    return [batch_id_of(schedule.pk, slot) for slot in slots]


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
    fires = ScheduleFire.objects.filter(
        schedule_id=schedule_id, slot__range=(since, until), task_id=None, batch_id=None
    )
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
