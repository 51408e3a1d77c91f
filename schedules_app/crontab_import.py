"""A crontab as schedules: each line becomes one that runs its command as cron would, or is refused with the way out.

All lines or none: the caller's file is right or nothing is stored. Names come from the commands, so that the same file
read again finds its schedules there.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from django.db import transaction

from access_app.sql import database_now
from access_app.texts import CONTROL
from schedules_app.crontab import DEFAULT_SHELL, Job, Note, Unreadable, read_crontab
from schedules_app.models import Schedule
from schedules_app.new_schedules import (
    MAX_DESCRIPTION,
    MAX_JITTER_SECONDS,
    InvalidSchedule,
    NewSchedule,
    check_schedule,
)
from schedules_app.services import create_schedule, definition_of
from tasks_app.executors.base import JsonObject
from tasks_app.fields import MAX_TIMEOUT_MS, NewTask
from tasks_app.states import OnWorkerLost

#: Shells that read a here-document as sh does.
_LIKE_SH: Final = re.compile(r"(.*/)?(sh|bash|dash|ash|ksh|mksh|zsh|busybox)")
_LONGEST_SLUG: Final = 60
#: As many as cronie takes from one file.
MAX_JOBS: Final = 1000


class TooManyJobs(ValueError):
    """A file with more jobs than one transaction should make schedules of."""


class Outcome(StrEnum):
    """What becomes of a line."""

    CREATED = "created"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    #: Nothing is wrong with it; it was not stored because of others.
    HELD_BACK = "not stored"
    SET = "set"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """A line of the report."""

    number: int
    outcome: Outcome
    text: str
    name: str = ""
    next_fire_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a crontab is to be read."""

    timezone: str
    user_column: bool = False
    #: Are lines of other users taken than of the one who reads the file?
    any_user: bool = False
    reader: str = ""
    enabled: bool = True
    #: Is this word an account and no command? It stands where a user column was not asked for.
    is_account: Callable[[str], bool] = lambda word: False


@dataclass(frozen=True, slots=True)
class _Planned:
    job: Job
    new: NewSchedule


def import_crontab(text: str, wish: Wish, *, actor: str, dry_run: bool = False) -> list[ReportLine]:
    """Store the jobs of a crontab as schedules, in one transaction; nothing when one of them is refused.

    Returns what became of each line, in order. ``dry_run``: as if, and nothing is stored. Raises `TooManyJobs`, and
    `NameTaken` when somebody makes one of them meanwhile.
    """
    counts: Counter[str] = Counter()
    with transaction.atomic():
        lines = list(read_crontab(text, user_column=wish.user_column))
        if sum(isinstance(line, Job) for line in lines) > MAX_JOBS:
            raise TooManyJobs
        if not wish.user_column and _all_begin_with_an_account(lines, wish.is_account):
            lines = [_without_its_user(line) for line in lines]
        planned = [_Planned(line, _schedule_of(line, wish, counts)) for line in lines if isinstance(line, Job)]
        report = [*_notes(lines), *_judged(planned, wish)]
        if not any(each.outcome is Outcome.REFUSED for each in report):
            news = {plan.job.number: plan.new for plan in planned}
            report = [_stored(each, news[each.number], actor) if each.number in news else each for each in report]
        if dry_run:
            transaction.set_rollback(True)
    return sorted(report, key=lambda each: each.number)


def _all_begin_with_an_account(lines: Sequence[Job | Note | Unreadable], is_account: Callable[[str], bool]) -> bool:
    """One job may call a program that has the name of an account; if all do, the file has a user column."""
    firsts = {line.command.split()[0] for line in lines if isinstance(line, Job) and len(line.command.split()) > 1}
    return bool(firsts) and all(is_account(first) for first in firsts)


def _without_its_user(line: Job | Note | Unreadable) -> Job | Note | Unreadable:
    if not isinstance(line, Job) or not line.command:
        return line
    account = line.command.split()[0]
    problem = f"begins with the account {account}: give --user-column, or the command with its whole path"
    return Unreadable(number=line.number, problem=problem)


def _notes(lines: Sequence[Job | Note | Unreadable]) -> Iterator[ReportLine]:
    for line in lines:
        if isinstance(line, Note):
            outcome = Outcome.IGNORED if line.is_ignored else Outcome.SET
            yield ReportLine(number=line.number, outcome=outcome, text=line.text)
        elif isinstance(line, Unreadable):
            yield ReportLine(number=line.number, outcome=Outcome.REFUSED, text=line.problem)


def _judged(planned: Sequence[_Planned], wish: Wish) -> Iterator[ReportLine]:
    now = database_now()
    stored = {each.name: each for each in Schedule.objects.filter(name__in=[plan.new.name for plan in planned])}
    for plan in planned:
        line = ReportLine(number=plan.job.number, outcome=Outcome.REFUSED, text="", name=plan.new.name)
        if problem := _problem(plan, wish, now):
            yield replace(line, text=problem)
        elif (schedule := stored.get(plan.new.name)) is None:
            yield replace(line, outcome=Outcome.HELD_BACK, text=plan.job.cron)
        elif differing := _differing(definition_of(schedule), plan.new):
            text = f"a schedule of this command exists with {differing}: edit or delete it"
            yield replace(line, text=text)
        else:
            text = plan.job.cron
            yield replace(line, outcome=Outcome.UNCHANGED, text=text, next_fire_at=schedule.next_fire_at)


def _stored(line: ReportLine, new: NewSchedule, actor: str) -> ReportLine:
    if line.outcome is not Outcome.HELD_BACK:
        return line
    schedule = create_schedule(new, created_by=actor).schedule
    return replace(line, outcome=Outcome.CREATED, next_fire_at=schedule.next_fire_at)


def _schedule_of(job: Job, wish: Wish, counts: Counter[str]) -> NewSchedule:
    """The schedule a line asks for. cron neither repeats a job nor limits its time: nor does this."""
    variables = dict(job.variables)
    minutes = variables.pop("RANDOM_DELAY", "0")
    return NewSchedule(
        name=_name_of(job, counts),
        description=_description_of(job),
        cron=job.cron,
        timezone=variables.pop("CRON_TZ", wish.timezone),
        enabled=wish.enabled,
        jitter_seconds=min(int(minutes) * 60, MAX_JITTER_SECONDS) if re.fullmatch(r"\d{1,4}", minutes) else 0,
        task=NewTask(
            type="SHELL",
            payload=_payload_of(job, variables),
            max_retries=0,
            timeout_ms=MAX_TIMEOUT_MS,
            on_worker_lost=OnWorkerLost.FAIL,
        ),
    )


def _payload_of(job: Job, variables: dict[str, str]) -> JsonObject:
    shell, home = variables.pop("SHELL", DEFAULT_SHELL), variables.get("HOME", "")
    command = job.command if job.input is None else _with_input(job.command, job.input)
    payload: JsonObject = {"command": command} if shell == DEFAULT_SHELL else {"argv": [shell, "-c", command]}
    if home:
        payload["workingDirectory"] = home
    if variables:
        payload["environment"] = variables
    return payload


def _with_input(command: str, given: str) -> str:
    """The command with a here-document as the input of all of it, as cron gives it to the shell."""
    word = "INPUT"
    while word in given.split("\n"):
        word += "_"
    blank = "\n" if command.endswith("\\") else ""
    return f"{{ {command}{blank}\n}} <<'{word}'\n{given}{word}"


def _problem(plan: _Planned, wish: Wish, now: datetime) -> str | None:
    job, shell = plan.job, plan.job.variables.get("SHELL", DEFAULT_SHELL)
    if wish.user_column and not wish.any_user and job.user != wish.reader:
        return f"runs as {job.user}, and a task runs as the account of its worker: --any-user takes it all the same"
    if not job.command:
        return "has no command before its %"
    if job.input is not None and not _LIKE_SH.fullmatch(shell):
        return f"gives its command input, which {shell} is not asked to read: write a here-document into the command"
    if not re.fullmatch(r"\d{1,4}", job.variables.get("RANDOM_DELAY", "0")):
        return "stands below a RANDOM_DELAY that is no number of minutes"
    try:
        check_schedule(plan.new, now=now)
    except InvalidSchedule as error:
        return "; ".join(f"{name.removeprefix('task.payload.')} {text}" for name, text in error.problems.items())
    return None


def _differing(stored: NewSchedule, new: NewSchedule) -> str:
    """What of the times and the command is not as the file says; whatever else people changed is theirs."""
    pairs = {
        "other times": (stored.cron, new.cron),
        "another time zone": (stored.timezone, new.timezone),
        "another task": (_runs(stored), _runs(new)),
    }
    found = [words for words, (one, other) in pairs.items() if one != other]
    return " and ".join(found)


def _runs(schedule: NewSchedule) -> tuple[str, JsonObject] | None:
    return None if schedule.task is None else (schedule.task.type, schedule.task.payload)


def _name_of(job: Job, counts: Counter[str]) -> str:
    """From command and user: the same when the times change, and another for each line with the same command."""
    program, *rest = job.command.split() or [""]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", " ".join([program.rpartition("/")[2], *rest]))[:_LONGEST_SLUG].strip("-")
    digest = hashlib.sha256(f"{job.user}\0{job.command}\0{job.input or ''}".encode(errors="replace")).hexdigest()[:8]
    counts[digest] += 1
    number = f"-{counts[digest]}" if counts[digest] > 1 else ""
    return f"crontab-{slug or 'job'}-{digest}{number}"


def _description_of(job: Job) -> str:
    lines = [CONTROL.sub(" ", line) for line in job.comment.split("\n") if line]
    if job.user:
        lines.append(f"In the crontab it ran as {job.user}.")
    return "\n".join(lines)[:MAX_DESCRIPTION]
