"""What the document says of tasks as a file."""

from __future__ import annotations

from typing import Final

from access_app.exports import FORMATS
from access_app.http.openapi.lists import parameters_of
from access_app.http.openapi.operations import operation
from access_app.http.openapi.schemas import COUNT, Json, array, obj, schema
from access_app.rights import Action
from tasks_app.api.filters import ExportedTasks

SCHEMAS: Final[Json] = {
    "ExportFormat": {"type": "string", "enum": list(FORMATS)},
    "TaskExport": obj({"content": array(schema("TaskItem")), "count": COUNT}),
}
PATHS: Final[Json] = {
    "/tasks/export": {
        "get": operation(
            "tasks",
            "exportTasks",
            "Export tasks as a file",
            {
                200: {
                    "description": "All that match, in their order.",
                    "content": {
                        "application/json": {"schema": schema("TaskExport")},
                        "text/csv": {"schema": {"type": "string"}},
                    },
                }
            },
            action=Action.TASK_READ,
            description=(
                "At most 100,000: with more, or when finding them takes more than 5 seconds, 400 says so. Each web "
                "process makes four files at a time, and has 503 for others. They are streamed, and who asked for one "
                "is in the audit trail. In CSV, objects are JSON, and a text that begins with = + - @, a tab or a line "
                "break has an apostrophe before it, so that no spreadsheet takes it for a formula; numbers have none."
            ),
            parameters=parameters_of(ExportedTasks),
        )
    }
}
