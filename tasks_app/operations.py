"""The table of bulk operations: what is done to all tasks that match a filter, and how far that has come."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tasks_app.acts import BulkAction, OperationState
from tasks_app.sessions import BATCH, Session


class BulkOperation(models.Model):
    """Something that is done to many tasks, piece by piece, in the order of their ids.

    ``position`` and the counts change in the transaction that changes the tasks of a piece. What lies behind the
    position has been dealt with, but for ``held``: tasks that somebody else held, to which the next pieces come back.
    """

    id = models.UUIDField(primary_key=True, help_text="UUIDv7, made by the dry run.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="When the next piece is done, by the rate.")
    finished_at = models.DateTimeField(null=True, blank=True)
    position = models.UUIDField(help_text="Tasks up to this id have been dealt with, but those that are held.")
    before = models.UUIDField(help_text="Tasks from this id on are not looked at: they came later.")
    count = models.BigIntegerField(help_text="How many tasks matched at the dry run.")
    touched = models.BigIntegerField(db_default=0)
    skipped = models.BigIntegerField(db_default=0)
    failed = models.BigIntegerField(db_default=0)
    rate_per_second = models.IntegerField(null=True, blank=True)
    version = models.IntegerField(db_default=1, help_text="Grows when it is stopped, resumed or over; the ETag.")
    priority = models.SmallIntegerField(null=True, blank=True)
    queue = models.TextField(null=True, blank=True)
    action = models.TextField(choices=[(each.value, each.value) for each in BulkAction])
    state = models.TextField(choices=[(each.value, each.value) for each in OperationState], db_default="RUNNING")
    asked_by = models.TextField()
    reason = models.TextField(blank=True, db_default="")
    error = models.TextField(null=True, blank=True, help_text="Why it FAILED, or what went wrong with a task.")
    filter = models.JSONField(help_text="Parameter of GET /tasks → its values.")
    skips = models.JSONField(db_default=models.Value({}, models.JSONField()), help_text="Reason → how many.")
    barred = ArrayField(models.TextField(), help_text="Types of tasks that whoever asked may not make run.")
    held = ArrayField(models.UUIDField(), db_default=models.Value([], ArrayField(models.UUIDField())))

    class Meta:
        db_table = "bulk_operations"
        ordering = ["-id"]
        indexes = [
            # take_bulk_operation: the one whose piece is due first.
            models.Index(fields=["due_at"], name="bulk_operations_due", condition=Q(state="RUNNING")),
        ]
        constraints = [
            models.CheckConstraint(
                name="bulk_operations_state",
                condition=Q(state__in=["RUNNING", "STOPPED"], finished_at=None)
                | (Q(state__in=["DONE", "FAILED"]) & ~Q(finished_at=None)),
            ),
            models.CheckConstraint(
                name="bulk_operations_target",
                condition=Q(action="reprioritise", priority__isnull=False, queue__isnull=True)
                | Q(action="move", priority__isnull=True, queue__isnull=False)
                | Q(action__in=["cancel", "retry", "expire"], priority__isnull=True, queue__isnull=True),
            ),
            models.CheckConstraint(
                name="bulk_operations_says_which",
                condition=~Q(filter={}),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.id}"

    @property
    def done(self) -> int:
        """How many tasks have been dealt with: each is touched, skipped or failed, and in one of these only."""
        return self.touched + self.skipped + self.failed


def delete_old_operations(session: Session, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` operations past the retention of failed tasks. Raises `DatabaseAway`."""
    age = settings.SCHEDULER.retention_failed
    return 0 if age is None else len(session.rows("delete_old_operations", {"age": age, "limit": limit}))
