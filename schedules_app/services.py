"""What a person may ask of a schedule: create, edit, clone, delete, pause, resume. Runs by hand are in ``manual_runs``.

Each function is one transaction on the locked row, with one audit event; schedulers are woken after its commit. None of
them runs anything by itself, except that slots that were due before an edit are decided first, as they were meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from access_app import audit
from access_app.idempotency import Idempotency, drop_idempotency_key, move_idempotency_key, take_idempotency_key
from access_app.ids import created_at, new_task_id
from access_app.refusals import NotFound
from access_app.sql import database_now
from access_app.versions import Versions, require
from schedules_app import firing
from schedules_app.batches import FireReport
from schedules_app.checking import check
from schedules_app.firing_rules import FireState, Pause, next_due
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.new_schedules import NewSchedule
from schedules_app.recurrence import InvalidRecurrence, TooCostly
from schedules_app.stored import StoredSchedule, recurrence_of, template_json, template_of
from tasks_app import wakeups

#: What makes the next slot another one. Edits of anything else leave it alone.
_TIMING: Final = frozenset(
    {"cron", "interval_seconds", "rrule", "timezone", "start_at", "end_at", "jitter_seconds", "dst_gap", "dst_fold"}
    | {"enabled"}
)
#: Looks at a schedule that is about to run something, under its lock where it has one; raises to leave it alone.
Guard = Callable[[Schedule], None]
_FIELDS: Final = frozenset(field.name for field in fields(NewSchedule)) - {"task", "calendars"}


class ScheduleNotFound(NotFound):
    """No schedule has this id."""


class NameTaken(Exception):
    """Another schedule, or calendar, has this name."""


@dataclass(frozen=True, slots=True)
class CreatedSchedule:
    """A schedule, and whether it existed already because its idempotency key was replayed."""

    schedule: Schedule
    replayed: bool


def create_schedule(new: NewSchedule, *, created_by: str, idempotency: Idempotency | None = None) -> CreatedSchedule:
    """Create a schedule; its first slot lies after now.

    Raises `InvalidSchedule`, `NameTaken`, `IdempotencyConflict`.
    """
    schedule_id = new_task_id()
    try:
        with transaction.atomic():
            if idempotency and (replay := take_idempotency_key(created_by, idempotency, [schedule_id])):
                if schedule := Schedule.objects.filter(pk=replay.task_ids[0]).first():
                    return CreatedSchedule(schedule, replayed=True)
                # The schedule was deleted in a way that left its key.
                move_idempotency_key(created_by, idempotency, [schedule_id])
            return CreatedSchedule(_insert(schedule_id, new, created_by, idempotency), replayed=False)
    except IntegrityError as error:
        raise _name_taken(error) from error


def edit_schedule(
    schedule_id: UUID, change: Callable[[NewSchedule], NewSchedule], *, actor: str, versions: Versions = None
) -> Schedule:
    """Make of a schedule what ``change`` returns when it is given the schedule as it is, under the lock.

    A new template is used from the next slot on. With other times, or when it is enabled, the next slot lies after now.
    Raises `ScheduleNotFound`, `Stale`, `InvalidSchedule`, `NameTaken`.
    """
    try:
        with transaction.atomic():
            return _edit(lock(schedule_id, versions), change, actor)
    except IntegrityError as error:
        raise _name_taken(error) from error


def clone_schedule(schedule_id: UUID, *, name: str, actor: str, guard: Guard | None = None) -> Schedule:
    """Create a schedule with the definition of another, disabled. Raises `ScheduleNotFound`, `NameTaken`."""
    source = Schedule.objects.filter(pk=schedule_id).first()
    if source is None:
        raise ScheduleNotFound(f"there is no schedule {schedule_id}")
    if guard is not None:
        guard(source)
    return create_schedule(replace(definition_of(source), name=name, enabled=False), created_by=actor).schedule


def delete_schedule(schedule_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> None:
    """Forget a schedule. Its ledger and its tasks stay, and the tasks go on.

    Raises `ScheduleNotFound`, `Stale`.
    """
    with transaction.atomic():
        schedule = lock(schedule_id, versions)
        if schedule.idempotency_key is not None:
            drop_idempotency_key(schedule.created_by, schedule.idempotency_key)
        Schedule.objects.filter(pk=schedule_id).delete()
        record(actor, "schedule.deleted", schedule, reason=reason)


def pause_schedule(schedule_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Schedule:
    """Run nothing until it is resumed; slots go by as SKIPPED_PAUSED. A paused one stays as it is.

    Raises `ScheduleNotFound`, `Stale`.
    """
    with transaction.atomic():
        schedule = lock(schedule_id, versions)
        if not schedule.paused:
            _update(schedule, paused_at=database_now(), resumed_at=None, paused_by=actor, pause_reason=reason)
            record(actor, "schedule.paused", schedule, reason=reason)
    return Schedule.objects.get(pk=schedule_id)


def resume_schedule(
    schedule_id: UUID, *, actor: str, reason: str = "", versions: Versions = None, guard: Guard | None = None
) -> Schedule:
    """End a pause: slots from now on run; those that went by meanwhile do not. One that is not paused stays as it is.

    Raises `ScheduleNotFound`, `Stale`.
    """
    with transaction.atomic():
        schedule = lock(schedule_id, versions, guard)
        if schedule.paused:
            now = database_now()
            settle(schedule, now)
            _update(schedule, resumed_at=now, paused_by="", pause_reason="")
            record(actor, "schedule.resumed", schedule, reason=reason)
    return Schedule.objects.get(pk=schedule_id)


def definition_of(schedule: Schedule) -> NewSchedule:
    """What one would ask for to create this schedule again."""
    values = {name: getattr(schedule, name) for name in _FIELDS}
    task = None if schedule.task is None else template_of(schedule.task)
    return NewSchedule(**values, task=task, calendars=tuple(schedule.calendars))


def lock(schedule_id: UUID, versions: Versions = None, guard: Guard | None = None) -> Schedule:
    """The schedule, locked against passes and other people. Raises `ScheduleNotFound`, `Stale`."""
    schedule = Schedule.objects.select_for_update(no_key=True).filter(pk=schedule_id).first()
    if schedule is None:
        raise ScheduleNotFound(f"there is no schedule {schedule_id}")
    if guard is not None:
        guard(schedule)
    require(versions, schedule.version, "schedule")
    return schedule


def record(actor: str, action: str, schedule: Schedule, **fields: Any) -> None:
    """Write the audit event of a change of a schedule."""
    audit.record(actor, action, f"schedule:{schedule.name}", **fields)


def settle(schedule: Schedule, now: datetime, *, pause: Pause | None = None) -> FireReport:
    """Decide what is due of a locked schedule by its definition as it is; ``pause``: as if it were paused like that."""
    if schedule.next_fire_at is None or schedule.next_fire_at > now:
        return FireReport()
    with connection.cursor() as cursor:
        report = firing.fire(cursor, [StoredSchedule.of(schedule, now)], pause=pause)
    schedule.refresh_from_db()
    for worker_id in report.stop:
        transaction.on_commit(partial(wakeups.notify_stop, worker_id))
    transaction.on_commit(partial(firing.announce, report))
    transaction.on_commit(wakeups.notify_schedulers)
    return report


def _insert(schedule_id: UUID, new: NewSchedule, created_by: str, idempotency: Idempotency | None) -> Schedule:
    now = database_now()
    check(new, now)
    schedule = Schedule(
        **_columns(new),
        pk=schedule_id,
        created_at=created_at(schedule_id),
        anchor_at=now.replace(microsecond=0),
        defined_at=now,
        created_by=created_by,
        idempotency_key=idempotency.key if idempotency else None,
    )
    for name, value in _next_columns(schedule, now).items():
        setattr(schedule, name, value)
    schedule.save(force_insert=True)
    record(created_by, "schedule.created", schedule)
    transaction.on_commit(wakeups.notify_schedulers)
    return Schedule.objects.get(pk=schedule_id)


def _edit(schedule: Schedule, change: Callable[[NewSchedule], NewSchedule], actor: str) -> Schedule:
    now, before = database_now(), definition_of(schedule)
    new = change(before)
    columns, old = _columns(new), _columns(before)
    changed = {name for name in columns if columns[name] != old[name]}
    # One that has ended may be edited, and switched off, but not be given other times that have ended.
    switched_off = changed & _TIMING == {"enabled"} and not new.enabled
    check(new, now, may_have_ended=switched_off or not changed & _TIMING)
    if not changed:
        return schedule
    # What was due is decided as it was meant; of one that is switched off, it does not run any more.
    settle(schedule, now, pause=None if new.enabled else Pause(schedule.last_slot))
    if changed & _TIMING:
        _give_up(schedule, now)
        edited = Schedule(**columns, pk=schedule.pk, anchor_at=schedule.anchor_at, last_slot=schedule.last_slot)
        columns |= _next_columns(edited, now)
        if changed & _TIMING - {"enabled"}:
            columns["defined_at"] = now
    elif "calendars" in changed or schedule.put_offs:
        columns["next_fire_at"] = F("next_slot")  # a slot that waits, for the end of a blackout say, is looked at again
    if schedule.put_offs:
        columns |= {"put_offs": 0, "put_off_reason": ""}
    _update(schedule, **columns)
    record(actor, "schedule.edited", schedule, detail={"fields": sorted(changed)})
    transaction.on_commit(wakeups.notify_schedulers)
    return Schedule.objects.get(pk=schedule.pk)


def _columns(new: NewSchedule) -> dict[str, Any]:
    return {name: getattr(new, name) for name in _FIELDS} | {
        "task": None if new.task is None else template_json(new.task),
        "calendars": list(new.calendars),
    }


def _next_columns(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """The columns of the next slot, counted from now: nothing that lies before is ever decided."""
    stored = StoredSchedule.of(schedule, now)
    recurrence = stored.recurrence()
    since = max(now, schedule.last_slot or now)
    due = next_due(stored.id, recurrence, stored.jitter, after=since) if schedule.enabled else None
    return {
        "last_slot": since,
        "last_local": recurrence.zone.local(since).replace(tzinfo=UTC),
        "next_slot": due.slot.at if due else None,
        "next_fire_at": due.at if due else None,
        "zone_rules": recurrence.zone.fingerprint(now),
    }


def _give_up(schedule: Schedule, now: datetime) -> None:
    """Record in the ledger slots that waited, for their jitter or the end of a blackout, when times were edited."""
    if schedule.next_slot is None or schedule.next_fire_at is None or schedule.next_slot > now:
        return
    try:
        recurrence = recurrence_of(schedule)
        newest = recurrence.recent(after=schedule.next_slot, until=now, limit=1)
    except (InvalidRecurrence, TooCostly):  # what this edit may be there to mend
        newest = []
    ScheduleFire.objects.create(
        schedule_id=schedule.pk,
        slot=schedule.next_slot,
        last_slot=newest[0].at if newest else None,
        due_at=schedule.next_fire_at,
        state=FireState.MISSED,
        note="its schedule was edited before it was due",
    )


def _update(schedule: Schedule, **columns: Any) -> None:
    """Write a change of the locked row that people see."""
    Schedule.objects.filter(pk=schedule.pk).update(version=F("version") + 1, updated_at=Now(), **columns)


def _name_taken(error: IntegrityError) -> Exception:
    cause = error.__cause__
    taken = isinstance(cause, psycopg.errors.UniqueViolation) and "name" in (cause.diag.constraint_name or "")
    return NameTaken("another schedule has this name") if taken else error
