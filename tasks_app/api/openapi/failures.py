"""Failures in groups: their paths and schemas."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import pages, parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    COUNT,
    INSTANT_OR_NULL,
    REASON,
    Json,
    array,
    closed_set,
    nullable,
    obj,
    ref,
    schema,
    variant,
)
from access_app.rights import Action
from tasks_app.api.failure_inputs import SORTS, FailuresQuery, WindowQuery
from tasks_app.api.operation_inputs import QUEUE, RATE
from tasks_app.failure_groups import HOURS
from tasks_app.fingerprints import FINGERPRINT, LOOKED_AT
from tasks_app.grouping import LONGEST_MESSAGE

_FINGERPRINT: Final[Json] = {"type": "string", "pattern": f"^{FINGERPRINT.pattern}$"}
_IN_PATH: Final = ref("parameters", "Fingerprint")
_EXAMPLE: Final[Json] = {
    "fingerprint": "355e2821625e255a", "count": 41_207, "first": "2030-01-31T18:00:02.120000Z",
    "last": "2030-01-31T18:59:58.377000Z", "type": "HTTP", "code": "HTTP_STATUS",
    "message": "answered 503 Service Unavailable", "sample": "01a22fb8-6d21-7b62-8c3e-5d6f1a2b3c4d",
    "lastHours": [*[0] * 22, 1_207, 40_000],
}  # fmt: skip
_RETRY: Final[Json] = {
    "from": "2030-01-31T18:00:00Z", "to": "2030-01-31T19:00:00Z", "reason": "the relay is back", "ratePerSecond": 50,
}  # fmt: skip

SCHEMAS: Final[Json] = {
    "Failure": obj(
        {
            "fingerprint": _FINGERPRINT,
            "count": COUNT | {"description": "How many attempts failed so in the time that was asked for."},
            "first": INSTANT_OR_NULL | {"description": "When the first of them ended."},
            "last": INSTANT_OR_NULL,
            "type": {"type": "string"},
            "code": {"type": "string"},
            "message": {
                "type": "string",
                "description": f"Of the last failure of the group, the first {LONGEST_MESSAGE} characters.",
            },
            "sample": nullable("string", format="uuid", description="A task whose attempt was the last of them."),
            "lastHours": array(
                COUNT,
                minItems=HOURS,
                maxItems=HOURS,
                description="Failures in each of the last 24 hours, oldest first, whatever was asked for.",
            ),
        }
    ),
    "FailurePage": pages("Failure")["FailurePage"],
    "FailureSort": closed_set(SORTS, "A field and the way it goes; without one, upwards."),
    "FailureRetry": obj(
        {
            "from": INSTANT_OR_NULL | {"description": "Failed at this time or later; 24 hours ago if absent or null."},
            "to": INSTANT_OR_NULL | {"description": "Failed before this; now if absent or null."},
            "queue": variant(QUEUE.schema, null=True, description="Of this queue alone."),
            "reason": REASON,
            "ratePerSecond": variant(RATE.schema, null=True, description="No more tasks a second are retried."),
        },
        required=[],
    ),
}
PATHS: Final[Json] = {
    "/failures": {
        "get": operation(
            "failures",
            "listFailures",
            "What failed alike, in groups",
            {200: response("A page of the groups.", schema("FailurePage"))},
            action=Action.FAILURE_READ,
            description=(
                "Attempts whose tasks have the same type, whose errors have the same code, and whose messages differ "
                "in numbers, ids, quoted texts, URLs and addresses alone, are one group. The status of a response and "
                f"the exit code of a command count; of a message the first {LOOKED_AT} characters do. A failure is in "
                "its group some seconds after it happened. Tasks that ended without an attempt (EXPIRED, REJECTED) "
                "are in none."
            ),
            parameters=parameters_of(FailuresQuery),
        )
    },
    "/failures/{fingerprint}": {
        "parameters": [_IN_PATH],
        "get": operation(
            "failures",
            "getFailure",
            "One group",
            {200: response("It, in the time that was asked for.", schema("Failure"), example=_EXAMPLE)},
            action=Action.FAILURE_READ,
            problems=(404,),
            parameters=parameters_of(WindowQuery),
        ),
    },
    "/failures/{fingerprint}/retry": {
        "parameters": [_IN_PATH],
        "post": operation(
            "failures",
            "retryFailure",
            "Retry the tasks of a group",
            {
                202: response(
                    "A bulk operation has begun. Its filter is one of GET /tasks, which shows its tasks.",
                    schema("BulkOperationItem"),
                    headers=("ETag", "Location"),
                ),
                200: response(
                    "The same request was sent before.",
                    schema("BulkOperationItem"),
                    headers=("ETag", "Idempotent-Replayed"),
                ),
            },
            action=Action.BULK_RUN,
            problems=(*BODY_PROBLEMS, 404, 409),
            description=(
                "Exactly those that failed so in this time and are FAILED by that: what somebody has retried since, or "
                "what has ended otherwise, is left alone. Follow it, stop it and resume it as any bulk operation."
            ),
            parameters=[ref("parameters", "IdempotencyKey")],
            requestBody=body(schema("FailureRetry"), required=False, examples={"an hour": {"value": _RETRY}}),
        ),
    },
}
PARAMETERS: Final[Json] = {
    "Fingerprint": in_path("fingerprint", _FINGERPRINT),
}
