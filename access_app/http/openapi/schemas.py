"""Builders of JSON Schema values, and the values that stand in many places. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from access_app.texts import CORRELATION_ID, MAX_REASON

Json = dict[str, Any]

COUNT: Final[Json] = {"type": "integer", "minimum": 0}
INSTANT: Final[Json] = {"type": "string", "format": "date-time"}
INSTANT_OR_NULL: Final[Json] = {"type": ["string", "null"], "format": "date-time"}
ID: Final[Json] = {"type": "string", "format": "uuid"}
CORRELATION: Final = f"^{CORRELATION_ID.pattern}$"
#: Of a queue, a schedule, a calendar.
NAME: Final[Json] = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,100}$"}
#: Why somebody does something.
REASON: Final[Json] = {"type": "string", "maxLength": MAX_REASON}


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    return ref("schemas", name)


def obj(properties: Json, *, required: Sequence[str] | None = None, **more: Any) -> Json:
    """An object with these properties and no others; all of them are required unless said otherwise."""
    names = list(properties) if required is None else list(required)
    closed: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return closed | ({"required": names} if names else {}) | more


def open_obj(properties: Json, *, required: Sequence[str] = (), **more: Any) -> Json:
    """An object that may have further properties: figures and results grow without a new version of the API."""
    return obj(properties, required=required, **more) | {"additionalProperties": True}


def string_map(value: Json | None = None, **more: Any) -> Json:
    """An object of any names and texts, or of another value."""
    return {"type": "object", "additionalProperties": value or {"type": "string"}, **more}


def unset(properties: Json) -> Json:
    """The same properties without defaults, for changes: what is absent stays, and generated clients send defaults."""
    return {name: {key: value for key, value in one.items() if key != "default"} for name, one in properties.items()}


def or_null(name: str, **more: Any) -> Json:
    return {"oneOf": [schema(name), {"type": "null"}], **more}


def choice(name: str, **more: Any) -> Json:
    """A value of a named set (`closed_set`), with words or a default of its own."""
    return {"allOf": [schema(name)], **more} if more else schema(name)


def variant(value: Json, *, null: bool = False, **more: Any) -> Json:
    """The same values, perhaps null too, with words or a default of their own."""
    if "$ref" in value:
        return {"oneOf": [value, {"type": "null"}], **more} if null else {"allOf": [value], **more} if more else value
    return value | ({"type": [value["type"], "null"]} if null else {}) | more


def listed(items: Json) -> Json:
    """``{"content": […]}``."""
    return obj({"content": array(items)})


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def nullable(kind: str, **more: Any) -> Json:
    return {"type": [kind, "null"], **more}


def integer(low: int, high: int, **more: Any) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high, **more}


def closed_set(values: Iterable[object], description: str) -> Json:
    """One of these texts. It needs a name of its own: a generated client then has one type for each."""
    return {"type": "string", "enum": list(map(str, values)), "description": description}
