"""Rows of the processes: a process is a row with a heartbeat, a dead process is a row with an old heartbeat."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tasks_app.states import WorkerState


class Worker(models.Model):
    """One worker incarnation. ``beat`` is raised by a HOT update: no index holds a column that a beat changes."""

    worker_id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField(db_default=Now())
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    state_changed_at = models.DateTimeField(db_default=Now())
    beat = models.BigIntegerField(db_default=0, help_text="The counter failure detection watches.")
    pid = models.IntegerField()
    slots = models.IntegerField()
    prefetch = models.IntegerField(db_default=0, help_text="Tasks it may be assigned beyond its slots, as measured.")
    running = models.IntegerField(db_default=0)
    state = models.TextField(choices=[(s, s) for s in WorkerState], db_default=WorkerState.ACTIVE)
    host = models.TextField()
    name = models.TextField()
    version = models.TextField(blank=True, db_default="")
    queues = ArrayField(models.TextField(), null=True, help_text="NULL: every queue.")
    labels = models.JSONField(db_default=models.Value({}, models.JSONField()))

    class Meta:
        db_table = "worker_heartbeats"
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(name="workers_state", condition=Q(state__in=[str(s) for s in WorkerState])),
            models.CheckConstraint(name="workers_slots", condition=Q(slots__gte=1, prefetch__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.worker_id})"


class Scheduler(models.Model):
    """One scheduler process. No other process depends on this row: it is for people and health checks."""

    scheduler_id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField(db_default=Now())
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True)
    pid = models.IntegerField()
    host = models.TextField()
    version = models.TextField(blank=True, db_default="")

    class Meta:
        db_table = "scheduler_heartbeats"
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
