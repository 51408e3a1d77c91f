"""Tables of API keys, of the audit trail, and of what an Idempotency-Key was used for."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ApiKey(models.Model):
    """A key of the REST API. Only its hash is stored; names are never reused, because tasks record them."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=16)
    key_hash = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=32))
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.TextField(blank=True, db_default="")
    #: Whose rights bound the key's; without one, as made on the command line, it has all its scopes. The id stays when
    #: the account is deleted: it finds nobody, and the key is refused.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        db_table = "api_keys"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AuditEvent(models.Model):
    """Append-only: what people did, and what the system did to a task outside the ordinary course.

    Ordinary transitions write no event: creation, assignment, start and end of each attempt are read from the task and
    its executions (``selectors.timeline``).
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField()
    action = models.TextField(help_text="What was done, in the past tense: task.cancelled, queue.paused …")
    target = models.TextField(help_text="What it was done to, as kind:name.")
    task_id = models.UUIDField(null=True, blank=True)
    attempt = models.IntegerField(null=True, blank=True)
    from_status = models.TextField(null=True, blank=True)
    to_status = models.TextField(null=True, blank=True)
    reason = models.TextField(blank=True, db_default="")
    correlation_id = models.TextField(blank=True, db_default="")
    detail = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "audit_events"
        ordering = ["-id"]
        indexes = [
            models.Index("task_id", "id", name="audit_task", condition=Q(task_id__isnull=False)),
            # What was done to a schedule; most events are about tasks.
            models.Index("target", "id", name="audit_target", condition=Q(task_id__isnull=True)),
            # Lists of a time: rows are appended in its order, which is what BRIN is for.
            BrinIndex(fields=["at"], name="audit_at", pages_per_range=32, autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class IdempotencyKey(models.Model):
    """One Idempotency-Key of one caller: what was asked, and the ids it made. Inserting it is what wins the race."""

    id = models.BigAutoField(primary_key=True)
    created_by = models.TextField()
    key = models.TextField()
    fingerprint = models.BinaryField(max_length=32)
    task_ids = ArrayField(models.UUIDField(), help_text="Looked at by retention: the key lives as long as its tasks.")
    response = models.JSONField(null=True, help_text="Of a bulk call; a single task is its own response.")
    created_at = models.DateTimeField(db_default=Now())
    answered_with = models.UUIDField(
        null=True, help_text="The task that was there already, of a request that made none: the key lives as long."
    )

    class Meta:
        db_table = "idempotency_keys"
        indexes = [
            # Retention: the few keys that no task of theirs takes away.
            models.Index("answered_with", name="idempotency_keys_answered", condition=Q(answered_with__isnull=False)),
        ]
        constraints = [models.UniqueConstraint(fields=["created_by", "key"], name="idempotency_keys_once")]

    def __str__(self) -> str:
        return self.key
