"""Tables of queues, and of the pass that gives tasks to workers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from access_app.texts import MAX_NAME


class Queue(models.Model):
    """A queue somebody has paused or configured. A queue without a row exists as well: naming it is enough."""

    name = models.CharField(max_length=MAX_NAME, primary_key=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_reason = models.TextField(blank=True, db_default="")
    paused_by = models.TextField(blank=True, db_default="")
    version = models.IntegerField(db_default=1)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "queues"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="queues_until_needs_pause",
                condition=Q(paused_until__isnull=True) | Q(paused_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name


class SchedulerPass(models.Model):
    """One row per kind of pass; its row lock is held while a scheduler makes the pass, and dies with it."""

    name = models.CharField(max_length=32, primary_key=True)

    class Meta:
        db_table = "scheduler_pass"

    def __str__(self) -> str:
        return self.name
