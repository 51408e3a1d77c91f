"""Schedules in a state that tests start from, and what became of their slots; made without the services under test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F

from access_app.ids import created_at, new_task_id
from schedules_app.firing_rules import FireState
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from schedules_app.zones import zone
from tasks_app.models import Task

MINUTE = timedelta(minutes=1)
DUMMY: dict[str, Any] = {"type": "DUMMY", "payload": {}}


def whole_now() -> datetime:
    """This second: the newest slot a schedule can have."""
    return datetime.now(UTC).replace(microsecond=0)


def make_schedule(
    *, due: int = 1, every: timedelta = MINUTE, late: timedelta = timedelta(0), **columns: Any
) -> Schedule:
    """A schedule of an interval with ``due`` undecided slots, the newest ``late`` ago; 0: the next is to come."""
    newest = whole_now() - late
    first = newest - every * (due - 1)
    schedule_id = new_task_id()
    name = columns.get("timezone", "UTC")
    defaults: dict[str, Any] = {
        "name": f"s-{schedule_id.hex}",
        "created_at": created_at(schedule_id),
        "anchor_at": first - every,
        "defined_at": first - every,
        "last_slot": first - every,
        "last_local": zone(name).local(first - every).replace(tzinfo=UTC),
        "next_slot": first,
        "next_fire_at": first,
        "interval_seconds": round(every.total_seconds()),
        "zone_rules": zone(name).fingerprint(newest),
        "task": DUMMY,
        "created_by": "test",
    }
    if "cron" in columns or "rrule" in columns:
        defaults["interval_seconds"] = None
    Schedule.objects.create(pk=schedule_id, **{**defaults, **columns})
    return Schedule.objects.get(pk=schedule_id)


def make_calendar(name: str, *ranges: dict[str, Any], on_blackout: str = "skip", timezone: str = "UTC") -> None:
    BlackoutCalendar.objects.create(
        name=name, timezone=timezone, on_blackout=on_blackout, ranges=list(ranges), created_by="test"
    )


def ledger(schedule: Schedule) -> list[ScheduleFire]:
    """What became of its slots, oldest first."""
    return list(ScheduleFire.objects.filter(schedule_id=schedule.pk).order_by("slot"))


def states(schedule: Schedule) -> list[FireState]:
    return [FireState(fire.state) for fire in ledger(schedule)]


def tasks_of(schedule: Schedule) -> list[Task]:
    return list(Task.objects.filter(schedule_id=schedule.pk).order_by("scheduled_for"))


def move_back(schedule_ids: list[UUID], by: timedelta) -> None:
    """As if so long had gone by, and nobody had looked at these schedules."""
    times = ("next_slot", "next_fire_at", "last_slot", "last_local", "anchor_at", "defined_at")
    Schedule.objects.filter(pk__in=schedule_ids).update(**{name: F(name) - by for name in times})
    ScheduleFire.objects.filter(schedule_id__in=schedule_ids).update(slot=F("slot") - by, due_at=F("due_at") - by)
    Task.objects.filter(schedule_id__in=schedule_ids).update(scheduled_for=F("scheduled_for") - by)
