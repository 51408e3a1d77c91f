"""What the SHELL type documents of itself: its payload and result as schemas, and an example."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import Json, closed_set, nullable, obj, open_obj, schema, string_map
from tasks_app.conf import Sandbox
from tasks_app.executors.base import TypeDocs
from tasks_app.references import TEXT_OR_RESULT

_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}
_NEVER_BOTH: Final = "Either `command` or `argv`."

DOCS: Final = TypeDocs(
    payload=obj(
        {
            "command": _TEXT | {"description": f"For `/bin/sh -c`. {_NEVER_BOTH}"},
            "argv": {
                "type": "array",
                "items": TEXT_OR_RESULT,
                "minItems": 1,
                "description": f"A program and its arguments, without a shell; no $from in the first. {_NEVER_BOTH}",
            },
            "workingDirectory": _TEXT | {"description": "An absolute path."},
            "environment": schema("Environment"),
        },
        required=[],
        description="A command. Exit code 0 is success.",
    ),
    result=open_obj(
        {
            "exitCode": nullable("integer"),
            "signal": nullable("string"),
            "stdout": _TEXT | {"description": "Head and tail, at most 64 KiB."},
            "stderr": _TEXT,
            "stdoutTruncated": _FLAG,
            "stderrTruncated": _FLAG,
            "cpuMs": nullable("integer", description="Processor time; null when nobody could know."),
            "maxRssBytes": nullable("integer", description="Peak memory; null when nobody could know."),
            "sandbox": schema("Sandbox"),
        },
        required=["exitCode", "signal", "stdout", "stderr", "stdoutTruncated", "stderrTruncated"],
        description="How the command ended, and what it printed.",
    ),
    parts={
        "Environment": string_map(
            TEXT_OR_RESULT, description="Variables that the command gets besides the few it always has."
        ),
        "Sandbox": closed_set(Sandbox, "What held a command (SHELL_SANDBOX)."),
    },
    summary="Run a program, one at a time",
    example={"argv": ["/bin/date", "-u"]},
    options={"concurrencyKey": "clock"},
)
