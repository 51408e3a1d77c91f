"""Tables of failed attempts and of the groups that they are in. ``grouping`` alone writes them, by the clock.

A failed attempt has one narrow row beside its execution, so that counting reads no messages, and what failed alike is
found by the group. Both go with their task; a group goes when nothing is left in it.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce


class FailureGroup(models.Model):
    """Failures that are alike, by their fingerprint (`fingerprints.fingerprint_of`)."""

    fingerprint = models.TextField(primary_key=True)
    first_at = models.DateTimeField(help_text="When the first of them ended, ever.")
    last_at = models.DateTimeField()
    type = models.TextField(help_text="Of their tasks.")
    code = models.TextField()
    message = models.TextField(help_text="Of the last one, the beginning.")

    class Meta:
        db_table = "failure_groups"
        verbose_name = "group of failures"
        verbose_name_plural = "failures"
        ordering = ["-last_at", "-fingerprint"]

    def __str__(self) -> str:
        return f"{self.type} {self.code} {self.fingerprint}"


class TaskFailure(models.Model):
    """A failed attempt: when, in which group, and in which queue its task was."""

    pk = models.CompositePrimaryKey("task_id", "attempt")
    task_id = models.UUIDField()
    at = models.DateTimeField(help_text="When it ended, as its execution says.")
    attempt = models.IntegerField()
    fingerprint = models.TextField()
    queue = models.TextField()

    class Meta:
        db_table = "task_failures"
        indexes = [
            # The latest of a group, its last hours, and which tasks it has: index-only.
            models.Index("fingerprint", "at", "task_id", name="task_failures_group"),
            # count_groups: rows are appended roughly in the order of their time, which is what BRIN is for.
            BrinIndex(fields=["at"], name="task_failures_at", pages_per_range=32, autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.task_id}"


class FailureMark(models.Model):
    """Up to where executions have been read; one row, whose lock is the right to read on. See ``grouping``."""

    id = models.SmallIntegerField(primary_key=True)
    read_id = models.BigIntegerField(db_default=0, help_text="Read, as far as they could be seen.")
    sure_id = models.BigIntegerField(db_default=0, help_text="Read again, when nothing below could come any more.")
    noted_id = models.BigIntegerField(db_default=0, help_text="Up to where they are read again next.")
    noted_xid = models.BigIntegerField(db_default=0, help_text="Once every transaction before this one has ended.")

    class Meta:
        db_table = "failure_marks"

    def __str__(self) -> str:
        return f"read to {self.read_id}, surely to {self.sure_id}"


def failed_so(fingerprint: str) -> Q:
    """Tasks whose latest attempt is a failure of a group, and that have come to nothing else since. Primary key.

    Compared with the row of the task itself, so that what is acted on under its lock has just this failure behind it:
    one that has started again, or passed its ``expiresAt`` after a retry, is not in the group any more.
    """
    own = TaskFailure.objects.filter(task_id=OuterRef("id"), attempt=OuterRef("attempt"), fingerprint=fingerprint)
    return Q(Exists(own.filter(at=Coalesce(OuterRef("finished_at"), "at"))))
