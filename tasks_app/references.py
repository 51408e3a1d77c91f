"""References: what a payload takes from the results of the tasks that its own task depends on. Pure.

    {"$from": "<id of a task>", "path": "/body/rows", "default": []}

in the place of a whole value is that part of a result. Where one may stand, the executor of a type says; what is found
there at the start of an attempt is put into the payload as data, and is not looked into for references again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from access_app.http.openapi.schemas import Json, obj, schema
from tasks_app import pointers

FROM: Final = "$from"
#: How a payload as JSON text shows that it has one. Quotes inside of a text are escaped, so that no text looks like it.
MARK: Final = '"$from":'
MOST_REFERENCES: Final = 100
LONGEST_PATH: Final = 1000
#: Payloads are no deeper.
_DEEPEST: Final = 32
#: What one looks like, which OpenAPI knows as ResultReference; and a text that may be one.
SCHEMA: Final[Json] = obj(
    {
        FROM: {"type": "string", "description": "A task among dependsOn: its id, or in a bulk call its ref."},
        "path": {
            "type": "string",
            "default": "",
            "maxLength": LONGEST_PATH,
            "description": "A JSON Pointer (RFC 6901) into its result; a text that it goes on into is read as JSON.",
        },
        "default": {"description": "If there is nothing. Without it the task fails then: INPUT_MISSING."},
    },
    required=[FROM],
    description="Stands for a value: what is at `path` in the result of a task, when the attempt starts.",
)
TEXT_OR_RESULT: Final[Json] = {"oneOf": [{"type": "string"}, schema("ResultReference")]}
_FIELDS: Final = frozenset({FROM, "path", "default"})
_MISSING: Final = object()

Place = tuple[str | int, ...]


class Kind(Enum):
    """What must come of a reference where it stands."""

    TEXT = "text"
    ANY = "any JSON"


class Origin(StrEnum):
    """Where an input of an attempt came from. What was missing, or unusable where it stands, is why the task failed."""

    RESULT = "result"
    DEFAULT = "default"
    MISSING = "missing"
    UNUSABLE = "unusable"


#: Says what a reference at a place of a payload must become; raises ValueError: why none may stand there.
KindAt = Callable[[Any, Place], Kind]


@dataclass(frozen=True, slots=True)
class Reference:
    """One of a payload: where it stands, the task it names, and where in the result to look."""

    place: Place
    kind: Kind
    task: str
    path: str = ""
    default: Any = _MISSING

    @property
    def field(self) -> str:
        return f"payload.{field_of(self.place)}"

    @property
    def has_default(self) -> bool:
        return self.default is not _MISSING


def field_of(place: Place) -> str:
    """A place as problems name it."""
    return ".".join(map(str, place))


def read_references(payload: Any, kind_at: KindAt) -> tuple[list[Reference], dict[str, str]]:
    """The references of a payload, and what is wrong, by field, with those that are none, or stand where none may."""
    found: list[Reference] = []
    problems: dict[str, str] = {}
    for count, (place, value) in enumerate(_objects(payload, ()), 1):
        if count > MOST_REFERENCES:
            problems[FROM] = f"must not be used more than {MOST_REFERENCES} times"
            break
        name = field_of(place) or FROM
        try:
            kind = kind_at(payload, place)
        except ValueError as error:
            problems[name] = str(error)
            continue
        wrong = _problems_of(value, kind)
        problems |= {f"{name}.{field}": text for field, text in wrong}
        if not wrong:
            default = value.get("default", _MISSING)
            found.append(Reference(place, kind, value[FROM], value.get("path", ""), default))
    return found, problems


def filled(payload: Any, values: Mapping[Place, Any]) -> Any:
    """A copy of a payload with other values at some places."""
    return _filled(payload, (), values)


def stand_ins(references: list[Reference]) -> dict[Place, Any]:
    """What to check a payload with before results are known: defaults, where there is none what any place takes."""
    return {
        each.place: valued(each.default, each.kind) if each.has_default else "x" if each.kind is Kind.TEXT else None
        for each in references
    }


def valued(value: Any, kind: Kind) -> Any:
    """A value as a place takes it: where that is a text, numbers, objects and lists are written as JSON.

    Raises ValueError, for null.
    """
    if kind is Kind.ANY or isinstance(value, str):
        return value
    if value is None:
        raise ValueError("is null, and must become a text")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def renamed(value: Any, names: Mapping[str, str], depth: int = 0) -> Any:
    """A copy of a payload whose references name other tasks. What is deeper than a payload may be is left as it is."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [renamed(item, names, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if FROM in value:
        named = value[FROM]
        return value | {FROM: names[named]} if isinstance(named, str) and named in names else value
    return {name: renamed(item, names, depth + 1) for name, item in value.items()}


def _objects(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Every object with a ``$from``, not looked into."""
    if isinstance(value, dict):
        if FROM in value:
            yield place, value
            return
        for name, item in value.items():
            yield from _objects(item, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _objects(item, (*place, index))


def _problems_of(value: dict[str, Any], kind: Kind) -> list[tuple[str, str]]:
    wrong = [
        (name[:100], "unknown field: a reference has $from, path and default; send what only looks like one as a text")
        for name in value.keys() - _FIELDS
    ]
    if not isinstance(value[FROM], str) or not 0 < len(value[FROM]) <= 100:
        wrong.append((FROM, "must be the id of a task that this one depends on, or its ref in a bulk call"))
    path = value.get("path", "")
    if not isinstance(path, str) or len(path) > LONGEST_PATH:
        wrong.append(("path", f"must be a text of at most {LONGEST_PATH:,} characters"))
    elif text := pointers.problem_of(path):
        wrong.append(("path", text))
    if kind is Kind.TEXT and value.get("default", "") is None:
        wrong.append(("default", "must not be null here, where a text must stand: leave it out, or say which"))
    return wrong


def _filled(value: Any, place: Place, values: Mapping[Place, Any]) -> Any:
    if place in values:
        return values[place]
    if isinstance(value, dict):
        return {name: _filled(item, (*place, name), values) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, (*place, index), values) for index, item in enumerate(value)]
    return value
