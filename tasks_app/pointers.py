"""JSON Pointers (RFC 6901) into results: how they are written, and what is where they lead. Pure.

A pointer that goes on into a text reads it as JSON: the body of an HTTP response and what a command prints are texts.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

_ESCAPES: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


class Nothing(Exception):
    """There is nothing at a pointer; the text says where it ends."""


class Document:
    """A JSON value that pointers lead into; a text in it is read as JSON once, however many do."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._read: dict[str, Any] = {}

    def at(self, pointer: str) -> Any:
        """The value at a well-formed pointer. Raises `Nothing`."""
        value, walked = self._value, ""
        for token in pointer.split("/")[1:]:
            if isinstance(value, str):
                value = self._of_text(value, walked)
            value = _step(value, token.replace("~1", "/").replace("~0", "~"), walked)
            walked += f"/{token}"
        return value

    def _of_text(self, text: str, where: str) -> Any:
        if text not in self._read:
            try:
                self._read[text] = json.loads(text, parse_constant=_refuse)
            except (ValueError, RecursionError):
                raise Nothing(f"the text at {where} is not JSON, or was cut") from None
        return self._read[text]


def problem_of(pointer: str) -> str | None:
    """What is wrong with the way a pointer is written."""
    if pointer and not pointer.startswith("/"):
        return "must be empty, or begin with / (a JSON Pointer, RFC 6901)"
    return "must have no ~ but in ~0, which is ~, and ~1, which is /" if _ESCAPES.search(pointer) else None


def _step(value: Any, token: str, walked: str) -> Any:
    if isinstance(value, dict) and token in value:
        return value[token]
    if isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
        return value[int(token)]
    what = "the object" if isinstance(value, dict) else "the list" if isinstance(value, list) else "the value"
    raise Nothing(f"{what} at {walked or 'its top'} has no {token[:100]!r}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
