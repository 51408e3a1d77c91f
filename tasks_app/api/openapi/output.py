"""What is documented of the output of tasks: three forms of the same."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import parameters_of
from access_app.http.openapi.operations import operation, response
from access_app.http.openapi.schemas import COUNT, INSTANT, Json, array, integer, nullable, obj, ref, schema
from access_app.rights import Action
from tasks_app.api.output import OutputQuery
from tasks_app.task_output import MAX_ATTEMPT

SCHEMAS: Final[Json] = {
    "OutputPart": obj(
        {
            "attempt": integer(1, MAX_ATTEMPT),
            "seq": COUNT | {"description": "Its place: bytes the attempt had written by its end."},
            "at": INSTANT,
            "stream": {"type": "string", "examples": ["stdout", "stderr", "log"]},
            "line": integer(1, 2**63 - 1) | {"description": "The number of its first line in the attempt."},
            "leftOutBefore": COUNT | {"description": "Bytes between the part before and this one."},
            "text": {"type": "string"},
        },
        description="Whole lines of one stream, unless a line is too long. Of a search: a line.",
    ),
    "OutputPage": obj(
        {
            "content": array(schema("OutputPart")),
            "next": nullable("string") | {"description": "The next `after`; null: nothing was read yet."},
            "leftOutBytes": COUNT | {"description": "Of all parts of this page."},
            "ended": {"type": "boolean", "description": "This is all there is, and nothing more will come."},
        }
    ),
}
_EXAMPLE: Final[Json] = {
    "content": [
        {
            "attempt": 1,
            "seq": 23,
            "at": "2030-01-31T06:00:01.000000Z",
            "stream": "stdout",
            "line": 1,
            "leftOutBefore": 0,
            "text": "page 1 of 3\npage 2 of 3",
        }
    ],
    "next": "1.23",
    "leftOutBytes": 0,
    "ended": False,
}
_LAST_EVENT: Final[Json] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "With `text/event-stream`: the id of the last event that was read. It stands above `after`.",
    "schema": {"type": "string"},
}


def _output() -> Json:
    """Three forms of the same: the one that ``Accept`` names."""
    found = response("From the cursor on.", schema("OutputPage"), example=_EXAMPLE)
    events = "Events `output`, `left-out` and `ended`, with the data of JSON; the id of each is where to go on."
    found["content"] |= {
        "text/event-stream": {"schema": {"type": "string", "description": events}},
        "text/plain": {"schema": {"type": "string", "description": "All of it, as a file."}},
    }
    return operation(
        "tasks",
        "getOutput",
        "What it writes while it runs",
        {200: found},
        action=Action.TASK_READ,
        problems=(404,),
        description=(
            "Of attempts that have run for OUTPUT_AFTER_MS, head and tail of each; secrets are masked. With `Accept: "
            "text/event-stream` it is followed: send the id of the last event as `Last-Event-ID` when the connection "
            "has ended, and stop at `ended`. 503: too many follow tasks from one process."
        ),
        parameters=[*parameters_of(OutputQuery), _LAST_EVENT],
    )


PATHS: Final[Json] = {"/tasks/{task_id}/output": {"parameters": [ref("parameters", "TaskId")], "get": _output()}}
