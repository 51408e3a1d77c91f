"""What `flow_app` documents of the API: queues, targets, and why a task is not running."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.operations import BODY_PROBLEMS, body, operation, response
from access_app.http.openapi.schemas import INSTANT_OR_NULL, NAME, Json, array, listed, obj, ref, schema
from access_app.rights import Action
from access_app.texts import MAX_REASON
from flow_app.api import openapi_targets
from flow_app.rules import rule_components, rule_schemas

_QUEUE_NAME: Final[Json] = {"name": "name", "in": "path", "required": True, "schema": NAME}
_WHY: Final[Json] = {
    "running": False,
    "reasons": [
        {"code": "NOT_DUE", "detail": "its nextRunAt is in the future", "until": "2030-01-31T11:00:00.000000Z"}
    ],
}


def _queue_post(
    action: Action, operation_id: str, summary: str, name: str, problems: tuple[int, ...], text: str
) -> Json:
    return {
        "parameters": [_QUEUE_NAME],
        "post": operation(
            "queues",
            operation_id,
            summary,
            {200: response("The queue as it is now.", schema("Queue"), headers=("ETag",))},
            action=action,
            problems=(*BODY_PROBLEMS, *problems),
            description=text,
            requestBody=body(schema(name), required=False),
        ),
    }


_SCHEMAS: Final[Json] = {
    "Queue": obj(
        {
            "name": NAME,
            "paused": {"type": "boolean"},
            "pausedAt": INSTANT_OR_NULL,
            "pausedUntil": INSTANT_OR_NULL,
            "pauseReason": {"type": "string"},
            "pausedBy": {"type": "string"},
            **rule_schemas(),
            "version": {"type": "integer"},
        }
    ),
    **rule_components(),
    "QueueList": listed(schema("Queue")),
    "QueueChanges": obj(rule_schemas(changes=True), required=[]),
    "Pause": obj(
        {
            "reason": {"type": "string", "maxLength": MAX_REASON},
            "until": INSTANT_OR_NULL | {"description": "When it ends by itself; null or absent: when resumed."},
        },
        required=[],
    ),
    "WhyReason": obj({"code": {"type": "string"}, "detail": {"type": "string"}, "until": INSTANT_OR_NULL}),
    "Why": obj({"running": {"type": "boolean"}, "reasons": array(schema("WhyReason"))}),
}
_PATHS: Final[Json] = {
    "/queues": {
        "get": operation(
            "queues",
            "listQueues",
            "Queues somebody has paused or given rules",
            {200: response("The queues, by name.", schema("QueueList"))},
            action=Action.QUEUE_READ,
        )
    },
    "/queues/{name}": {
        "parameters": [_QUEUE_NAME],
        "get": operation(
            "queues",
            "getQueue",
            "One queue",
            {
                200: response("The queue.", schema("Queue"), headers=("ETag",)),
                304: response("It has not changed.", None, headers=("ETag",)),
            },
            action=Action.QUEUE_READ,
            problems=(404,),
            description="Every name that a queue can have is one. One without a pause or rules is at version 0.",
            parameters=[ref("parameters", "IfNoneMatch")],
        ),
        "patch": operation(
            "queues",
            "editQueue",
            "Set the rules of a queue",
            {200: response("The queue as it is now.", schema("Queue"), headers=("ETag",))},
            action=Action.QUEUE_EDIT,
            problems=(*BODY_PROBLEMS, 404, 412),
            description="They hold from the next assignment on. Nothing that runs is stopped: while more runs than a "
            "lowered limit allows, nothing starts. A rule that is not named stays; null ends it.",
            parameters=[ref("parameters", "IfMatch")],
            requestBody=body(
                schema("QueueChanges"),
                examples={
                    "four": {"value": {"maxConcurrency": 4}},
                    "rate": {"value": {"rateLimit": {"limit": 100, "periodSeconds": 1}}},
                },
            ),
        ),
    },
    "/queues/{name}/pause": _queue_post(
        Action.QUEUE_PAUSE,
        "pauseQueue",
        "Pause a queue",
        "Pause",
        (404,),
        "Nothing more is assigned; what is assigned but not started goes back; what runs goes on.",
    ),
    "/queues/{name}/resume": _queue_post(
        Action.QUEUE_RESUME,
        "resumeQueue",
        "Resume a queue",
        "Empty",
        (404,),
        "Resuming a queue that is not paused changes nothing.",
    ),
    "/tasks/{task_id}/why": {
        "parameters": [ref("parameters", "TaskId")],
        "get": operation(
            "tasks",
            "explainTask",
            "Every reason it is not running now",
            {200: response("Every reason it is not running now.", schema("Why"), example=_WHY)},
            action=Action.TASK_READ,
            problems=(404,),
        ),
    },
}


def chapter() -> Chapter:
    tags = {
        "queues": "Pause, resume and give rules. A queue needs no creation: naming it is enough.",
        "targets": "Rules of hosts that HTTP tasks call, whatever their queue.",
    }
    return Chapter(_PATHS | openapi_targets.PATHS, _SCHEMAS | openapi_targets.SCHEMAS, tags)
