"""Tables of those who are told of ends: endpoints, and what is delivered to them.

A delivery is an HTTP task with a row beside it: how it stands, when it is tried again and why it waits is the task's.
Secrets are in columns of their own, which nobody reads but the workers that sign.
"""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from access_app.texts import MAX_NAME
from tasks_app.callbacks import Include
from tasks_app.models import Task
from tasks_app.states import FINAL, UNSUCCESSFUL
from workflows_app.callbacks.events import Disabled, Event
from workflows_app.callbacks.secrets import LENGTH


class WebhookEndpoint(models.Model):
    """Somebody who is told: where, of what, and whether it answers."""

    id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    previous_until = models.DateTimeField(null=True, blank=True, help_text="Until when the secret before signs, too.")
    failing_since = models.DateTimeField(null=True, blank=True, help_text="NULL: the last delivery that ended arrived.")
    disabled_at = models.DateTimeField(null=True, blank=True)
    last_delivery = models.UUIDField(null=True, blank=True, help_text="Of an ordered one: what the next waits for.")
    version = models.IntegerField(db_default=1, help_text="Grows by one with every edit; the ETag.")
    ordered = models.BooleanField(db_default=False)
    name = models.CharField(max_length=MAX_NAME, unique=True)
    url = models.TextField()
    events = ArrayField(models.TextField(), blank=True, default=list, db_default=[])
    queues = ArrayField(models.TextField(), blank=True, null=True, help_text="NULL: of every queue.")
    include = models.TextField(null=True, blank=True)
    disabled = models.TextField(null=True, blank=True, help_text="Why nothing is delivered; NULL: it is.")
    created_by = models.TextField()
    secret = models.BinaryField(max_length=LENGTH)
    previous_secret = models.BinaryField(max_length=LENGTH, null=True, blank=True)

    class Meta:
        db_table = "webhook_endpoints"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="webhook_endpoints_sets",
                condition=(Q(disabled__isnull=True) | Q(disabled__in=[str(each) for each in Disabled]))
                & (Q(include__isnull=True) | Q(include__in=[str(each) for each in Include]))
                & Q(events__contained_by=[str(each) for each in Event]),
            ),
            models.CheckConstraint(
                name="webhook_endpoints_disabled",
                condition=Q(disabled__isnull=True, disabled_at__isnull=True)
                | Q(disabled__isnull=False, disabled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="webhook_endpoints_rotated",
                condition=Q(previous_secret__isnull=True, previous_until__isnull=True)
                | Q(previous_secret__isnull=False, previous_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """A message to one receiver, beside the HTTP task that brings it."""

    task = models.OneToOneField(
        Task, primary_key=True, db_column="id", db_constraint=False, on_delete=models.DO_NOTHING, related_name="+"
    )
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="+",
        help_text="NULL: the url of a task's own callback.",
    )
    source_id = models.UUIDField(help_text="The task whose end it is about.")
    redelivers = models.UUIDField(null=True, blank=True, help_text="The delivery that it repeats.")
    event = models.TextField()
    webhook_id = models.TextField(help_text="The id of the message: the same however often it is sent.")
    url = models.TextField()
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the body: nothing else is signed.")

    class Meta:
        db_table = "deliveries"
        ordering = ["-task_id"]
        verbose_name_plural = "deliveries"
        indexes = [
            # Lists by endpoint, newest first.
            models.Index("endpoint_id", "task_id", name="deliveries_endpoint"),
            # Lists by task, newest first.
            models.Index("source_id", "task_id", name="deliveries_source"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.webhook_id}"


def status_hint(statuses: Collection[str]) -> Q:
    """True of deliveries with these statuses anyway, in the words of the partial indexes of tasks."""
    if statuses and UNSUCCESSFUL.issuperset(statuses):
        return Q(task__unsuccessful=True)
    return Q(task__finished_at__isnull=True) if statuses and FINAL.isdisjoint(statuses) else Q()
