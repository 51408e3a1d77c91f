"""JSON in: what a body says about a task, checked by hand for types and names, then by ``new_tasks`` for ranges.

Written out instead of DRF serializers, because a bulk call reads ten thousand of these in well under a second. Every
function adds to ``problems`` (JSON field → one sentence) instead of stopping at the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Value
from django.db.models.functions import Greatest, Now

from tasks_app.api.problems import Problem
from tasks_app.api.times import parse_instant
from tasks_app.new_tasks import InvalidTask, NewTask, check_payload, check_task, field_problems
from tasks_app.services import Idempotency

MAX_REASON: Final = 500
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def _whole(value: Any) -> Any:
    # type() and not isinstance(): true is an int to Python, and 3.0 is not a whole number in JSON.
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise ValueError("must be a string")
    return value


def _object(value: Any) -> Any:
    if type(value) is not dict:
        raise ValueError("must be an object")
    return value


def _or_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _any(value: Any) -> Any:
    return value


#: JSON field → attribute of `NewTask`, and how its value is read. Fields without a default of their own may be null.
_CREATE: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "type": ("type", _text),
    "payload": ("payload", _any),
    "scheduleAt": ("schedule_at", _or_null(parse_instant)),
    "maxRetries": ("max_retries", _or_null(_whole)),
    "queue": ("queue", _text),
    "priority": ("priority", _whole),
    "timeoutMs": ("timeout_ms", _whole),
    "expiresAt": ("expires_at", _or_null(parse_instant)),
    "correlationId": ("correlation_id", _or_null(_text)),
    "concurrencyKey": ("concurrency_key", _or_null(_text)),
    "retry": ("retry", _or_null(_object)),
    "onWorkerLost": ("on_worker_lost", _text),
}
_CHANGE: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "scheduleAt": ("schedule_at", parse_instant),
    "priority": ("priority", _whole),
    "maxRetries": ("max_retries", _whole),
    "payload": ("payload", _any),
    "queue": ("queue", _text),
    "timeoutMs": ("timeout_ms", _whole),
    "expiresAt": ("expires_at", _or_null(parse_instant)),
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
    values = _read_fields(data, _CREATE, problems)
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
    changes = _read_fields(data, _CHANGE, problems)
    if "payload" in changes:
        check_payload(task_type, changes["payload"], problems)
    fields = {name: value for name, value in changes.items() if name != "payload"}
    problems = field_problems(NewTask(type=task_type, **fields)) | problems
    if problems:
        raise InvalidTask(problems)
    if "schedule_at" in changes:  # past = now, by the database's clock as for a new task
        changes["schedule_at"] = Greatest(Value(changes["schedule_at"]), Now())
    return changes


def read_pause(data: Any, now: datetime) -> tuple[str, datetime | None]:
    """Reason and end of a pause. Raises `Problem`."""
    fields = {"reason": ("reason", _text), "until": ("until", _or_null(parse_instant))}
    if type(data) is not dict:
        raise Problem.invalid({"body": "must be an object"})
    problems: dict[str, str] = {}
    values = _read_fields(data, fields, problems)
    reason, until = values.get("reason", ""), values.get("until")
    if len(reason) > MAX_REASON:
        problems["reason"] = f"must not be longer than {MAX_REASON} characters"
    if until is not None and until <= now:
        problems["until"] = "must be in the future"
    if problems:
        raise Problem.invalid(problems)
    return reason, until


def read_idempotency(header: str | None, operation: str, body: Any) -> Idempotency | None:
    """The Idempotency-Key with a fingerprint of what it is for: equal JSON is equal, however it is spelt."""
    if header is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(header):
        raise Problem.invalid({"Idempotency-Key": "must be 1 to 255 visible ASCII characters"})
    try:
        text = json.dumps([operation, body], sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise Problem.malformed("it is nested too deeply") from None
    return Idempotency(header, hashlib.sha256(text.encode()).digest())


def _read_fields(
    data: dict[str, Any], fields: dict[str, tuple[str, Callable[[Any], Any]]], problems: dict[str, str]
) -> dict[str, Any]:
    values = {}
    for name, value in data.items():
        field = fields.get(name)
        if field is None:
            problems[name[:100]] = "is read-only" if name in READ_ONLY or name in _CREATE else "unknown field"
            continue
        try:
            values[field[0]] = field[1](value)
        except ValueError as error:
            problems[name] = str(error)
    return values


def _further_problems(values: dict[str, Any]) -> dict[str, str]:
    """What else is wrong with a task some of whose fields could not be read: one answer tells all."""
    further: dict[str, str] = {}
    if "type" in values:
        check_payload(values["type"], values.get("payload", {}), further)
    return further | field_problems(NewTask(**{"type": "", **values}))
