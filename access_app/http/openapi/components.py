"""What the operations of every app refer to: headers, problems, parameters of a request, how to log in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.schemas import CORRELATION, COUNT, ID, Json, array, obj, schema
from access_app.http.problems import MEDIA_TYPE, TYPE_PREFIX

PROBLEM_FIELDS: Final[Json] = {
    "type": {"type": "string", "format": "uri", "pattern": f"^{TYPE_PREFIX}"},
    "title": {"type": "string"},
    "status": {"type": "integer"},
    "detail": {"type": "string"},
    "errors": array(schema("FieldError")),
    "correlationId": {"type": "string"},
}
#: What a problem 429 says besides.
FULL_FIELDS: Final[Json] = {
    "queue": {"type": "string", "description": "The queue that takes no more, or whose concurrency key does not."},
    "concurrencyKey": {"type": "string", "description": "The key that takes no more; absent when it is the queue."},
    "maxWaiting": COUNT | {"description": "The bound."},
    "waiting": COUNT | {"description": "How many tasks wait, counted to one more than the bound."},
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
        "description": "This response belongs to an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Not-Created": {
        "description": "No task was created: what became of the one that is shown, which was there before.",
        "schema": {"type": "string", "pattern": "^(returned|replaced|postponed|skipped|queued)$"},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
}
_PROBLEMS: Final = {
    400: "A field, a parameter or the body is wrong; `errors` names it.",
    401: "No API key, or one that is unknown, revoked or expired.",
    403: "The key lacks the scope this needs, or the person the permission.",
    404: "There is nothing of this id.",
    409: "The state of things does not allow this, or the Idempotency-Key was used for another request.",
    411: "The body has no length, and this server does not read such bodies.",
    412: "If-Match names none but other versions: somebody has changed it since it was read.",
    413: "The body is too large, or has too many values.",
    415: "The body is not uncompressed JSON.",
    429: "Too many tasks wait in the queue, or for the concurrency key; `Retry-After` says when to try again.",
    500: "A defect of ours; the log has the details under the correlation id.",
    503: "The database cannot be reached, or takes no changes; `Retry-After` says when to try again.",
}
_PROBLEM_HEADERS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def _problem(status: int, description: str) -> Json:
    names = ("X-Correlation-ID", *_PROBLEM_HEADERS.get(status, ()))
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {MEDIA_TYPE: {"schema": schema("Problem"), "example": _example(status)}},
    }


def _example(status: int) -> Json:
    """What an error of this status looks like."""
    kinds = {
        400: "invalid-request",
        401: "not-authenticated",
        409: "illegal-transition",
        412: "stale-version",
        429: "queue-full",
    }
    phrase = HTTPStatus(status).phrase
    errors = [{"field": "priority", "message": "must be a whole number from -100 to 100"}] if status == 400 else []
    return {
        "type": TYPE_PREFIX + kinds.get(status, phrase.lower().replace(" ", "-")),
        "title": phrase,
        "status": status,
        "detail": "priority: must be a whole number from -100 to 100" if errors else f"{phrase}.",
        "errors": errors,
        "correlationId": "order-17",
    }


#: What no app has for itself.
SHARED: Final = Chapter(
    paths={},
    schemas={
        "Empty": obj({}, description="Nothing, or an empty object."),
        "Problem": obj(
            PROBLEM_FIELDS
            | {"taskId": ID | {"description": "The task that stands in the way, where one does."}}
            | FULL_FIELDS,
            required=list(PROBLEM_FIELDS),
            description="RFC 9457. `errors` names each field that is wrong.",
        ),
        "FieldError": obj({"field": {"type": "string"}, "message": {"type": "string"}}),
    },
    parameters={
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key and body: the same response again, with 200, also when sent in parallel. "
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
            "description": "304 is returned while it still has one of these ETags.",
            "schema": {"type": "string"},
        },
    },
)
_SECURITY: Final[Json] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "`manage.py createapikey` makes one."},
    "taskToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "`tst_…`: each attempt of a task with `taskToken` has one, for its batch and itself.",
    },
    "adminSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "The session of the admin; changes need the X-CSRFToken header as well.",
    },
}


def components(whole: Chapter) -> Json:
    """Everything that the paths of the document refer to."""
    return {
        "schemas": whole.schemas,
        "headers": _HEADERS,
        "responses": {f"Problem{status}": _problem(status, text) for status, text in _PROBLEMS.items()},
        "parameters": whole.parameters,
        "securitySchemes": _SECURITY,
    }
