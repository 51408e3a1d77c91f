"""Paths of tasks."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, operation, response
from access_app.http.openapi.schemas import Json, ref, schema
from access_app.rights import Action
from tasks_app.api.filters import BulkQuery, TaskFilters
from tasks_app.api.openapi import examples, types

_TASK_ID: Final = ref("parameters", "TaskId")
_CORRELATION: Final = ref("parameters", "CorrelationId")
_IDEMPOTENCY: Final = ref("parameters", "IdempotencyKey")
_IF_MATCH: Final = ref("parameters", "IfMatch")


_DECIDES: Final = (
    "For the members of the group, or the holders of the scope, that its `approval` names, but for who has asked for "
    "the task; others get 403."
)


def _task(description: str, *headers: str) -> Json:
    return response(description, schema("Task"), headers=("ETag", *headers), example=examples.TASK)


_LIST: Final[Json] = {
    "get": operation(
        "tasks",
        "listTasks",
        "List tasks",
        {
            200: response(
                "A page. With `cursor` it has `next` and `previous` instead of totals.",
                page_of("Task"),
                example=examples.PAGE,
            )
        },
        action=Action.TASK_READ,
        description="Totals beyond 10,000 may be estimates. Keyset pages cost the same however far one goes.",
        parameters=parameters_of(TaskFilters),
    ),
    "post": operation(
        "tasks",
        "createTask",
        "Create a task",
        {
            200: _task(
                "The task an earlier request with this Idempotency-Key created, or an open one: uniqueKey, onBusy.",
                "Idempotent-Replayed",
                "Not-Created",
            ),
            201: _task("Created. It survives any crash from here on.", "Location"),
        },
        action=Action.TASK_CREATE,
        problems=(*BODY_PROBLEMS, 409, 429),
        description=(
            "With a `uniqueKey` that an open task of the queue has, `onDuplicate` says what happens. A task that runs "
            "is neither replaced nor postponed, nor is one of another type, nor one of another concurrencyKey "
            "replaced: 409. `onBusy` says what happens while a task of the concurrencyKey is open."
        ),
        parameters=[_IDEMPOTENCY, _CORRELATION],
        requestBody=body(schema("NewTask"), examples=types.EXAMPLES),
    ),
}
_BULK: Final[Json] = {
    "post": operation(
        "tasks",
        "createTasks",
        "Create many tasks",
        {
            200: response(
                "The response to an earlier request with this Idempotency-Key, or none was created, because open tasks "
                "have their uniqueKeys.",
                schema("BulkAnswer"),
                headers=("Idempotent-Replayed", "Not-Created"),
            ),
            201: response("At least one was created.", schema("BulkAnswer"), example=examples.BULK_RESULT),
            400: response("None was created.", schema("BulkProblem"), media_type="application/problem+json"),
            429: response(
                "None was created, and for some only because a queue or a concurrency key is full.",
                schema("BulkProblem"),
                headers=("Retry-After",),
                media_type="application/problem+json",
            ),
        },
        action=Action.TASK_CREATE,
        problems=(*BODY_PROBLEMS, 409),
        description=(
            "Each task is checked on its own. `onDuplicate` is `return` or `reject` here, `onBusy` `queue`. A "
            "response stays below 2 MiB: where errors are very many, items only say how many."
        ),
        parameters=[
            *parameters_of(BulkQuery),
            _IDEMPOTENCY,
            _CORRELATION,
        ],
        requestBody=body(schema("BulkRequest"), examples={"two": {"value": examples.BULK_REQUEST}}),
    )
}
_DETAIL: Final[Json] = {
    "parameters": [_TASK_ID],
    "get": operation(
        "tasks",
        "getTask",
        "Read a task",
        {200: _task("The task."), 304: response("It has not changed.", None, headers=("ETag",))},
        action=Action.TASK_READ,
        problems=(404,),
        parameters=[ref("parameters", "IfNoneMatch")],
    ),
    "patch": operation(
        "tasks",
        "editTask",
        "Change a task that has not started",
        {200: _task("The task as it is now.")},
        action=Action.TASK_EDIT,
        problems=(*BODY_PROBLEMS, 404, 409, 412, 429),
        description="A task that is assigned goes back to PENDING.",
        parameters=[_IF_MATCH],
        requestBody=body(schema("TaskChanges"), examples={"later": {"value": {"priority": 5, "expiresAt": None}}}),
    ),
    "delete": operation(
        "tasks",
        "cancelTask",
        "Cancel a task",
        {
            200: _task("It was not running and is CANCELLED."),
            202: _task("It is running: the worker stops it within a second; cancelRequestedAt is set."),
        },
        action=Action.TASK_CANCEL,
        problems=(404, 409, 412),
        parameters=[_IF_MATCH],
    ),
}


def _task_post(
    action: Action,
    operation_id: str,
    summary: str,
    responses: dict[int, Json],
    problems: tuple[int, ...],
    text: str,
    asked: str = "Empty",
) -> Json:
    parameters = [_IF_MATCH] if 412 in problems else [_CORRELATION]
    return {
        "parameters": [_TASK_ID],
        "post": operation(
            "tasks",
            operation_id,
            summary,
            responses,
            action=action,
            problems=(*BODY_PROBLEMS, 404, *problems),
            description=text,
            parameters=parameters,
            requestBody=body(schema(asked), required=False),
        ),
    }


def _task_get(
    operation_id: str, summary: str, name: str, example: Json, *, action: Action = Action.TASK_READ, **more: Json
) -> Json:
    return {
        "parameters": [_TASK_ID],
        "get": operation(
            "tasks",
            operation_id,
            summary,
            {200: response(f"{summary}.", schema(name), example=example)},
            action=action,
            problems=(404,),
        ),
        **more,
    }


PATHS: Final[Json] = {
    "/tasks": _LIST,
    "/tasks/bulk": _BULK,
    "/tasks/{task_id}": _DETAIL,
    "/tasks/{task_id}/retry": _task_post(
        Action.TASK_RETRY,
        "retryTask",
        "Run an ended task again",
        {200: _task("PENDING again, due now; attempt goes on, retryCount and crashCount are 0.")},
        (409, 412, 429),
        "The same id; a past expiresAt is cleared. With `dependents`, what never ran because of it waits for it anew. "
        "The batch of a task that runs again is no longer done.",
        "RetryRequest",
    ),
    "/tasks/{task_id}/approve": _task_post(
        Action.TASK_APPROVE,
        "approveTask",
        "Approve a task that waits for that",
        {200: _task("It is due at its scheduleAt, or now.")},
        (409, 412),
        f"{_DECIDES} 409: it waits for no approval, or the time for one is over.",
        "Decision",
    ),
    "/tasks/{task_id}/reject": _task_post(
        Action.TASK_REJECT,
        "rejectTask",
        "Reject a task that waits for an approval",
        {200: _task("It is CANCELLED, with the error REJECTED.")},
        (409, 412),
        f"{_DECIDES} 409: it waits for no approval.",
        "Decision",
    ),
    "/tasks/{task_id}/clone": _task_post(
        Action.TASK_CLONE,
        "cloneTask",
        "Create a task like this one",
        {201: _task("The new task, due now.", "Location")},
        (429,),
        "In any state, without its times. It depends on the tasks whose results it takes, and on no others.",
    ),
    "/tasks/{task_id}/executions": _task_get(
        "listExecutions", "Ended attempts, oldest first", "ExecutionList", examples.EXECUTIONS
    ),
    "/tasks/{task_id}/events": _task_get("listEvents", "Timeline, oldest first", "EventList", examples.EVENTS),
    "/tasks/{task_id}/dependencies": _task_get(
        "listDependencies", "The tasks that it depends on", "Dependencies", examples.DEPENDENCIES
    ),
    "/tasks/{task_id}/inputs": _task_get(
        "listInputs",
        "What it has taken from the results of others",
        "UsedInputs",
        examples.INPUTS,
        action=Action.TASK_INPUTS,
    ),
    "/tasks/{task_id}/progress": _task_get(
        "getProgress",
        "How far it is, as it said last",
        "Progress",
        examples.PROGRESS,
        put=operation(
            "tasks",
            "reportProgress",
            "Say how far a running task is",
            {200: response("As it is shown from now on.", schema("Progress"), example=examples.PROGRESS)},
            action=Action.TASK_PROGRESS,
            problems=(*BODY_PROBLEMS, 404, 409),
            description="In the place of what was said before. The answer is what is kept: ten reports a second, "
            "and the first that says 100 percent.",
            requestBody=body(schema("ProgressReport"), examples={"counted": {"value": {"done": 30, "total": 120}}}),
        ),
    ),
}
