"""Bulk operations: their paths and schemas."""

from __future__ import annotations

from typing import Any, Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    REASON,
    Json,
    array,
    choice,
    closed_set,
    nullable,
    obj,
    ref,
    schema,
    variant,
)
from access_app.rights import Action
from tasks_app.acting import MOST_QUEUES, SAMPLES
from tasks_app.acts import BulkAction, OperationState, Skip
from tasks_app.api.filters import TaskFilters
from tasks_app.api.openapi import schemas
from tasks_app.api.operation_filters import OperationFilters
from tasks_app.api.operation_inputs import PRIORITY, QUEUE, RATE

_IF_MATCH: Final = ref("parameters", "IfMatch")
_ID: Final = ref("parameters", "BulkOperationId")
_SAMPLE_ID: Final = "01a22fb8-6d21-7b62-8c3e-5d6f1a2b3c4d"
_FILTER_EXAMPLE: Final[Json] = {
    "status": ["FAILED"],
    "queue": "mail",
    "createdAfter": "2026-11-30T18:00:00Z",
    "createdBefore": "2026-11-30T19:00:00Z",
}
_OPERATION_EXAMPLE: Final[Json] = {
    "id": _SAMPLE_ID, "action": "retry", "filter": _FILTER_EXAMPLE, "priority": None, "queue": None, "state": "RUNNING",
    "count": 41_207, "done": 12_000, "touched": 11_998, "skipped": 2, "skips": {"NOT_ENDED": 2}, "failed": 0, "held": 0,
    "ratePerSecond": 500, "askedBy": "on-call", "reason": "the mail relay is back", "error": None,
    "createdAt": "2026-11-30T19:02:11.120Z", "updatedAt": "2026-11-30T19:02:35.377Z", "finishedAt": None, "version": 1,
}  # fmt: skip


def _filter_schema() -> Json:
    """The same parameters as GET /tasks has, each with its schema."""
    properties: dict[str, Any] = {}
    for name, each in TaskFilters.base_filters.items():
        field = each.parameter
        one = {"oneOf": [field.schema["items"], field.schema | {"minItems": 1}]} if field.repeated else field.schema
        properties[name] = one if "$ref" in one else {**one, "description": str(field.help_text)}
    return obj(properties, required=[], minProperties=1, description="Exactly what GET /tasks takes; never nothing.")


def _sample_schema() -> Json:
    """A task as lists show it; without its error for a caller that may not read tasks."""
    item = schemas.SCHEMAS["TaskItem"]
    required = [name for name in item["required"] if name != "error"]
    return {**item, "required": required, "description": "As in a list; without `error` for who may not read tasks."}


SCHEMAS: Final[Json] = {
    "BulkAction": closed_set(BulkAction, "What is done to each task: as to one task, and `expire` as at expiresAt."),
    "BulkOperationState": closed_set(OperationState, "Where it stands. DONE and FAILED are final."),
    "BulkOperationSort": sort_set(OperationFilters),
    "TaskFilter": _filter_schema(),
    "BulkCounts": {"type": "object", "additionalProperties": COUNT},
    "TaskSample": _sample_schema(),
    "NewBulkOperation": obj(
        {
            "action": schema("BulkAction"),
            "filter": schema("TaskFilter"),
            "priority": variant(PRIORITY.schema, null=True, description="To `reprioritise`."),
            "queue": variant(QUEUE.schema, null=True, description="To `move`."),
            "reason": REASON,
            "dryRun": {"type": "boolean", "description": "Only look: the response has the token to begin with."},
            "token": {"type": "string", "description": "Of a dry run of the same action and filter."},
            "ratePerSecond": variant(RATE.schema, null=True, description="No more tasks a second are changed."),
        },
        required=["action", "filter"],
    ),
    "BulkDryRun": obj(
        {
            "count": COUNT,
            "byStatus": schema("BulkCounts"),
            "byQueue": choice("BulkCounts", description=f"The {MOST_QUEUES} fullest."),
            "otherQueues": COUNT | {"description": "In how many more queues tasks match."},
            "sample": array(schema("TaskSample"), maxItems=SAMPLES, description="The youngest."),
            "token": {"type": "string", "description": "Begins the operation, once, within 15 minutes."},
        }
    ),
    "BulkOperationItem": obj(
        {
            "id": ID,
            "action": schema("BulkAction"),
            "filter": schema("TaskFilter"),
            "priority": nullable("integer"),
            "queue": nullable("string"),
            "state": schema("BulkOperationState"),
            "count": COUNT | {"description": "How many tasks matched at the dry run."},
            "done": COUNT | {"description": "How many have been dealt with: touched, skipped or failed."},
            "touched": COUNT,
            "skipped": COUNT,
            "skips": choice("BulkCounts", description=f"Why, and how many: {', '.join(Skip)}."),
            "failed": COUNT | {"description": "Tasks that the database refused to change; see `error`."},
            "held": COUNT | {"description": "Tasks that somebody else holds just now: it comes back to them."},
            "ratePerSecond": nullable("integer"),
            "askedBy": {"type": "string"},
            "reason": {"type": "string"},
            "error": nullable("string"),
            "createdAt": INSTANT,
            "updatedAt": INSTANT,
            "finishedAt": INSTANT_OR_NULL,
            "version": COUNT,
        }
    ),
    **pages("BulkOperationItem"),
    "BulkReason": obj({"reason": REASON}, required=[]),
}


def _shown(description: str, *headers: str) -> Json:
    return response(description, schema("BulkOperationItem"), headers=("ETag", *headers), example=_OPERATION_EXAMPLE)


def _post(action: Action, operation_id: str, summary: str, text: str) -> Json:
    return {
        "parameters": [_ID],
        "post": operation(
            "bulk operations",
            operation_id,
            summary,
            {200: _shown("As it is now.")},
            action=action,
            problems=(*BODY_PROBLEMS, 404, 409, 412),
            description=text,
            parameters=[_IF_MATCH],
            requestBody=body(schema("BulkReason"), required=False),
        ),
    }


PATHS: Final[Json] = {
    "/bulk-operations": {
        "get": operation(
            "bulk operations",
            "listBulkOperations",
            "List bulk operations",
            {
                200: response(
                    "A page. With `cursor` it has `next` and `previous` instead of totals.",
                    page_of("BulkOperation"),
                )
            },
            action=Action.BULK_READ,
            parameters=parameters_of(OperationFilters),
        ),
        "post": operation(
            "bulk operations",
            "createBulkOperation",
            "Act on all tasks that match a filter, or look at them first",
            {
                200: response(
                    "Of a dry run: how many tasks match, some of them, and the token. With a token that was used "
                    "before: the operation that it began.",
                    {"oneOf": [schema("BulkDryRun"), schema("BulkOperationItem")]},
                    headers=("ETag", "Idempotent-Replayed"),
                ),
                202: _shown("It has begun, and goes on in the background.", "Location"),
            },
            action=Action.BULK_CREATE,
            problems=BODY_PROBLEMS,
            description=(
                "First with `dryRun`, then with the token of that and the same action and filter. To `retry`, "
                "`reprioritise` and `move` tasks of a type that needs a scope of its own (SHELL: `tasks:shell`), that "
                "scope is needed as well."
            ),
            requestBody=body(
                schema("NewBulkOperation"),
                examples={
                    "dryRun": {"value": {"action": "retry", "filter": _FILTER_EXAMPLE, "dryRun": True}},
                    "begin": {
                        "value": {
                            "action": "retry",
                            "filter": _FILTER_EXAMPLE,
                            "token": "…",
                            "reason": "the mail relay is back",
                            "ratePerSecond": 500,
                        }
                    },
                },
            ),
        ),
    },
    "/bulk-operations/{operation_id}": {
        "parameters": [_ID],
        "get": operation(
            "bulk operations",
            "getBulkOperation",
            "How far a bulk operation is",
            {200: _shown("It.")},
            action=Action.BULK_READ,
            problems=(404,),
        ),
    },
    "/bulk-operations/{operation_id}/stop": _post(
        Action.BULK_STOP,
        "stopBulkOperation",
        "Stop a bulk operation",
        "When this is answered, it touches no further task until it is resumed.",
    ),
    "/bulk-operations/{operation_id}/resume": _post(
        Action.BULK_RESUME,
        "resumeBulkOperation",
        "Let a stopped bulk operation go on",
        "From where it was, at its rate.",
    ),
}
PARAMETERS: Final[Json] = {
    "BulkOperationId": in_path("operation_id"),
}
