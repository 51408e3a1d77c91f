"""Schemas, headers, problem answers and security schemes of the document, with the limits of the code in them."""

from __future__ import annotations

from typing import Final

from scheduler_project.openapi import examples
from scheduler_project.openapi.parts import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    PROBLEM_TITLES,
    Json,
    integer,
    listed,
    nullable,
    obj,
    schema,
)
from tasks_app import new_tasks
from tasks_app.api.bulk import MAX_TASKS
from tasks_app.api.listing import MAX_SIZE
from tasks_app.api.problems import MEDIA_TYPE, TYPE_PREFIX
from tasks_app.retries import Backoff
from tasks_app.states import ErrorCode, ExecutionStatus, OnWorkerLost, TaskStatus
from tasks_app.texts import MAX_REASON

_CORRELATION: Final = "^[A-Za-z0-9._-]{1,128}$"
_PRIORITY: Final = integer(-100, 100, description="Higher starts first.")
_TIMEOUT: Final = integer(1, new_tasks.MAX_TIMEOUT_MS)
_RETRIES: Final = integer(0, new_tasks.MAX_RETRIES)
_STATUS: Final[Json] = {"type": "string", "enum": list(map(str, TaskStatus))}
_DELAY: Final = integer(0, new_tasks.MAX_DELAY_MS)
_TYPE: Final[Json] = {"type": "string", "description": "HTTP, SHELL, DUMMY, or one this installation adds."}
_PAYLOAD: Final[Json] = {
    "type": "object",
    "description": "What the task's type needs; at most 256 KiB and 32 levels.\n\n"
    "* HTTP: `url`, `method`, `headers`, `body`, `expectedStatus`, `followRedirects`\n"
    "* SHELL: `command` or `argv`; `workingDirectory`, `environment`\n"
    "* DUMMY: `sleepDurationMs`, `shouldFail`",
}
_RETRY_FIELDS: Final[Json] = {
    "backoff": {"type": "string", "enum": list(map(str, Backoff))},
    "baseDelayMs": _DELAY,
    "maxDelayMs": _DELAY,
    "jitter": {"type": "boolean"},
}
_ERROR: Final[Json] = {"oneOf": [schema("Error"), {"type": "null"}]}

#: The fields of a task in the order of the contract; lists leave out the last two.
_TASK_FIELDS: Final[Json] = {
    "id": ID,
    "type": {"type": "string"},
    "status": _STATUS,
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
    "onWorkerLost": {"type": "string", "enum": list(map(str, OnWorkerLost))},
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
    "error": _ERROR,
}
_RESULT: Final[Json] = {
    "type": ["object", "null"],
    "description": "Of the latest ended attempt; a failed one may have a result too.\n\n"
    "* HTTP: `statusCode`, `headers`, `body`, `bodyTruncated`, `durationMs`\n"
    "* SHELL: `exitCode`, `signal`, `stdout`, `stderr`, `stdoutTruncated`, `stderrTruncated`, `cpuMs`, `maxRssBytes` "
    "(null when nobody could tell), `sandbox` (none, limits, landlock, bwrap)",
}

_FIELD_ERROR: Final = obj({"field": {"type": "string"}, "message": {"type": "string"}})
_FIELD_ERRORS: Final[Json] = {"type": "array", "items": _FIELD_ERROR}
_PROBLEM_FIELDS: Final[Json] = {
    "type": {"type": "string", "format": "uri", "pattern": f"^{TYPE_PREFIX}"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string"},
    "errors": _FIELD_ERRORS,
    "correlationId": {"type": "string"},
}
_BULK_ITEM: Final[Json] = {"oneOf": [obj({"id": ID}), obj({"errors": _FIELD_ERRORS})]}
_BULK_FIELDS: Final[Json] = {
    "created": integer(0, MAX_TASKS),
    "failed": integer(0, MAX_TASKS),
    "items": {"type": "array", "items": _BULK_ITEM, "description": "One for each task, in their order."},
}

SCHEMAS: Final[Json] = {
    "NewTask": obj(
        {
            "type": _TYPE,
            "payload": _PAYLOAD | {"default": {}},
            "scheduleAt": INSTANT_OR_NULL | {"description": "Absent or past: now."},
            "maxRetries": nullable("integer", minimum=0, maximum=new_tasks.MAX_RETRIES),
            "queue": NAME | {"default": "default"},
            "priority": _PRIORITY | {"default": 0},
            "timeoutMs": _TIMEOUT | {"default": new_tasks.DEFAULT_TIMEOUT_MS},
            "expiresAt": INSTANT_OR_NULL | {"description": "Not started by then, it ends FAILED/EXPIRED."},
            "correlationId": nullable("string", pattern=_CORRELATION),
            "concurrencyKey": nullable(
                "string",
                minLength=1,
                maxLength=200,
                description="At most one task per queue and key is assigned or running at any instant.",
            ),
            "retry": {"oneOf": [schema("RetryOptions"), {"type": "null"}]},
            "onWorkerLost": {"type": "string", "enum": list(map(str, OnWorkerLost)), "default": "retry"},
        },
        required=["type"],
    ),
    "TaskChanges": obj(
        {
            "scheduleAt": INSTANT | {"description": "Past: now."},
            "priority": _PRIORITY,
            "maxRetries": _RETRIES,
            "payload": _PAYLOAD,
            "queue": NAME,
            "timeoutMs": _TIMEOUT,
            "expiresAt": INSTANT_OR_NULL | {"description": "null: never."},
        },
        required=[],
        minProperties=1,
    ),
    "RetryOptions": obj(_RETRY_FIELDS, required=[], description="Any subset; the rest comes from the settings."),
    "RetryPolicy": obj(_RETRY_FIELDS, description="The policy in force."),
    "Task": obj(
        _TASK_FIELDS | {"payload": _PAYLOAD, "result": _RESULT},
        required=[name for name in _TASK_FIELDS if name != "error"],
        description="Without `payload`, `result` and `error` for a caller that may not read tasks (`tasks:read`).",
    ),
    "TaskItem": obj(_TASK_FIELDS, description="A task in a list: without payload and result."),
    "TaskPage": obj(
        {
            "content": {"type": "array", "items": schema("TaskItem")},
            "page": COUNT,
            "size": integer(1, MAX_SIZE),
            "totalElements": COUNT,
            "totalPages": COUNT,
            "first": {"type": "boolean"},
            "last": {"type": "boolean"},
            "totalIsEstimate": {"const": True, "description": "Present when the total is an estimate."},
        },
        required=["content", "page", "size", "totalElements", "totalPages", "first", "last"],
    ),
    "TaskCursorPage": obj(
        {
            "content": {"type": "array", "items": schema("TaskItem")},
            "next": nullable("string"),
            "previous": nullable("string"),
        }
    ),
    "BulkRequest": obj({"tasks": {"type": "array", "items": schema("NewTask"), "minItems": 1, "maxItems": MAX_TASKS}}),
    "BulkAnswer": obj(_BULK_FIELDS),
    "BulkProblem": obj(
        _PROBLEM_FIELDS | _BULK_FIELDS,
        required=list(_PROBLEM_FIELDS),
        description="A problem; when each task was looked at, also what is wrong with it.",
    ),
    "Error": obj(
        {"code": {"type": "string", "enum": list(map(str, ErrorCode))}, "message": {"type": "string"}},
        description="Why an attempt, or the task, did not succeed.",
    ),
    "Execution": obj(
        {
            "attempt": {"type": "integer", "minimum": 1},
            "workerId": ID,
            "status": {"type": "string", "enum": list(map(str, ExecutionStatus))},
            "startedAt": INSTANT,
            "finishedAt": INSTANT,
            "durationMs": COUNT,
            "result": nullable("object"),
            "error": _ERROR,
            "late": {"oneOf": [schema("LateResult"), {"type": "null"}]},
        }
    ),
    "LateResult": obj(
        {
            "outcome": {"type": "string", "enum": list(map(str, ExecutionStatus))},
            "at": INSTANT,
            "result": nullable("object"),
            "error": _ERROR,
        },
        description="A result that arrived after the attempt was taken away. It changed no task.",
    ),
    "Event": obj(
        {
            "at": INSTANT,
            "from": {"oneOf": [_STATUS, {"type": "null"}]},
            "to": _STATUS,
            "actor": {"type": "string"},
            "reason": {"type": "string"},
            "attempt": COUNT,
        }
    ),
    "Why": obj(
        {
            "running": {"type": "boolean"},
            "reasons": {
                "type": "array",
                "items": obj(
                    {"code": {"type": "string"}, "detail": {"type": "string"}, "until": INSTANT_OR_NULL},
                ),
            },
        }
    ),
    "Queue": obj(
        {
            "name": NAME,
            "paused": {"type": "boolean"},
            "pausedAt": INSTANT_OR_NULL,
            "pausedUntil": INSTANT_OR_NULL,
            "pauseReason": {"type": "string"},
            "pausedBy": {"type": "string"},
            "version": {"type": "integer"},
        }
    ),
    "Pause": obj(
        {
            "reason": {"type": "string", "maxLength": MAX_REASON},
            "until": INSTANT_OR_NULL | {"description": "When it ends by itself; null or absent: when resumed."},
        },
        required=[],
    ),
    "Empty": obj({}, description="Nothing, or an empty object."),
    "Problem": obj(_PROBLEM_FIELDS),
    "QueueList": listed(schema("Queue")),
    "ExecutionList": listed(schema("Execution")),
    "EventList": listed(schema("Event")),
}

_HEADERS: Final[Json] = {
    "X-Correlation-ID": {
        "description": "The one that was sent, or a fresh one.",
        "schema": {"type": "string", "pattern": _CORRELATION},
    },
    "ETag": {
        "description": "The version of what is shown: for If-Match.",
        "schema": {"type": "string"},
        "example": '"3"',
    },
    "Location": {"description": "Where the new one is.", "schema": {"type": "string", "format": "uri-reference"}},
    "Idempotent-Replayed": {
        "description": "This answer belongs to an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
}
_PROBLEM_HEADERS: Final = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}


def _problem(status: int, description: str) -> Json:
    names = ("X-Correlation-ID", *_PROBLEM_HEADERS.get(status, ()))
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {MEDIA_TYPE: {"schema": schema("Problem"), "example": examples.problem(status)}},
    }


COMPONENTS: Final[Json] = {
    "schemas": SCHEMAS,
    "headers": _HEADERS,
    "responses": {f"Problem{status}": _problem(status, text) for status, text in PROBLEM_TITLES.items()},
    "parameters": {
        "TaskId": {"name": "task_id", "in": "path", "required": True, "schema": ID},
        "CorrelationId": {
            "name": "X-Correlation-ID",
            "in": "header",
            "description": "Stored on the task and written in every log line about it.",
            "schema": {"type": "string"},
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key and body: the same answer again, with 200, also when sent in parallel. "
            "Kept per API key as long as what was created.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "Do it only if it still has one of these ETags; `*`: any. Weak forms count.",
            "schema": {"type": "string"},
            "example": '"3"',
        },
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "Answer 304 while it still has one of these ETags.",
            "schema": {"type": "string"},
        },
    },
    "securitySchemes": {
        "apiKey": {"type": "http", "scheme": "bearer", "description": "`manage.py createapikey` makes one."},
        "adminSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of the admin; changes need the X-CSRFToken header as well.",
        },
    },
}
