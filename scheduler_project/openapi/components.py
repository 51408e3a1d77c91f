"""Everything that the paths of the document refer to: schemas, headers, problem answers, parameters, security."""

from __future__ import annotations

from typing import Final

from access_app.http.problems import MEDIA_TYPE
from access_app.texts import MAX_REASON
from scheduler_project.openapi import examples
from scheduler_project.openapi.enums import ENUMS
from scheduler_project.openapi.monitoring_schemas import SCHEMAS as MONITORING
from scheduler_project.openapi.parts import ID, INSTANT_OR_NULL, NAME, PROBLEM_TITLES, Json, listed, obj, schema
from scheduler_project.openapi.payloads import PAYLOADS
from scheduler_project.openapi.schedule_schemas import SCHEMAS as SCHEDULES
from scheduler_project.openapi.task_schemas import CORRELATION, PROBLEM_FIELDS
from scheduler_project.openapi.task_schemas import SCHEMAS as TASKS

_SCHEMAS: Final[Json] = {
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
    "QueueList": listed(schema("Queue")),
    "Pause": obj(
        {
            "reason": {"type": "string", "maxLength": MAX_REASON},
            "until": INSTANT_OR_NULL | {"description": "When it ends by itself; null or absent: when resumed."},
        },
        required=[],
    ),
    "Empty": obj({}, description="Nothing, or an empty object."),
    "Problem": obj(PROBLEM_FIELDS, description="RFC 9457. `errors` names each field that is wrong."),
}

_HEADERS: Final[Json] = {
    "X-Correlation-ID": {
        "description": "The one that was sent, or a fresh one.",
        "schema": {"type": "string", "pattern": CORRELATION},
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
    "schemas": ENUMS | PAYLOADS | TASKS | _SCHEMAS | SCHEDULES | MONITORING,
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
