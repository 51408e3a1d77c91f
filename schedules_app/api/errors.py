"""The only place that knows which HTTP status belongs to which exception of schedules and calendars."""

from __future__ import annotations

from typing import Final

from access_app.http.errors import Problems, sentence
from access_app.http.problems import Problem
from schedules_app.calendar_services import CalendarInUse
from schedules_app.recurrence import InvalidRecurrence, TooCostly
from schedules_app.services import NameTaken
from tasks_app.api.errors import duplicate, queue_full
from tasks_app.bounds import QueueFull
from tasks_app.duplicates import DuplicateTask


def _unreadable(error: InvalidRecurrence) -> Problem:
    # A definition that was asked for is an InvalidSchedule: this one is stored, and its zone or parser has changed.
    detail = "This installation does not understand the times of the schedule any more: edit them."
    return Problem(409, "unreadable-schedule", detail, errors=error.problems)


def _too_costly(error: TooCostly) -> Problem:
    detail = "The times of the schedule take too long to work out: edit them, or the calendars it names."
    return Problem(409, "too-costly-schedule", detail, errors={"schedule": str(error)})


PROBLEMS: Final[Problems] = (
    (NameTaken, lambda error: Problem(409, "name-taken", sentence(error), errors={"name": str(error)})),
    (CalendarInUse, lambda error: Problem(409, "calendar-in-use", sentence(error))),
    (InvalidRecurrence, _unreadable),
    (TooCostly, _too_costly),
    (DuplicateTask, duplicate),
    (QueueFull, queue_full),
)
