"""JSON in: what a body says about a task, checked by hand for types and names, then by ``new_tasks`` for ranges.

Every function adds to ``problems`` (JSON field → one sentence) instead of stopping at the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Value
from django.db.models.functions import Greatest, Now

from access_app.http.fields import Fields, anything, json_object, or_null, read_fields, text, whole
from access_app.http.times import parse_instant
from tasks_app.new_tasks import InvalidTask, NewTask, check_payload, check_task, field_problems

#: JSON field → attribute of `NewTask`, and how its value is read. Fields without a default of their own may be null.
CREATE: Final[Fields] = {
    "type": ("type", text),
    "payload": ("payload", anything),
    "scheduleAt": ("schedule_at", or_null(parse_instant)),
    "maxRetries": ("max_retries", or_null(whole)),
    "queue": ("queue", text),
    "priority": ("priority", whole),
    "timeoutMs": ("timeout_ms", whole),
    "expiresAt": ("expires_at", or_null(parse_instant)),
    "correlationId": ("correlation_id", or_null(text)),
    "concurrencyKey": ("concurrency_key", or_null(text)),
    "retry": ("retry", or_null(json_object)),
    "onWorkerLost": ("on_worker_lost", text),
}
_CHANGE: Final[Fields] = {
    "scheduleAt": ("schedule_at", parse_instant),
    "priority": ("priority", whole),
    "maxRetries": ("max_retries", whole),
    "payload": ("payload", anything),
    "queue": ("queue", text),
    "timeoutMs": ("timeout_ms", whole),
    "expiresAt": ("expires_at", or_null(parse_instant)),
}
READ_ONLY: Final = frozenset(
    {"id", "status", "nextRunAt", "retryCount", "crashCount", "attempt", "idempotencyKey", "createdBy", "workerId"}
    | {"version", "cancelRequestedAt", "createdAt", "updatedAt", "assignedAt", "startedAt", "finishedAt"}
    | {"result", "error", "scheduleId", "scheduledFor"}
)


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """A task that can be stored, and its payload as JSON text."""

    new: NewTask
    text: str


def read_task(data: Any) -> CheckedTask:
    """The task a JSON value asks for. Raises `InvalidTask` naming every bad field."""
    if type(data) is not dict:
        raise InvalidTask({"body": "must be an object"})
    problems: dict[str, str] = {}
    values = read_fields(data, CREATE, problems, read_only=READ_ONLY)
    if "type" not in data:
        problems["type"] = "is required"
    if problems:
        raise InvalidTask(problems | _further_problems(values))
    new = NewTask(**values)
    return CheckedTask(new, check_task(new))


def read_changes(data: Any, task_type: str) -> dict[str, Any]:
    """The columns a PATCH of a task of this type changes. Raises `InvalidTask` naming every bad field."""
    if type(data) is not dict or not data:
        raise InvalidTask({"body": f"must be an object with at least one of {', '.join(_CHANGE)}"})
    problems: dict[str, str] = {}
    changes = read_fields(data, _CHANGE, problems, read_only=READ_ONLY | CREATE.keys())
    if "payload" in changes:
        check_payload(task_type, changes["payload"], problems)
    fields = {name: value for name, value in changes.items() if name != "payload"}
    problems = field_problems(NewTask(type=task_type, **fields)) | problems
    if problems:
        raise InvalidTask(problems)
    if "schedule_at" in changes:  # past = now, by the database's clock as for a new task
        changes["schedule_at"] = Greatest(Value(changes["schedule_at"]), Now())
    return changes


def _further_problems(values: dict[str, Any]) -> dict[str, str]:
    """What else is wrong with a task some of whose fields could not be read: one answer tells all."""
    further: dict[str, str] = {}
    if "type" in values:
        check_payload(values["type"], values.get("payload", {}), further)
    return further | field_problems(NewTask(**{"type": "", **values}))
