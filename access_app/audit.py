"""Audit rows: who did what to what, written in the transaction of the change it is about."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

import structlog
from django.db.models import QuerySet

from access_app.models import AuditEvent


class ChangedTask(Protocol):
    """What is written down of a task; ``tasks_app.models.Task`` will do."""

    pk: Any
    attempt: int
    status: str


def about(target: str) -> QuerySet[AuditEvent]:
    """What happened to a target that is no task, newest first. Index: audit_target."""
    return AuditEvent.objects.filter(target=target, task_id__isnull=True).order_by("-id")


def of_task(task_id: UUID) -> QuerySet[AuditEvent]:
    """What happened to a task. Index: audit_task."""
    return AuditEvent.objects.filter(task_id=task_id)


def record(actor: str, action: str, target: str, *, reason: str = "", **fields: Any) -> None:
    """Write one event. Call it inside the transaction of the change."""
    AuditEvent.objects.create(
        actor=actor, action=action, target=target, reason=reason, correlation_id=correlation_id(), **fields
    )


def record_task(
    actor: str,
    action: str,
    task: ChangedTask,
    *,
    to_status: str,
    reason: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one event about a task as it was before the change."""
    record(
        actor,
        action,
        f"task:{task.pk}",
        reason=reason,
        task_id=task.pk,
        attempt=task.attempt,
        from_status=task.status,
        to_status=to_status,
        detail=detail,
    )


def correlation_id() -> str:
    """The correlation id of the request being served, or an empty text."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id", ""))
