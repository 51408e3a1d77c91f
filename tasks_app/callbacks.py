"""What a task says about who is told of its end: its ``callback``, read from JSON. Pure.

Who is told, and how, is another app's matter (``workflows_app``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final

from access_app.http.fields import json_object
from access_app.refusals import InvalidInput, bounded
from tasks_app.executors.http_payload import url_problem
from tasks_app.kinds import document

ENDPOINT_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
_FIELDS: Final = frozenset({"url", "endpoint", "on", "include"})
#: What forms and the OpenAPI document say of it.
TOLD: Final = (
    'Is told when it has ended, as {"url": "https://…", "on": ["failed"]}, or {"endpoint": "billing"}. '
    "Absent: as its schedule or its queue says; null: nobody."
)


class CallbackOn(StrEnum):
    """What somebody is told of."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: No end: a result that came after its attempt was taken away. Only who asks for it hears of that.
    LATE_RESULT = "late_result"


#: What is told of unless something is asked for.
ENDS: Final = (CallbackOn.SUCCEEDED, CallbackOn.FAILED, CallbackOn.CANCELLED)


class Include(StrEnum):
    """What is sent besides how a task ended."""

    RESULT = "result"


def read_callback(value: Any) -> Any:
    """A callback as it came. Raises ValueError, or `InvalidInput` that names what is wrong."""
    callback = json_object(value)
    problems = bounded((name, "unknown field") for name in sorted(callback.keys() - _FIELDS))
    for name, read in (("url", read_url), ("endpoint", _name), ("on", _ends), ("include", read_include)):
        try:
            if name in callback:
                read(callback[name])
        except ValueError as error:
            problems[name] = str(error)
    if ("url" in callback) == ("endpoint" in callback):
        problems.setdefault(
            "url", "name either this or endpoint, and not both" if "url" in callback else "is required, or endpoint"
        )
    if problems:
        raise InvalidInput(problems)
    return callback


def read_url(value: Any) -> Any:
    """An address that can be called; whether it may be is looked at each time."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - as every reader
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


def read_include(value: Any) -> Any:
    if value not in list(Include):
        raise ValueError(f"must be {' or '.join(Include)}")
    return value


def _name(value: Any) -> None:
    if not isinstance(value, str) or not ENDPOINT_NAME.fullmatch(value):
        raise ValueError("must be the name of an endpoint")


def _ends(value: Any) -> None:
    words = list(CallbackOn)
    if type(value) is not list or not value or not all(each in words for each in value) or len(value) > len(words):
        raise ValueError(f"must be a list of {', '.join(words)}, or absent for every end")


#: Says that nobody is told, whatever is said by default: what null means to who makes a task.
NOBODY: Final[dict[str, Any]] = {}


def _check(value: Any) -> Any:
    return value if value == NOBODY else read_callback(value)


CALLBACK: Final = document("Callback", read_callback, _check)
