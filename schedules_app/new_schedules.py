"""What somebody asks for when they create or edit a schedule, and the checks every way in shares.

Pure but for the executor registry. Field names in problems are those of the JSON API; the template's begin with
``task.``. Whether the name is free and the calendars exist is the database's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from access_app.refusals import InvalidInput, bounded, inside, problems_at
from access_app.texts import problem_of_line, problem_of_lines
from schedules_app import batch_templates
from schedules_app.firing_rules import Misfire, Overlap
from schedules_app.recurrence import YEARS, Definition, DstFold, DstGap, InvalidRecurrence, check, parse
from tasks_app.callbacks import read_callback
from tasks_app.executors.base import JsonObject
from tasks_app.fields import ASKED, QUEUE_NAME, NewTask
from tasks_app.new_tasks import InvalidTask, check_task
from tasks_app.references import FROM

MAX_DESCRIPTION: Final = 2000
#: Of an RRULE or a cron expression; what of that is read is decided in ``recurrence``.
MAX_TIMES: Final = 2000
MAX_JITTER_SECONDS: Final = 3600
MAX_RUNS: Final = 100
MAX_GRACE_SECONDS: Final = 86_400
MAX_CALENDARS: Final = 10


_OF_ONE_TASK: Final = "is not taken here: each task of a schedule has a time of its own"
_OF_ONE_CALL: Final = "is not taken here: a slot whose task may not be made is skipped"
_OF_NO_TASK: Final = "takes no result here: the tasks of a schedule depend on none"


class InvalidSchedule(InvalidInput):
    """A schedule that cannot be kept. ``problems`` maps a JSON field path to one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to create, or what an edit would make of one."""

    name: str
    #: What it makes: a task, or a batch as the body of ``POST /batches`` asks for one.
    task: NewTask | None = None
    batch: JsonObject | None = None
    #: Who is told of the ends of those of its tasks that say nothing of that.
    callback: JsonObject | None = None
    cron: str | None = None
    interval_seconds: int | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    description: str = ""
    enabled: bool = True
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: int = 0
    misfire_policy: str = Misfire.RUN_ONCE
    misfire_max_runs: int = 10
    misfire_grace_seconds: int = 60
    overlap: str = Overlap.SKIP
    dst_gap: str = DstGap.RUN_AFTER
    dst_fold: str = DstFold.ONCE
    calendars: tuple[str, ...] = ()

    def definition(self, *, created_at: datetime) -> Definition:
        """The recurrence of it; ``created_at`` is the anchor where there is no startAt."""
        return Definition(
            cron=self.cron,
            interval_seconds=self.interval_seconds,
            rrule=self.rrule,
            timezone=self.timezone,
            anchor=self.start_at or created_at,
            start_at=self.start_at,
            end_at=self.end_at,
            dst_gap=DstGap(self.dst_gap),
            dst_fold=DstFold(self.dst_fold),
        )


def check_schedule(new: NewSchedule, *, now: datetime, may_have_ended: bool = False) -> str:
    """Check a schedule and its template; return the payload of its task as JSON text. Raises `InvalidSchedule`.

    ``may_have_ended``: for an edit of anything but its times. One whose COUNT or UNTIL is reached can still be edited.
    """
    problems = dict(_field_problems(new)) | dict(_time_problems(new, None if may_have_ended else now))
    if not problems.keys() & {"startAt", "endAt", "dst.gap", "dst.fold"}:
        definition = new.definition(created_at=now)
        try:
            parse(definition) if may_have_ended else check(definition, now=now)
        except InvalidRecurrence as error:
            problems |= error.problems
    if new.callback is not None:
        try:
            read_callback(new.callback)
        except ValueError as error:
            problems |= problems_at("callback", error)
    if (new.task is None) == (new.batch is None):
        problems["task"] = "is required, or batch" if new.task is None else "name either this or batch, and not both"
    payload = "" if new.task is None else _check_task(new.task, new.overlap, problems)
    if new.batch is not None:
        _check_batch(new.batch, problems)
    if problems:
        raise InvalidSchedule(problems)
    return payload


def _check_task(task: NewTask, overlap: str, problems: dict[str, str]) -> str:
    payload = ""
    try:
        payload = check_task(task)
    except InvalidTask as error:
        problems |= {
            f"task.{name}": _OF_NO_TASK if name.endswith(f".{FROM}") else text for name, text in error.problems.items()
        }
    for row in ASKED:
        if not row.template and getattr(task, row.column) is not row.default:
            problems[f"task.{row.name}"] = _OF_ONE_TASK if row.stored else _OF_ONE_CALL
    if task.unique_key is not None and overlap in (Overlap.QUEUE_ONE, Overlap.CANCEL_RUNNING):
        problems["task.uniqueKey"] = f"lets one task be open, and overlap {overlap} makes a second: use skip"
    return payload


def _check_batch(batch: JsonObject, problems: dict[str, str]) -> None:
    try:
        batch_templates.maker().read(batch)
    except InvalidInput as error:
        problems |= bounded(inside("batch", error.problems).items())


def description_problems(text: str) -> dict[str, str]:
    """What is wrong with a description, of a schedule or a calendar."""
    problem = problem_of_lines(text, MAX_DESCRIPTION)
    return {"description": problem} if problem else {}


def _field_problems(new: NewSchedule) -> Iterator[tuple[str, str]]:
    if not QUEUE_NAME.fullmatch(new.name):
        yield "name", "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -"
    yield from description_problems(new.description).items()
    for name, text in (("cron", new.cron), ("rrule", new.rrule)):
        # crontab(5) separates fields by tabs, too.
        if problem := problem_of_line((text or "").replace("\t", " "), MAX_TIMES):
            yield name, problem
    for name, number, low, high in (
        ("jitterSeconds", new.jitter_seconds, 0, MAX_JITTER_SECONDS),
        ("misfire.maxRuns", new.misfire_max_runs, 1, MAX_RUNS),
        ("misfire.graceSeconds", new.misfire_grace_seconds, 0, MAX_GRACE_SECONDS),
    ):
        if not low <= number <= high:
            yield name, f"must be a whole number from {low} to {high}"
    for name, value, choices in (
        ("misfire.policy", new.misfire_policy, Misfire),
        ("overlap", new.overlap, Overlap),
        ("dst.gap", new.dst_gap, DstGap),
        ("dst.fold", new.dst_fold, DstFold),
    ):
        if value not in list(choices):
            yield name, f"must be one of {', '.join(choices)}"
    if len(new.calendars) > MAX_CALENDARS or len(set(new.calendars)) < len(new.calendars):
        yield "calendars", f"must be at most {MAX_CALENDARS} names, each once"


def _time_problems(new: NewSchedule, now: datetime | None) -> Iterator[tuple[str, str]]:
    """``now``: of one that must not have ended."""
    for name, instant in (("startAt", new.start_at), ("endAt", new.end_at)):
        if instant is not None and instant.tzinfo is None:
            yield name, "must have a time zone"
        elif instant is not None and instant.year not in YEARS:
            yield name, f"must lie in the years {YEARS[0]} to {YEARS[-1]}"
    both = [instant for instant in (new.start_at, new.end_at) if instant is not None and instant.tzinfo is not None]
    if len(both) == 2 and both[0] > both[1]:
        yield "endAt", "must not lie before startAt"
    elif now is not None and new.end_at is not None and new.end_at.tzinfo is not None and new.end_at <= now:
        yield "endAt", f"must lie after {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}: nothing would run"
