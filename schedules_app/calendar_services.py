"""What a person may ask of blackout calendars: create, edit, delete. Each is one transaction with one audit event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from access_app import audit
from access_app.refusals import NotFound
from access_app.versions import Versions, require
from schedules_app.batch_templates import types_in
from schedules_app.calendars import InvalidCalendar, OnBlackout, parse_calendar
from schedules_app.models import BlackoutCalendar, Schedule
from schedules_app.new_schedules import description_problems
from schedules_app.services import NameTaken
from tasks_app import wakeups
from tasks_app.fields import QUEUE_NAME


class CalendarNotFound(NotFound):
    """No calendar has this name."""


class CalendarInUse(Exception):
    """Schedules name the calendar, so it cannot be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCalendar:
    """A calendar to create, or what an edit would make of one; ``ranges`` as JSON."""

    name: str
    description: str = ""
    timezone: str = "UTC"
    on_blackout: str = OnBlackout.SKIP
    ranges: list[Any] = field(default_factory=list)


def create_calendar(new: NewCalendar, *, created_by: str) -> BlackoutCalendar:
    """Create a calendar. Raises `InvalidCalendar`, `NameTaken`."""
    _check(new)
    try:
        with transaction.atomic():
            BlackoutCalendar.objects.create(created_by=created_by, name=new.name, **_columns(new))
            audit.record(created_by, "calendar.created", f"calendar:{new.name}")
    except IntegrityError as error:
        if isinstance(error.__cause__, psycopg.errors.UniqueViolation):
            raise NameTaken("another calendar has this name") from error
        raise
    return BlackoutCalendar.objects.get(pk=new.name)


def edit_calendar(
    name: str, change: Callable[[NewCalendar], NewCalendar], *, actor: str, versions: Versions = None
) -> BlackoutCalendar:
    """Make of a calendar what ``change`` returns when it is given the calendar as it is; its name stays.

    Takes effect at once: slots that wait for the end of a blackout are looked at again. Raises `CalendarNotFound`,
    `Stale`, `InvalidCalendar`.
    """
    with transaction.atomic():
        # Not against whoever names it in a schedule: they hold the schedule, which is changed here behind the calendar.
        calendar = _lock(name, versions, no_key=True)
        before = definition_of_calendar(calendar)
        new = change(before)
        _check(new)
        if new.name != name:
            raise InvalidCalendar({"name": "cannot be changed"})
        if new != before:
            columns = _columns(new)
            BlackoutCalendar.objects.filter(pk=name).update(version=F("version") + 1, updated_at=Now(), **columns)
            waiting = Schedule.objects.filter(calendars__contains=[name], next_fire_at__gt=F("next_slot"))
            ids = list(waiting.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
            waiting.filter(pk__in=ids).update(next_fire_at=F("next_slot"))
            audit.record(actor, "calendar.edited", f"calendar:{name}")
            transaction.on_commit(wakeups.notify_schedulers)
    return BlackoutCalendar.objects.get(pk=name)


def delete_calendar(name: str, *, actor: str, versions: Versions = None) -> None:
    """Delete a calendar that no schedule names. Raises `CalendarNotFound`, `Stale`, `CalendarInUse`."""
    with transaction.atomic():
        _lock(name, versions)  # whoever is about to name it waits, and then finds it gone
        users = list(
            Schedule.objects.filter(calendars__contains=[name]).order_by("name").values_list("name", flat=True)
        )
        if users:
            others = f" and {len(users) - 3} more" if len(users) > 3 else ""
            raise CalendarInUse(f"the calendar is used by {', '.join(users[:3])}{others}")
        BlackoutCalendar.objects.filter(pk=name).delete()
        audit.record(actor, "calendar.deleted", f"calendar:{name}")


def types_held_by(name: str) -> list[str]:
    """The types of the tasks of schedules that name a calendar."""
    users = Schedule.objects.filter(calendars__contains=[name]).order_by()
    types = set(users.filter(batch__isnull=True).values_list("task__type", flat=True).distinct())
    batches = users.filter(batch__isnull=False).values_list("batch", flat=True)
    return sorted(types.union(*map(types_in, batches.iterator(chunk_size=1))))


def definition_of_calendar(calendar: BlackoutCalendar) -> NewCalendar:
    """What one would ask for to create this calendar again."""
    return NewCalendar(
        name=calendar.name,
        description=calendar.description,
        timezone=calendar.timezone,
        on_blackout=calendar.on_blackout,
        ranges=calendar.ranges,
    )


def _lock(name: str, versions: Versions, *, no_key: bool = False) -> BlackoutCalendar:
    calendar = BlackoutCalendar.objects.select_for_update(no_key=no_key).filter(pk=name).first()
    if calendar is None:
        raise CalendarNotFound(f"there is no calendar {name}")
    require(versions, calendar.version, "calendar")
    return calendar


def _check(new: NewCalendar) -> None:
    """Raises `InvalidCalendar`."""
    problems = description_problems(new.description)
    if not QUEUE_NAME.fullmatch(new.name):
        problems["name"] = "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -"
    try:
        parse_calendar(new.name, new.timezone, new.on_blackout, new.ranges)
    except InvalidCalendar as error:
        problems |= error.problems
    if problems:
        raise InvalidCalendar(problems)


def _columns(new: NewCalendar) -> dict[str, Any]:
    return {
        "description": new.description,
        "timezone": new.timezone,
        "on_blackout": new.on_blackout,
        "ranges": new.ranges,
    }
