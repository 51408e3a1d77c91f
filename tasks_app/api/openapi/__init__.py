"""What `tasks_app` documents of the API: one task's life."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.chapters import Chapter, union
from access_app.http.openapi.operations import in_path
from access_app.http.openapi.schemas import Json, closed_set
from tasks_app.api.filters import TaskGate
from tasks_app.api.openapi import export, failures, operations, output, paths, schemas, types

_PARAMETERS: Final[Json] = {
    "TaskId": in_path("task_id"),
    "CorrelationId": {
        "name": "X-Correlation-ID",
        "in": "header",
        "description": "Stored on the task and written in every log line about it.",
        "schema": {"type": "string"},
    },
}


_FILTERS: Final[Json] = {"TaskGate": closed_set(TaskGate, "What waiting tasks may wait for, besides their time.")}


def chapter() -> Chapter:
    tags = {
        "tasks": "Create, read, change, cancel, retry.",
        "bulk operations": "Cancel, retry, move … all tasks that match a filter.",
        "failures": "What failed alike, in groups, and its retry.",
    }
    known = union(
        _FILTERS, types.SCHEMAS, schemas.SCHEMAS, export.SCHEMAS, output.SCHEMAS, operations.SCHEMAS, failures.SCHEMAS
    )
    found = union(paths.PATHS, export.PATHS, output.PATHS, operations.PATHS, failures.PATHS)
    parameters = union(_PARAMETERS, operations.PARAMETERS, failures.PARAMETERS)
    return Chapter(found, known, tags, parameters)
