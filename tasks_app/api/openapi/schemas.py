"""Schemas of tasks, bulk calls, executions and events, with the limits of the code in them.

What has a `type` is told apart by it: `HttpTask`, `ShellTask`, `DummyTask`, and `CustomTask` for types that an
installation adds, each with the payload and the result of its type.
"""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.components import PROBLEM_FIELDS
from access_app.http.openapi.lists import pages, sort_set
from access_app.http.openapi.schemas import (
    CORRELATION,
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    Json,
    array,
    choice,
    closed_set,
    integer,
    listed,
    nullable,
    obj,
    or_null,
    schema,
)
from tasks_app import new_tasks
from tasks_app.api.bulk import MAX_TASKS
from tasks_app.api.filters import TASKS
from tasks_app.api.openapi.types import EVERY, by_type, needs_payload, type_field
from tasks_app.retries import Backoff
from tasks_app.states import ErrorCode, ExecutionStatus, OnWorkerLost, TaskStatus

_PRIORITY: Final = integer(-100, 100, description="Higher starts first.")
_TIMEOUT: Final = integer(1, new_tasks.MAX_TIMEOUT_MS)
_RETRIES: Final = integer(0, new_tasks.MAX_RETRIES)
_DELAY: Final = integer(0, new_tasks.MAX_DELAY_MS)
_RETRY_FIELDS: Final[Json] = {
    "backoff": schema("Backoff"),
    "baseDelayMs": _DELAY,
    "maxDelayMs": _DELAY | {"description": "The longest delay, also of one that a `Retry-After` asks for."},
    "jitter": {"type": "boolean"},
}

#: What somebody asks for, but for type and payload; the defaults are the code's.
NEW_TASK_FIELDS: Final[Json] = {
    "scheduleAt": INSTANT_OR_NULL | {"description": "Absent or past: now."},
    "maxRetries": nullable("integer", minimum=0, maximum=new_tasks.MAX_RETRIES),
    "queue": NAME | {"default": "default"},
    "priority": _PRIORITY | {"default": 0},
    "timeoutMs": _TIMEOUT | {"default": new_tasks.DEFAULT_TIMEOUT_MS},
    "expiresAt": INSTANT_OR_NULL
    | {"description": "Not started by then, it ends FAILED/EXPIRED. Must lie after scheduleAt."},
    "correlationId": nullable("string", pattern=CORRELATION),
    "concurrencyKey": nullable(
        "string",
        minLength=1,
        maxLength=200,
        description="At most one task per queue and key is assigned or running at any instant.",
    ),
    "retry": or_null("RetryOptions"),
    "onWorkerLost": choice("OnWorkerLost", default="retry"),
}

#: The fields of a task in the order of the contract, but for type, payload and result.
_TASK_FIELDS: Final[Json] = {
    "id": ID,
    "status": schema("TaskStatus"),
    "queue": NAME,
    "priority": _PRIORITY,
    "scheduleAt": INSTANT | {"description": "When it was asked to run."},
    "scheduleId": nullable("string", format="uuid") | {"description": "The recurring schedule that made it."},
    "scheduledFor": INSTANT_OR_NULL | {"description": "The time of the schedule it was made for."},
    "nextRunAt": INSTANT | {"description": "When it is due next: scheduleAt, or the end of a backoff."},
    "maxRetries": _RETRIES,
    "retryCount": COUNT | {"description": "Retries granted after failures; never above maxRetries."},
    "crashCount": COUNT | {"description": "Attempts lost with their worker."},
    "attempt": COUNT | {"description": "Grows with every start, and never goes back."},
    "timeoutMs": _TIMEOUT,
    "expiresAt": INSTANT_OR_NULL,
    "retry": schema("RetryPolicy"),
    "onWorkerLost": schema("OnWorkerLost"),
    "correlationId": {"type": "string"},
    "concurrencyKey": nullable("string"),
    "idempotencyKey": nullable("string"),
    "createdBy": {"type": "string", "description": "The name of the API key, or user:NAME."},
    "workerId": nullable("string", format="uuid"),
    "version": {"type": "integer", "minimum": 1, "description": "Grows by one with every change; also the ETag."},
    "cancelRequestedAt": INSTANT_OR_NULL,
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
    "assignedAt": INSTANT_OR_NULL,
    "startedAt": INSTANT_OR_NULL,
    "finishedAt": INSTANT_OR_NULL,
    "error": or_null("Error"),
}

_BULK_FIELDS: Final[Json] = {
    "created": integer(0, MAX_TASKS),
    "failed": integer(0, MAX_TASKS),
    "items": array(schema("BulkItem"), description="One for each task, in their order."),
}
_READ: Final = "Without `payload`, `result` and `error` for a caller that may not read tasks (`tasks:read`)."


def _new_task(kind: str) -> Json:
    needs = ["type", "payload"] if needs_payload(kind) else ["type"]
    return obj({"type": type_field(kind), "payload": schema(f"{kind}Payload"), **NEW_TASK_FIELDS}, required=needs)


def _task(kind: str) -> Json:
    own = {"type": type_field(kind), "payload": schema(f"{kind}Payload"), "result": or_null(f"{kind}Result")}
    required = ["type", *(name for name in _TASK_FIELDS if name != "error")]
    return obj(own | _TASK_FIELDS, required=required, description=_READ)


SCHEMAS: Final[Json] = {
    "TaskStatus": closed_set(TaskStatus, "Where a task stands. It has ended as SUCCESS, FAILED or CANCELLED."),
    "ExecutionStatus": closed_set(
        ExecutionStatus, "How an attempt ended. LOST: its worker died; RELEASED: given back."
    ),
    "ErrorCode": closed_set(ErrorCode, "What kind of thing went wrong."),
    "OnWorkerLost": closed_set(OnWorkerLost, "After the loss of its worker in the middle of it: run again, or fail."),
    "Backoff": closed_set(Backoff, "How the delay grows from retry to retry."),
    **{f"New{kind}Task": _new_task(kind) for kind in EVERY},
    "NewTask": by_type("Task", prefix="New"),
    **{f"{kind}Task": _task(kind) for kind in EVERY},
    "Task": by_type("Task"),
    "TaskChanges": obj(
        {
            "scheduleAt": INSTANT | {"description": "Past: now."},
            "priority": _PRIORITY,
            "maxRetries": _RETRIES,
            "payload": schema("Payload"),
            "queue": NAME,
            "timeoutMs": _TIMEOUT,
            "expiresAt": INSTANT_OR_NULL | {"description": "null: never."},
        },
        required=[],
        minProperties=1,
    ),
    "RetryOptions": obj(_RETRY_FIELDS, required=[], description="Any subset; the rest comes from the settings."),
    "RetryPolicy": obj(_RETRY_FIELDS, description="The policy in force."),
    "TaskItem": obj(
        {"type": {"type": "string"}, **_TASK_FIELDS}, description="A task in a list: without payload and result."
    ),
    **pages("TaskItem"),
    "TaskSort": sort_set(TASKS),
    "BulkRequest": obj({"tasks": array(schema("NewTask"), minItems=1, maxItems=MAX_TASKS)}),
    "BulkItem": {"oneOf": [schema("BulkCreated"), schema("BulkRefused")]},
    "BulkCreated": obj({"id": ID}),
    "BulkRefused": obj({"errors": array(schema("FieldError"))}),
    "BulkAnswer": obj(_BULK_FIELDS),
    "BulkProblem": obj(
        PROBLEM_FIELDS | _BULK_FIELDS,
        required=list(PROBLEM_FIELDS),
        description="A problem; when each task was looked at, also what is wrong with it.",
    ),
    "Error": obj(
        {"code": schema("ErrorCode"), "message": {"type": "string"}},
        description="Why an attempt, or the task, did not succeed.",
    ),
    "Execution": obj(
        {
            "attempt": {"type": "integer", "minimum": 1},
            "workerId": ID,
            "status": schema("ExecutionStatus"),
            "startedAt": INSTANT,
            "finishedAt": INSTANT,
            "durationMs": COUNT,
            "result": or_null("Result"),
            "error": or_null("Error"),
            "late": or_null("LateResult"),
        }
    ),
    "LateResult": obj(
        {
            "outcome": schema("ExecutionStatus"),
            "at": INSTANT,
            "result": or_null("Result"),
            "error": or_null("Error"),
        },
        description="A result that arrived after the attempt was taken away. It changed no task.",
    ),
    "Event": obj(
        {
            "at": INSTANT,
            "from": or_null("TaskStatus"),
            "to": schema("TaskStatus"),
            "actor": {"type": "string"},
            "reason": {"type": "string"},
            "attempt": COUNT,
        }
    ),
    "ExecutionList": listed(schema("Execution")),
    "EventList": listed(schema("Event")),
}
