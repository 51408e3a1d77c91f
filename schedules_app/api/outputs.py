"""Rows as JSON: the field names of the contract, in its order, and nothing that is not in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access_app.http.times import show_instant
from access_app.rights import Action, Caller
from schedules_app.manual_runs import Backfilled
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from schedules_app.recurrence import InvalidRecurrence
from schedules_app.selectors import PreviewFire
from schedules_app.simulation import SimulatedSlot
from schedules_app.stored import recurrence_of
from tasks_app.executors.base import JsonObject
from tasks_app.fields import TEMPLATE

#: What of a template only those may see who may read it.
_HIDDEN: Final = tuple(row.name for row in TEMPLATE if not row.listed)


def schedule_for(caller: Caller, schedule: Schedule) -> JsonObject:
    """A schedule with its template, as somebody may see it who has changed it: payloads are for who may read it."""
    reads = caller.may(Action.SCHEDULE_READ)
    hidden, task = () if reads else _HIDDEN, schedule.task
    shown = None if task is None else {name: value for name, value in task.items() if name not in hidden}
    return _schedule_fields(schedule) | {"task": shown} | _for_readers(schedule, reads)


def _for_readers(schedule: Schedule, reads: bool) -> JsonObject:
    return {"batch": schedule.batch, "callback": schedule.callback} if reads else {}


def schedule_items(schedules: Sequence[Schedule]) -> list[JsonObject]:
    """Schedules in a list: without their templates, which may be large."""
    return [_schedule_fields(schedule) for schedule in schedules]


def fire_items(fires: Sequence[ScheduleFire]) -> list[JsonObject]:
    """Rows of the ledger."""
    return [
        {
            "slot": show_instant(fire.slot),
            "lastSlot": show_instant(fire.last_slot),
            "state": fire.state,
            "dueAt": show_instant(fire.due_at),
            "decidedAt": show_instant(fire.decided_at),
            "taskId": str(fire.task_id) if fire.task_id else None,
            "batchId": str(fire.batch_id) if fire.batch_id else None,
            "note": fire.note,
        }
        for fire in fires
    ]


def preview_json(fires: Sequence[PreviewFire]) -> JsonObject:
    shown = [{"at": show_instant(fire.at), "local": fire.local.isoformat(), "note": fire.note} for fire in fires]
    return {"fires": shown}


def simulation_json(slots: Sequence[SimulatedSlot]) -> JsonObject:
    return {
        "slots": [
            {
                "slot": show_instant(each.slot),
                "lastSlot": show_instant(each.last_slot),
                "state": each.state,
                "at": show_instant(each.at),
                "note": each.note,
            }
            for each in slots
        ]
    }


def backfill_json(done: Backfilled) -> JsonObject:
    which, other = ("batchId", "taskId") if done.of_batches else ("taskId", "batchId")
    content = [{"slot": show_instant(slot), which: str(made), other: None} for slot, made in done.made]
    return {"created": len(content), "more": done.more, "content": content}


def calendar_json(calendar: BlackoutCalendar) -> JsonObject:
    return {
        "name": calendar.name,
        "description": calendar.description,
        "timezone": calendar.timezone,
        "onBlackout": calendar.on_blackout,
        "ranges": calendar.ranges,
        "version": calendar.version,
        "createdBy": calendar.created_by,
        "createdAt": show_instant(calendar.created_at),
        "updatedAt": show_instant(calendar.updated_at),
    }


def calendar_items(calendars: Sequence[BlackoutCalendar]) -> list[JsonObject]:
    return [calendar_json(calendar) for calendar in calendars]


def _schedule_fields(schedule: Schedule) -> JsonObject:
    return {
        "id": str(schedule.id),
        "name": schedule.name,
        "description": schedule.description,
        "enabled": schedule.enabled,
        "cron": schedule.cron,
        "intervalSeconds": schedule.interval_seconds,
        "rrule": schedule.rrule,
        "timezone": schedule.timezone,
        "startAt": show_instant(schedule.start_at),
        "endAt": show_instant(schedule.end_at),
        "jitterSeconds": schedule.jitter_seconds,
        "misfire": {
            "policy": schedule.misfire_policy,
            "maxRuns": schedule.misfire_max_runs,
            "graceSeconds": schedule.misfire_grace_seconds,
        },
        "overlap": schedule.overlap,
        "dst": {"gap": schedule.dst_gap, "fold": schedule.dst_fold},
        "calendars": schedule.calendars,
        "explanation": _explanation(schedule),
        "nextFireAt": show_instant(schedule.next_fire_at),
        "lastFireAt": show_instant(schedule.last_fire_at),
        "pausedAt": show_instant(schedule.paused_at) if schedule.paused else None,
        "pausedBy": schedule.paused_by,
        "pauseReason": schedule.pause_reason,
        "idempotencyKey": schedule.idempotency_key,
        "createdBy": schedule.created_by,
        "version": schedule.version,
        "createdAt": show_instant(schedule.created_at),
        "updatedAt": show_instant(schedule.updated_at),
    }


def _explanation(schedule: Schedule) -> str | None:
    """Its times in words; None when this installation does not understand them any more."""
    try:
        return recurrence_of(schedule).explain()
    except InvalidRecurrence:
        return None
