"""Whether somebody may have run what a schedule runs, looked at where it cannot change meanwhile: under its lock."""

from __future__ import annotations

from collections.abc import Callable

from access_app.refusals import InvalidInput, inside
from access_app.rights import Action, Caller
from schedules_app.batch_templates import maker, types_in
from schedules_app.calendar_services import NewCalendar, types_held_by
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule
from schedules_app.services import Guard


def may_run(caller: Caller, action: Action) -> Guard:
    """A guard that raises `Refused` unless the caller may do this to what the schedule runs."""

    def guard(schedule: Schedule) -> None:
        for task_type in sorted(task_types(schedule)):
            caller.require(action, task_type)

    return guard


def schedule_change(
    caller: Caller, change: Callable[[NewSchedule], NewSchedule]
) -> Callable[[NewSchedule], NewSchedule]:
    """The change, for who may have run what the schedule runs, before and after it."""

    def allowed(before: NewSchedule) -> NewSchedule:
        after = change(before)
        for definition in (before, after):
            require_types(caller, Action.SCHEDULE_EDIT, definition)
        if after.batch != before.batch:
            require_results(caller, after)
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


def require_types(caller: Caller, action: Action, new: NewSchedule) -> None:
    """Raise `Refused` unless the caller may have run what a schedule is to make."""
    types = {new.task.type} if new.task is not None else types_in(new.batch)
    for task_type in sorted(types):
        caller.require(action, task_type)


def require_results(caller: Caller, new: NewSchedule) -> None:
    """Raise `Refused` for a batch that takes results of tasks which the caller may not read: it may send them anywhere.

    Raises `InvalidSchedule`, too: it may be no batch at all.
    """
    if new.batch is None:
        return
    try:
        template = maker().read(new.batch)
    except InvalidInput as error:
        raise InvalidSchedule(inside("batch", error.problems)) from error
    for task_type in sorted(template.takes_results):
        caller.require(Action.TASK_READ, task_type)


def task_types(schedule: Schedule) -> set[str]:
    """What a schedule runs."""
    return types_in(schedule.batch or {"tasks": [schedule.task]})
