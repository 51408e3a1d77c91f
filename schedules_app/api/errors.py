"""The only place that knows which HTTP status belongs to which exception of schedules and calendars."""

from __future__ import annotations

from typing import Final

from schedules_app.calendar_services import CalendarInUse, CalendarNotFound
from schedules_app.calendars import InvalidCalendar
from schedules_app.manual_runs import InvalidBackfill
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.recurrence import InvalidRecurrence, TooCostly
from schedules_app.services import NameTaken, ScheduleNotFound
from schedules_app.simulation import InvalidSimulation
from tasks_app.api.base import ApiView
from tasks_app.api.errors import Answers, sentence
from tasks_app.api.problems import Problem


def _unreadable(error: InvalidRecurrence) -> Problem:
    # A definition that was asked for is an InvalidSchedule: this one is stored, and its zone or parser has changed.
    detail = "This installation does not understand the times of the schedule any more: edit them."
    return Problem(409, "unreadable-schedule", detail, errors=error.problems)


def _too_costly(error: TooCostly) -> Problem:
    detail = "The times of the schedule take too long to work out: edit them, or the calendars it names."
    return Problem(409, "too-costly-schedule", detail, errors={"schedule": str(error)})


_ANSWERS: Final[Answers] = (
    (
        (InvalidSchedule, InvalidCalendar, InvalidBackfill, InvalidSimulation),
        lambda error: Problem.invalid(error.problems),
    ),
    ((ScheduleNotFound, CalendarNotFound), lambda error: Problem.not_found(sentence(error))),
    (NameTaken, lambda error: Problem(409, "name-taken", sentence(error), errors={"name": str(error)})),
    (CalendarInUse, lambda error: Problem(409, "calendar-in-use", sentence(error))),
    (InvalidRecurrence, _unreadable),
    (TooCostly, _too_costly),
)


class ScheduleApiView(ApiView):
    """What every view of schedules and calendars shares."""

    answers = _ANSWERS
