"""What `workers_app` documents of the API: having a worker drain."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import ID, Json, closed_set, obj, schema
from access_app.rights import Action
from tasks_app.states import WorkerState

_WORKER_ID: Final[Json] = in_path("worker_id")
_SCHEMAS: Final[Json] = {
    "WorkerState": closed_set(WorkerState, "DEAD: it was silent for longer than its lease."),
    "WorkerDraining": obj({"workerId": ID, "state": schema("WorkerState")}),
}
_PATHS: Final[Json] = {
    "/workers/{worker_id}/drain": {
        "parameters": [_WORKER_ID],
        "post": operation(
            "workers",
            "drainWorker",
            "Have a worker finish and stop",
            {202: response("It hears of it with its next beat, within seconds.", schema("WorkerDraining"))},
            action=Action.WORKER_DRAIN,
            problems=(*BODY_PROBLEMS, 404),
            description="It takes nothing new, finishes or gives back what it has, and exits. Safe to repeat.",
            requestBody=body(schema("Empty"), required=False),
        ),
    },
}


def chapter() -> Chapter:
    return Chapter(_PATHS, _SCHEMAS, {"workers": "Who runs the tasks."})
