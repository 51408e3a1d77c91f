"""Batches: tasks that are followed as one, with what is made when all of them have ended.

Whether a batch is done is not kept in a counter: it has an open row or not (``batch_endings``). A task names its batch
in a column of its own (``tasks.batch_id``), without a foreign key, as everywhere.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast, Now
from django.db.models.lookups import GreaterThan

from tasks_app.models import ENDED_ROW, OPEN_ROW, SCHEDULED_ROW
from workflows_app.batch_rules import DONE, BatchStatus

#: As of tasks: whether a row has ended.
OPEN_BATCH, DONE_BATCH = OPEN_ROW, ENDED_ROW
#: Not ``IS NOT NULL``: that follows from what rounds ask for, and while statistics know of no batch that has ended, the
#: planner would walk over all of these there.
DONE_LONG = Q(GreaterThan(models.F("finished_at"), Cast(models.Value("-infinity"), models.DateTimeField())))
#: Made by a schedule.
SCHEDULED_BATCH = SCHEDULED_ROW
MAX_DEPTH = 10


class Batch(models.Model):
    """A batch and where it stands; ``completion`` counts how often it was done: a retry opens it again."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv7: sorts by creation time.")
    created_at = models.DateTimeField(help_text="The instant in the id.")
    updated_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was done the last time; stays while it runs again."
    )
    cancelled_at = models.DateTimeField(null=True, blank=True, help_text="When somebody cancelled it as a whole.")
    parent_id = models.UUIDField(null=True, blank=True, help_text="The batch it is part of.")
    schedule_id = models.UUIDField(null=True, blank=True, help_text="The recurring schedule that made it.")
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="The time of the schedule it was made for.")
    version = models.IntegerField(db_default=1, help_text="Grows by one with every change; the ETag.")
    completion = models.IntegerField(db_default=0, help_text="How often it was done.")
    fail_fast = models.IntegerField(null=True, blank=True, help_text="How many may fail before the rest is cancelled.")
    depth = models.SmallIntegerField(db_default=0, help_text="How many batches it lies in.")
    fail_fast_is_percent = models.BooleanField(db_default=False)
    stopping = models.BooleanField(db_default=False, help_text="What waits in it is to be cancelled.")
    look = models.BooleanField(db_default=False, help_text="A scheduler has to look, though nothing in it has ended.")
    has_dependents = models.BooleanField(
        db_default=False, help_text="Others wait for its end: somebody has to look when it has ended."
    )
    name = models.TextField()
    status = models.TextField(choices=[(each, each) for each in BatchStatus])
    created_by = models.TextField()
    correlation_id = models.TextField(null=True, blank=True)
    idempotency_key = models.TextField(null=True, blank=True)
    on_complete = models.JSONField(null=True, blank=True)
    on_success = models.JSONField(null=True, blank=True)
    on_failure = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "batches"
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [
            # look_at_batches, and lists: the batches in a batch, the open ones apart.
            models.Index("parent_id", "finished_at", name="batches_inner", condition=Q(parent_id__isnull=False)),
            # find_batches: what somebody has to look at; empty but for a moment.
            models.Index("id", name="batches_to_look_at", condition=Q(look=True)),
            # settle_edges, find_batches: batches whose end others do not know of; empty but for a moment.
            models.Index("finished_at", name="batches_ended_parents", condition=Q(has_dependents=True) & DONE_BATCH),
            # Retention, count_new_batches.
            models.Index("finished_at", name="batches_ended", condition=DONE_LONG),
            # open_tasks: those of a schedule that are open; lists, and how the newest have ended.
            models.Index("schedule_id", name="batches_schedule_open", condition=OPEN_BATCH & SCHEDULED_BATCH),
            models.Index("schedule_id", "id", name="batches_schedule", condition=SCHEDULED_BATCH),
            # Lists by name.
            models.Index("name", "created_at", name="batches_named"),
            # Lists of open ones.
            models.Index("id", name="batches_open", condition=OPEN_BATCH),
        ]
        constraints = [
            models.CheckConstraint(
                name="batches_state",
                condition=(
                    (OPEN_BATCH & Q(status__in=[str(BatchStatus.OPEN), str(BatchStatus.RUNNING)]))
                    | (DONE_BATCH & Q(status__in=sorted(map(str, DONE))))
                ),
            ),
            models.CheckConstraint(
                name="batches_ranges",
                condition=Q(depth__range=(0, MAX_DEPTH), completion__gte=0)
                & (Q(fail_fast__isnull=True) | Q(fail_fast__gte=1)),
            ),
            models.CheckConstraint(name="batches_nested", condition=~Q(id=models.F("parent_id"))),
        ]

    def __str__(self) -> str:
        return self.name
