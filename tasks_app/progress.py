"""How far a running task is, as it says itself: the latest report, in a table that other tasks have no row in."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection, models

from access_app.refusals import InvalidInput
from access_app.sql import statement
from tasks_app.task_tokens import AttemptOver, Fence

MAX_NOTE: Final = 500
MAX_COUNT: Final = 10**15
#: Between two reports of one task that are kept.
REST: Final = timedelta(milliseconds=100)


class TaskProgress(models.Model):
    """What the latest attempt that has reported something said last."""

    task_id = models.UUIDField(primary_key=True)
    reported_at = models.DateTimeField()
    done = models.BigIntegerField(null=True)
    total = models.BigIntegerField(null=True)
    attempt = models.IntegerField()
    percent = models.SmallIntegerField(null=True)
    note = models.TextField(db_default="")

    class Meta:
        db_table = "task_progress"

    def __str__(self) -> str:
        return f"progress of attempt {self.attempt} of {self.task_id}"


class Report(NamedTuple):
    """How far a task is: a percentage, which follows from ``done`` of ``total`` if these are said, and a line."""

    percent: int | None = None
    done: int | None = None
    total: int | None = None
    note: str = ""

    @classmethod
    def of(
        cls, *, percent: int | None = None, done: int | None = None, total: int | None = None, note: str = ""
    ) -> Report:
        """What somebody says, with the percentage that follows from it. Raises `InvalidInput`."""
        problems = {}
        if percent is None and done is None and not note:
            problems["percent"] = "is required, or done, or note"
        if percent is not None and done is not None:
            problems["percent"] = "must not be given together with done: it follows from done and total"
        if total is not None and (done is None or done > total):
            problems["total"] = "must be given together with done, and not be less"
        if problems:
            raise InvalidInput(problems)
        if done is not None and total is not None:
            percent = 100 * done // total if total else 100
        return cls(percent, done, total, note)


class NotRunning(Exception):
    """Nothing runs that could be somewhere."""


def report_progress(task_id: UUID, report: Report, *, fence: Fence | None = None) -> TaskProgress:
    """Keep a report of the running attempt; with a ``fence``, only of that one.

    Return what is kept: within `REST` the one before, unless this one is the first to say that all is done. Raises
    `NotRunning`, and `AttemptOver` (that one does not run).
    """
    _, attempt, started_at = fence or (None, None, None)
    parameters = {"task_id": task_id, "attempt": attempt, "started_at": started_at, "rest": REST, **report._asdict()}
    with connection.cursor() as cursor:
        cursor.execute(statement("report_progress"), parameters)
        [(running, reported_at)] = cursor.fetchall()
    if running is None:
        raise AttemptOver if fence else NotRunning("the task does not run")
    if reported_at is None:
        return TaskProgress.objects.get(pk=task_id)
    return TaskProgress(task_id=task_id, attempt=running, reported_at=reported_at, **report._asdict())


def progress_of(task_id: UUID) -> TaskProgress | None:
    """What was reported last, of whichever attempt; None: nothing was."""
    return TaskProgress.objects.filter(pk=task_id).first()
