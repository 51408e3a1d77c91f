"""JSON in: what a body says about schedules and calendars, checked for types and names; ranges are the domain's.

Problems name the field by its path: ``misfire.maxRuns``, ``task.payload.url``, ``ranges[0].from``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from access_app.http.fields import Fields, anything, flag, json_object, or_null, read_fields, read_object, text, whole
from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from access_app.refusals import inside
from schedules_app.calendar_services import NewCalendar
from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from schedules_app.simulation import Outage
from tasks_app.api.inputs import CREATE, READ_ONLY
from tasks_app.callbacks import read_callback
from tasks_app.fields import QUEUE_NAME, NewTask
from tasks_app.new_tasks import field_problems

MAX_OUTAGES: Final = 100
_RECURRENCE: Final = {"cron": "cron", "intervalSeconds": "interval_seconds", "rrule": "rrule"}
#: A simulation needs neither a name nor a task.
_SIMULATED: Final = {"name": "simulated", "task": {"type": "DUMMY"}}


def _names(value: Any) -> Any:
    if type(value) is not list or not all(type(name) is str and QUEUE_NAME.fullmatch(name) for name in value):
        raise ValueError("must be a list of names of calendars")
    return tuple(value)


def _list(value: Any) -> Any:
    if type(value) is not list:
        raise ValueError("must be a list")
    return value


#: JSON field → attribute of `NewSchedule`, and how its value is read; ``task`` has fields of its own.
_FIELDS: Final[Fields] = {
    "name": ("name", text),
    "description": ("description", text),
    "enabled": ("enabled", flag),
    "cron": ("cron", or_null(text)),
    "intervalSeconds": ("interval_seconds", or_null(whole)),
    "rrule": ("rrule", or_null(text)),
    "timezone": ("timezone", text),
    "startAt": ("start_at", or_null(parse_instant)),
    "endAt": ("end_at", or_null(parse_instant)),
    "jitterSeconds": ("jitter_seconds", whole),
    "misfire": {
        "policy": ("misfire_policy", text),
        "maxRuns": ("misfire_max_runs", whole),
        "graceSeconds": ("misfire_grace_seconds", whole),
    },
    "overlap": ("overlap", text),
    "dst": {"gap": ("dst_gap", text), "fold": ("dst_fold", text)},
    "calendars": ("calendars", _names),
    "task": ("task", or_null(json_object)),
    "batch": ("batch", or_null(json_object)),
    "callback": ("callback", or_null(read_callback)),
}
_READ_ONLY: Final = frozenset(
    {"id", "nextFireAt", "lastFireAt", "pausedAt", "pausedBy", "pauseReason", "version", "explanation", "createdBy"}
    | {"createdAt", "updatedAt", "idempotencyKey"}
)
_CALENDAR: Final[Fields] = {
    "name": ("name", text),
    "description": ("description", text),
    "timezone": ("timezone", text),
    "onBlackout": ("on_blackout", text),
    "ranges": ("ranges", _list),
}
_CALENDAR_READ_ONLY: Final = frozenset({"version", "createdBy", "createdAt", "updatedAt"})
_BACKFILL: Final[Fields] = {
    "from": ("since", parse_instant),
    "to": ("until", parse_instant),
    "limit": ("limit", whole),
    "priority": ("priority", or_null(whole)),
}
_SIMULATION: Final[Fields] = {
    "schedule": ("schedule", anything),
    "from": ("since", parse_instant),
    "to": ("until", parse_instant),
    "outages": ("outages", _list),
}
_OUTAGE: Final[Fields] = {"from": ("since", parse_instant), "to": ("until", parse_instant)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The attributes that a body sets, of the schedule and of its template, and what of it cannot be read."""

    schedule: dict[str, Any]
    #: None: it says nothing of a task.
    task: dict[str, Any] | None
    problems: dict[str, str]

    def applied(self, to: NewSchedule) -> NewSchedule:
        """Another kind of template replaces the one there was."""
        if self.task is not None:
            return replace(to, **self.schedule, task=replace(to.task or NewTask(type=""), **self.task), batch=None)
        if "batch" in self.schedule:
            return replace(to, **self.schedule, task=None)
        return replace(to, **self.schedule)


def read_schedule(data: Any, *, now: datetime) -> NewSchedule:
    """The schedule a JSON value asks for, to be checked when it is stored. Raises `InvalidSchedule`.

    It is checked here as well when a value cannot be read, so that one response names all.
    """
    asked = _read(data)
    problems = asked.problems | ({} if "name" in data else {"name": "is required"})
    if not problems.keys() & {"task", "batch"} and asked.task is None and "batch" not in asked.schedule:
        problems["task"] = "is required, or batch"
    if asked.task is not None and "type" not in data["task"]:
        problems["task.type"] = "is required"
    new = asked.applied(NewSchedule(name="", task=NewTask(type="")))
    _refuse(problems, new, now)
    return new


def read_changes(data: Any, before: NewSchedule, *, now: datetime) -> Callable[[NewSchedule], NewSchedule]:
    """What a PATCH makes of a schedule. Raises `InvalidSchedule`.

    What is absent stays, also inside ``misfire``, ``dst`` and ``task``; ``payload``, ``retry`` and ``batch`` are
    replaced whole. Another kind of times, or of template, replaces the one there was.
    """
    if type(data) is not dict or not data:
        raise InvalidSchedule({"body": f"must be an object with at least one of {', '.join(_FIELDS)}"})
    asked = _read(data)
    if any(asked.schedule.get(column) is not None for column in _RECURRENCE.values()):
        unnamed = {column: None for name, column in _RECURRENCE.items() if name not in data}
        asked = replace(asked, schedule=asked.schedule | unnamed)
    _refuse(asked.problems, asked.applied(before), now)
    return asked.applied


def read_calendar(data: Any) -> NewCalendar:
    """The calendar a JSON value asks for, to be checked when it is stored. Raises `Problem`."""
    return NewCalendar(**_read_all(data, _CALENDAR, required=("name", "ranges"), read_only=_CALENDAR_READ_ONLY))


def read_calendar_changes(data: Any) -> Callable[[NewCalendar], NewCalendar]:
    """What a PATCH makes of a calendar; ``ranges`` are replaced whole. Raises `Problem`."""
    if data == {}:
        raise Problem.invalid({"body": f"must be an object with at least one of {', '.join(_CALENDAR)}"})
    values = _read_all(data, _CALENDAR, read_only=_CALENDAR_READ_ONLY)
    return lambda before: replace(before, **values)


def read_clone(data: Any) -> str:
    """The name of a clone. Raises `Problem`."""
    return str(_read_all(data, {"name": ("name", text)}, required=("name",))["name"])


def read_backfill(data: Any) -> dict[str, Any]:
    """The arguments of `backfill_schedule`. Raises `Problem`."""
    values = _read_all(data, _BACKFILL, required=("from", "to"))
    if problems := field_problems(NewTask(type="", priority=values.get("priority") or 0)):
        raise Problem.invalid(problems)
    return values


def read_simulation(data: Any, *, now: datetime) -> tuple[NewSchedule, dict[str, Any]]:
    """A schedule that need not exist, and the window to simulate it in. Raises `Problem`."""
    values, problems = read_object(data, _SIMULATION, required=("schedule", "from", "to"))
    wanted = values.pop("schedule", {})
    values["outages"] = _read_outages(values.get("outages", []), problems)
    try:
        new = read_schedule(_simulated(wanted), now=now)
    except InvalidSchedule as error:
        raise Problem.invalid(problems | inside("schedule", error.problems)) from None
    if problems:
        raise Problem.invalid(problems)
    return new, values


def _simulated(wanted: Any) -> Any:
    if type(wanted) is not dict:
        return wanted
    makes_batches = wanted.get("batch") is not None
    return {name: value for name, value in _SIMULATED.items() if name != "task" or not makes_batches} | wanted


def _read(data: Any) -> _Asked:
    if type(data) is not dict:
        raise InvalidSchedule({"body": "must be an object"})
    problems: dict[str, str] = {}
    schedule = read_fields(data, _FIELDS, problems, read_only=_READ_ONLY)
    task = schedule.pop("task", None)
    if schedule.get("batch", ...) is None:
        del schedule["batch"]
    if task is not None and schedule.pop("batch", None) is not None:
        problems["batch"] = "name either this or task, and not both"
    for name, other in (("task", "batch"), ("batch", "task")):
        if name in data and data[name] is None and data.get(other) is None:
            problems[name] = f"must be an object, unless {other} is one"
    if task is not None:
        task = read_fields(task, CREATE, problems, read_only=READ_ONLY, prefix="task.")
    return _Asked(schedule, task, problems)


def _refuse(problems: dict[str, str], new: NewSchedule, now: datetime) -> None:
    """Raise what could not be read, and what else is wrong with the schedule, if something could not be read."""
    if not problems:
        return
    further: dict[str, str] = {}
    try:
        check_schedule(new, now=now, may_have_ended=True)
    except InvalidSchedule as error:
        further = error.problems
    if problems.keys() & _RECURRENCE.keys():  # what stands in for it is wrong in ways nobody asked for
        further = {name: sentence for name, sentence in further.items() if name not in _RECURRENCE}
    if problems.keys() & {"task", "batch"}:
        templates = ("task.", "batch.")
        further = {name: sentence for name, sentence in further.items() if not f"{name}.".startswith(templates)}
    raise InvalidSchedule(further | problems)


def _read_all(
    data: Any, fields: Fields, *, required: Collection[str] = (), read_only: Collection[str] = ()
) -> dict[str, Any]:
    values, problems = read_object(data, fields, required=required, read_only=read_only)
    if problems:
        raise Problem.invalid(problems)
    return values


def _read_outages(items: list[Any], problems: dict[str, str]) -> list[Outage]:
    if len(items) > MAX_OUTAGES:
        problems["outages"] = f"must be at most {MAX_OUTAGES}"
        return []
    outages = []
    for index, item in enumerate(items):
        path = f"outages[{index}]"
        if type(item) is not dict:
            problems[path] = "must be an object"
            continue
        found: dict[str, str] = {}
        values = read_fields(item, _OUTAGE, found, prefix=f"{path}.")
        found |= {f"{path}.{name}": "is required" for name in _OUTAGE if name not in item}
        outages += [] if found else [Outage(**values)]
        problems |= found
    return outages
