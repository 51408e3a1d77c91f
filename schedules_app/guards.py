"""Whether somebody may have run what a schedule runs, looked at where it cannot change meanwhile: under its lock."""

from __future__ import annotations

from collections.abc import Callable

from access_app.rights import Action, Caller
from schedules_app.calendar_services import NewCalendar, types_held_by
from schedules_app.models import Schedule
from schedules_app.new_schedules import NewSchedule
from schedules_app.services import Guard


def may_run(caller: Caller, action: Action) -> Guard:
    """A guard that raises `Refused` unless the caller may do this to what the schedule runs."""
    return lambda schedule: caller.require(action, task_type(schedule))


def schedule_change(
    caller: Caller, change: Callable[[NewSchedule], NewSchedule]
) -> Callable[[NewSchedule], NewSchedule]:
    """The change, for who may have run what the schedule runs, before and after it."""

    def allowed(before: NewSchedule) -> NewSchedule:
        after = change(before)
        for definition in (before, after):
            caller.require(Action.SCHEDULE_EDIT, definition.task.type)
        return after

    return allowed


def calendar_change(
    caller: Caller, change: Callable[[NewCalendar], NewCalendar]
) -> Callable[[NewCalendar], NewCalendar]:
    """The change, for who may have run what the schedules run that name the calendar: it says when they run."""

    def allowed(before: NewCalendar) -> NewCalendar:
        for held in types_held_by(before.name):
            caller.require(Action.CALENDAR_EDIT, held)
        return change(before)

    return allowed


def task_type(schedule: Schedule) -> str:
    """What a schedule runs."""
    return str(schedule.task.get("type", ""))
