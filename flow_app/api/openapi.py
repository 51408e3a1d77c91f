"""What `flow_app` documents of the API: queues, targets, freezes, and why a task is not running."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.lists import pages, parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    COUNT,
    INSTANT_OR_NULL,
    NAME,
    REASON,
    Json,
    array,
    closed_set,
    nullable,
    obj,
    ref,
    schema,
    string_map,
)
from access_app.rights import Action
from flow_app.api import key_openapi, openapi_freezes, openapi_targets
from flow_app.api.queries import QueuesQuery
from flow_app.figures import SAMPLE
from flow_app.rules import RESUME_RATE, RULES, FairBy, rule_components, rule_schemas

_QUEUE_NAME: Final[Json] = in_path("name", NAME)
_WHY: Final[Json] = {
    "running": False,
    "reasons": [
        {
            "code": "NOT_DUE",
            "detail": "its nextRunAt is in the future",
            "until": "2030-01-31T11:00:00.000000Z",
            "links": {},
        }
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


_FIGURES: Final[Json] = {
    "waiting": COUNT | {"description": "Tasks that no worker has, whatever they wait for."},
    "due": COUNT | {"description": "Those of them that wait for a worker only."},
    "waitingAtLeast": {"type": "boolean", "description": "There are more than `waiting`, `due` or `gates` say."},
    "oldestDueSeconds": nullable("number", minimum=0, description="Since when the first of them is due."),
    "scheduled": COUNT | {"description": "Assigned to a worker, and not started."},
    "running": COUNT,
    "gates": schema("GateCounts"),
    "inPerMinute": {"type": "number", "minimum": 0, "description": "Tasks created in the last minute."},
    "outPerMinute": {"type": "number", "minimum": 0, "description": "Tasks that ended in the last minute."},
    "ratesSampled": {
        "type": "boolean",
        "description": f"The rates are of the last {SAMPLE} tasks of all queues, which took less than a minute.",
    },
    "timeToDrainSeconds": nullable(
        "number", minimum=0, description="Until nothing is due, at these rates; null: never."
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
            "frozen": {"type": "boolean", "description": "A freeze holds it: see `GET /freezes`."},
            "frozenUntil": INSTANT_OR_NULL,
            **rule_schemas([*RULES, RESUME_RATE]),
            "version": {"type": "integer", "description": "Grows with every change of pause or rules; also the ETag."},
            **_FIGURES,
        }
    ),
    "GateCounts": {
        "type": "object",
        "additionalProperties": COUNT,
        "description": "How many wait for what but time and a worker: KEY, DEPENDENCY, APPROVAL, RATE, TARGET, TURN, "
        "FREEZE.",
    },
    **rule_components([*RULES, RESUME_RATE]),
    "FairBy": closed_set(FairBy, "Tenants are told apart by who created a task, or by its fairKey."),
    "QueuePage": pages("Queue")["QueuePage"],
    "QueueChanges": obj(rule_schemas(changes=True), required=[]),
    "Resume": obj(rule_schemas([RESUME_RATE]), required=[]),
    "Pause": obj(
        {
            "reason": REASON,
            "until": INSTANT_OR_NULL | {"description": "When it ends by itself; null or absent: when resumed."},
        },
        required=[],
    ),
    "WhyReason": obj(
        {
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "until": INSTANT_OR_NULL,
            "links": schema("WhyLinks"),
        }
    ),
    "WhyLinks": string_map(description="Paths of what the reason names: `queue`, `target`, `task`, `tasks`."),
    "Why": obj({"running": {"type": "boolean"}, "reasons": array(schema("WhyReason"))}),
}
_PATHS: Final[Json] = {
    "/queues": {
        "get": operation(
            "queues",
            "listQueues",
            "Every queue in use",
            {200: response("A page of the queues, by name.", schema("QueuePage"))},
            action=Action.QUEUE_READ,
            description="In use is a queue with a task that has not ended, or that has been paused or given rules. "
            "Counts are bounded: the more queues a page has, the fewer tasks are counted of each.",
            parameters=parameters_of(QueuesQuery),
        )
    },
    "/queues/{name}": {
        "parameters": [_QUEUE_NAME],
        "get": operation(
            "queues",
            "getQueue",
            "One queue",
            {200: response("The queue.", schema("Queue"), headers=("ETag",))},
            action=Action.QUEUE_READ,
            problems=(404,),
            description="Every name that a queue can have is one. One without a pause or rules is at version 0. The "
            "ETag is for If-Match; figures change without it.",
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
        "Resume",
        (404,),
        "With a resumeRate, tasks start no faster until all that are due now have started; then it ends by itself. "
        "Resuming once more without one ends it at once. Else, resuming a queue that is not paused changes nothing.",
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
        "freezes": "One switch for an incident: nothing of some queues, targets or types starts until it is thawed.",
    }
    paths = _PATHS | key_openapi.PATHS | openapi_targets.PATHS | openapi_freezes.PATHS
    schemas = _SCHEMAS | key_openapi.SCHEMAS | openapi_targets.SCHEMAS | openapi_freezes.SCHEMAS
    return Chapter(paths, schemas, tags)
