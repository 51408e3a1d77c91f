"""Kinds of values a field of a task can have: how they are read from JSON, shown, and described. Pure.

Which field is of which kind, and everything else about it, is in ``fields``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from re import Pattern
from typing import Any, Final

from access_app.http.fields import Read, anything
from access_app.http.fields import flag as read_flag
from access_app.http.fields import text as read_text
from access_app.http.fields import whole as read_whole
from access_app.http.openapi.schemas import COUNT as COUNT_SCHEMA
from access_app.http.openapi.schemas import ID as ID_SCHEMA
from access_app.http.openapi.schemas import INSTANT as INSTANT_SCHEMA
from access_app.http.openapi.schemas import Json, integer, schema
from access_app.http.times import parse_instant, show_instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What holds for all values of a kind, but for null."""

    schema: Json
    read: Read = anything
    #: Raises what `read` raises, for a value that came by another way; None where that is what `read` reads.
    check: Callable[[Any], object] | None = None
    #: Makes JSON of what the database returned; None where that is JSON.
    show: Callable[[Any], Any] | None = None
    #: What pages call the values of a closed set.
    words: Mapping[str, str] = field(default_factory=dict)
    #: The column is jsonb.
    document: bool = False


def whole(low: int, high: int) -> Kind:
    """A whole number within limits, which are legal themselves."""
    sentence = f"must be a whole number from {low} to {high}"

    def read(value: Any) -> Any:
        if not low <= read_whole(value) <= high:
            raise ValueError(sentence)
        return value

    return Kind(schema=integer(low, high), read=read)


def matching(pattern: Pattern[str], words: str) -> Kind:
    """A text of a pattern; ``words`` say which."""
    sentence = f"must be {words}"

    def read(value: Any) -> Any:
        if not pattern.fullmatch(read_text(value)):
            raise ValueError(sentence)
        return value

    return Kind(schema={"type": "string", "pattern": f"^{pattern.pattern}$"}, read=read)


def visible(longest: int) -> Kind:
    """A line of text in which nothing is invisible: two that look alike are alike."""
    sentence = f"must be 1 to {longest} characters that can be seen, or spaces"

    def read(value: Any) -> Any:
        if not (0 < len(read_text(value)) <= longest and value.isprintable()):
            raise ValueError(sentence)
        return value

    return Kind(schema={"type": "string", "minLength": 1, "maxLength": longest}, read=read)


def one_of(values: type[StrEnum], words: Mapping[str, str] | None = None) -> Kind:
    """A value of a closed set, which OpenAPI knows by the name of its class."""
    names = frozenset(map(str, values))
    sentence = f"must be {' or '.join(values)}"

    def read(value: Any) -> Any:
        if read_text(value) not in names:
            raise ValueError(sentence)
        return value

    return Kind(schema=schema(values.__name__), read=read, words=words or {})


def listed(kind: Kind, most: int) -> Kind:
    """A list of 1 to ``most`` values of a kind."""
    sentence = f"must be a list of 1 to {most:,}"

    def read(value: Any) -> Any:
        if type(value) is not list or not 1 <= len(value) <= most:
            raise ValueError(sentence)
        return tuple(map(kind.read, value))

    def check(value: Any) -> Any:
        return read(list(value))

    return Kind(schema={"type": "array", "items": kind.schema, "minItems": 1, "maxItems": most}, read=read, check=check)


def document(name: str, read: Read, check: Read | None = None) -> Kind:
    """A JSON object, kept as it came. OpenAPI knows its schema by this name."""
    return Kind(schema=schema(name), read=read, check=check, document=True)


def _check_zone(value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError("must have a time zone")


INSTANT: Final = Kind(schema=INSTANT_SCHEMA, read=parse_instant, check=_check_zone, show=show_instant)
TEXT: Final = Kind(schema={"type": "string"}, read=read_text)
ID: Final = Kind(schema=ID_SCHEMA, show=str)
COUNT: Final = Kind(schema=COUNT_SCHEMA)
FLAG: Final = Kind(schema={"type": "boolean"}, read=read_flag)
