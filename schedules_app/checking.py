"""The checks of a schedule that ask the database: whether there is what it names, in the transaction that stores it."""

from __future__ import annotations

from datetime import datetime

from access_app.refusals import InvalidInput, inside
from schedules_app import batch_templates
from schedules_app.models import BlackoutCalendar
from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from tasks_app.approving import check_groups
from tasks_app.notices import check_endpoints


def check(new: NewSchedule, now: datetime, *, may_have_ended: bool = False) -> None:
    """Raises `InvalidSchedule`. The calendars it names are locked against deletion until it is stored."""
    check_schedule(new, now=now, may_have_ended=may_have_ended)
    _check_named(new)
    locked = "SELECT name FROM blackout_calendars WHERE name = ANY(%s) ORDER BY name FOR KEY SHARE"
    found = BlackoutCalendar.objects.raw(locked, [list(new.calendars)])
    if missing := set(new.calendars) - {calendar.name for calendar in found}:
        raise InvalidSchedule({"calendars": f"there is no calendar {', '.join(sorted(missing))}"})


def _check_named(new: NewSchedule) -> None:
    """Raise `InvalidSchedule` when there is not whom its tasks name: a group, an endpoint."""
    try:
        check_endpoints([new.callback])
    except InvalidInput as error:
        raise InvalidSchedule(error.problems) from error
    try:
        if new.batch is not None:
            batch_templates.maker().check(new.batch)
        elif new.task is not None:
            check_groups([new.task.approval])
            check_endpoints([new.task.callback])
    except InvalidInput as error:
        which = "task" if new.batch is None else "batch"
        raise InvalidSchedule(inside(which, error.problems)) from error
