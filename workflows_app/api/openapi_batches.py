"""What the document says of batches: schemas, paths, examples."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    Json,
    array,
    choice,
    closed_set,
    integer,
    nullable,
    obj,
    or_null,
    ref,
    schema,
)
from access_app.rights import Action
from tasks_app.api.bulk import MAX_TASKS
from tasks_app.states import TaskStatus
from workflows_app import templates
from workflows_app.api.batch_filters import BatchFilters
from workflows_app.api.batch_inputs import Only
from workflows_app.batch_rules import BatchStatus, FollowUp
from workflows_app.new_batches import MAX_FAILURES, MAX_NAME

_IF_MATCH: Final = ref("parameters", "IfMatch")
_IDEMPOTENCY: Final = ref("parameters", "IdempotencyKey")
_CORRELATION: Final = ref("parameters", "CorrelationId")
_BATCH_ID: Final[Json] = in_path("batch_id")
_ID: Final = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6081"
_TASK: Final = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6082"
_NAME: Final[Json] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_FAIL_FAST: Final[Json] = {
    "oneOf": [
        integer(1, MAX_FAILURES),
        {"type": "string", "pattern": "^([1-9][0-9]?|100)%$"},
        {"type": "null"},
    ],
    "description": "When so many tasks have FAILED, or so large a part of all, what waits is cancelled.",
}
_FOLLOW_UPS: Final[Json] = {str(which): or_null("NewTask") for which in FollowUp}
_REFS: Final = schema("TasksByName")
_ITEM: Final[Json] = {
    "id": ID,
    "name": _NAME,
    "status": schema("BatchStatus"),
    "parentBatchId": nullable("string", format="uuid"),
    "scheduleId": nullable("string", format="uuid", description="The recurring schedule that made it."),
    "scheduledFor": INSTANT_OR_NULL | {"description": "The time of the schedule it was made for."},
    "failFast": _FAIL_FAST,
    "completion": COUNT | {"description": "How often it was done; a retry opens it again."},
    "correlationId": nullable("string"),
    "idempotencyKey": nullable("string"),
    "createdBy": {"type": "string"},
    "version": integer(1, 2**31 - 1) | {"description": "Grows by one with every change of the batch itself; the ETag."},
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
    "completedAt": INSTANT_OR_NULL | {"description": "When it was done the last time."},
    "cancelledAt": INSTANT_OR_NULL,
    "finishedAt": INSTANT_OR_NULL,
}
_COUNTED: Final[Json] = {
    "counts": schema("BatchCounts"),
    "batches": schema("InnerBatches"),
    "progress": {"type": "number", "minimum": 0, "maximum": 1, "description": "The part of its tasks that has ended."},
    "followUps": choice("TasksByName", description="The tasks that were made when it was done, while it is."),
}
_NEW: Final[Json] = {
    "name": _NAME,
    "tasks": array(schema("NewTask"), maxItems=MAX_TASKS),
    "open": {"type": "boolean", "default": False, "description": "It is not done before it is closed."},
    "failFast": _FAIL_FAST,
    "parentBatchId": nullable("string", format="uuid", description="It lies in that one, which is done after it."),
    **_FOLLOW_UPS,
}
_EXAMPLE_ITEM: Final[Json] = {
    "id": _ID,
    "name": "nightly",
    "status": "RUNNING",
    "parentBatchId": None,
    "scheduleId": None,
    "scheduledFor": None,
    "failFast": "10%",
    "completion": 0,
    "correlationId": None,
    "idempotencyKey": None,
    "createdBy": "reports",
    "version": 1,
    "createdAt": "2030-01-31T10:59:59.998000Z",
    "updatedAt": "2030-01-31T10:59:59.998000Z",
    "completedAt": None,
    "cancelledAt": None,
    "finishedAt": None,
}
_ZEROS: Final[Json] = {str(status): 0 for status in TaskStatus}
_EXAMPLE: Final[Json] = _EXAMPLE_ITEM | {
    "counts": {**_ZEROS, "PENDING": 2, "total": 2},
    "batches": {"open": 0, "done": 0},
    "progress": 0.0,
    "followUps": {},
    **{str(which): None for which in FollowUp},
}
_PAGE: Final[Json] = {"content": [_EXAMPLE_ITEM], "page": 0, "size": 20, "totalElements": 1, "totalPages": 1}
_ASKED: Final[Json] = {
    "fan-out and fan-in": {
        "summary": "Two tasks and one after both",
        "value": {
            "name": "nightly",
            "tasks": [
                {"type": "DUMMY", "ref": "eu"},
                {"type": "DUMMY", "ref": "us"},
                {"type": "DUMMY", "dependsOn": ["eu", "us"]},
            ],
            "onFailure": {"type": "DUMMY", "queue": "alerts"},
            "failFast": "10%",
        },
    },
    "open": {"summary": "One that gets its tasks later", "value": {"name": "crawl", "open": True}},
}


def _batch(description: str, *headers: str, name: str = "Batch", **more: object) -> Json:
    return response(description, schema(name), headers=("ETag", *headers), example=_EXAMPLE | more)


def _batch_post(operation_id: str, summary: str, action: Action, description: str, **more: object) -> Json:
    return {
        "parameters": [_BATCH_ID],
        "post": operation("batches", operation_id, summary, action=action, description=description, **more),  # type: ignore[arg-type]
    }


SCHEMAS: Final[Json] = {
    "BatchStatus": closed_set(BatchStatus, "OPEN: takes more until it is closed. SUCCESS, FAILED, CANCELLED: done."),
    "BatchCounts": obj({**{str(status): COUNT for status in TaskStatus}, "total": COUNT}),
    "InnerBatches": obj({"open": COUNT, "done": COUNT}, description="How many lie in it."),
    "TasksByName": {"type": "object", "additionalProperties": ID, "description": "Ids of tasks by their ref."},
    "BatchItem": obj(_ITEM),
    "Batch": obj(_ITEM | _COUNTED | _FOLLOW_UPS, required=[*_ITEM, *_COUNTED]),
    "NewBatch": obj(_NEW, required=["name"]),
    "BatchTemplate": obj(
        {name: said for name, said in _NEW.items() if name not in ("open", "parentBatchId")}
        | {"tasks": array(schema("NewTask"), minItems=1, maxItems=templates.MAX_TASKS)},
        required=["name", "tasks"],
        description="As for `POST /batches`. Its tasks depend on each other alone, by `ref`, and have no times.",
    ),
    "MadeBatch": obj(_ITEM | _COUNTED | _FOLLOW_UPS | {"refs": _REFS}, required=[*_ITEM, *_COUNTED, "refs"]),
    "RetriedBatch": obj(_ITEM | _COUNTED | _FOLLOW_UPS | {"retried": COUNT}, required=[*_ITEM, *_COUNTED, "retried"]),
    "MoreTasks": obj({"tasks": array(schema("NewTask"), minItems=1, maxItems=MAX_TASKS)}),
    "AddedTasks": obj({"ids": array(ID, description="In the order of the tasks."), "refs": _REFS}),
    "RetryOnly": closed_set(Only, "unsuccessful: what somebody cancelled, too."),
    "BatchRetry": obj(
        {
            "only": choice("RetryOnly", default=Only.FAILED),
            "reason": {"type": "string"},
        },
        required=[],
    ),
    "BatchSort": sort_set(BatchFilters),
    **pages("BatchItem"),
}
PATHS: Final[Json] = {
    "/batches": {
        "get": operation(
            "batches",
            "listBatches",
            "List batches",
            {
                200: response(
                    "A page. With `cursor` it has `next` and `previous` instead of totals.",
                    page_of("Batch"),
                    example=_PAGE | {"first": True, "last": True},
                )
            },
            action=Action.BATCH_READ,
            description="Without what would have to be counted.",
            parameters=parameters_of(BatchFilters),
        ),
        "post": operation(
            "batches",
            "createBatch",
            "Make a batch and its tasks, all or none",
            {
                200: _batch(
                    "The batch that an earlier request with this Idempotency-Key made, as it is now.",
                    "Idempotent-Replayed",
                    name="MadeBatch",
                    refs={"eu": _TASK},
                ),
                201: _batch(
                    "Made. It survives any crash from here on.", "Location", name="MadeBatch", refs={"eu": _TASK}
                ),
            },
            action=Action.BATCH_CREATE,
            problems=(*BODY_PROBLEMS, 409, 429),
            description="Done when it is not OPEN, and neither a task nor a batch in it is open. Then `onComplete` is "
            "made, and `onSuccess` or `onFailure`, once for each completion; inside another batch, they belong to that "
            "one. `uniqueKey` is not taken.",
            parameters=[_IDEMPOTENCY, _CORRELATION],
            requestBody=body(schema("NewBatch"), examples=_ASKED),
        ),
    },
    "/batches/{batch_id}": {
        "parameters": [_BATCH_ID],
        "get": operation(
            "batches",
            "getBatch",
            "Read a batch with its counts",
            {200: _batch("The batch.")},
            action=Action.BATCH_READ,
            problems=(404,),
        ),
        "delete": operation(
            "batches",
            "cancelBatch",
            "Cancel what waits in a batch",
            {202: _batch("A scheduler cancels what waits, also in the batches in it. What runs is left to end.")},
            action=Action.BATCH_CANCEL,
            problems=(404, 409, 412),
            parameters=[_IF_MATCH],
        ),
    },
    "/batches/{batch_id}/tasks": _batch_post(
        "addToBatch",
        "Add tasks to a batch that is not done, all or none",
        Action.BATCH_ADD,
        "A task of the batch that runs keeps it from being done, so it may add to it. A `ref` is of its call only.",
        responses={
            200: response(
                "What an earlier request with this Idempotency-Key added.",
                schema("AddedTasks"),
                headers=("Idempotent-Replayed",),
            ),
            201: response("Added.", schema("AddedTasks"), example={"ids": [_TASK], "refs": {}}),
        },
        problems=(*BODY_PROBLEMS, 404, 409, 429),
        parameters=[_IDEMPOTENCY, _CORRELATION],
        requestBody=body(schema("MoreTasks"), examples={"one": {"value": {"tasks": [{"type": "DUMMY"}]}}}),
    ),
    "/batches/{batch_id}/close": _batch_post(
        "closeBatch",
        "Let a batch be done, to which nothing more is added",
        Action.BATCH_CLOSE,
        "Of one that is not OPEN, nothing changes.",
        responses={200: _batch("RUNNING, until all in it has ended.")},
        problems=(*BODY_PROBLEMS, 404, 409, 412),
        parameters=[_IF_MATCH],
        requestBody=body(schema("Reason"), required=False),
    ),
    "/batches/{batch_id}/retry": _batch_post(
        "retryBatch",
        "Run again what failed in a batch",
        Action.BATCH_RETRY,
        "And what never ran because of that, also outside of it. What succeeded keeps its result. When all has ended, "
        "the batch is done under the next completion number, and makes its tasks for that again.",
        responses={200: _batch("RUNNING again.", name="RetriedBatch", retried=2)},
        problems=(*BODY_PROBLEMS, 404, 409, 412, 429),
        parameters=[_IF_MATCH],
        requestBody=body(schema("BatchRetry"), required=False),
    ),
}
TAGS: Final = {"batches": "Tasks that are followed as one."}
