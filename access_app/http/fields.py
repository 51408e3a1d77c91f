"""Values of JSON bodies, read one by one: strict about types, each refusal one sentence. Ranges are the domain's. Pure.

Written out instead of DRF serializers, because a bulk call reads ten thousand tasks in well under a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from access_app.http.problems import Problem
from access_app.refusals import bounded, problems_at
from access_app.texts import problem_of_reason

#: Returns what a JSON value means. Raises ValueError with one sentence, or `InvalidInput` with those of paths below it.
Read = Callable[[Any], Any]
#: JSON field → attribute of the domain and how its value is read; or the fields of an object in it.
Fields = Mapping[str, "tuple[str, Read] | Fields"]


def read_fields(
    data: dict[str, Any],
    fields: Fields,
    problems: dict[str, str],
    *,
    read_only: Collection[str] = (),
    prefix: str = "",
) -> dict[str, Any]:
    """The attributes an object sets. What cannot be read is added to ``problems`` (path → one sentence)."""
    values: dict[str, Any] = {}
    if not data.keys() <= fields.keys():
        problems |= _unknown(data, fields, read_only, prefix)
    for name, value in data.items():
        field, path = fields.get(name), prefix + name
        try:
            if field is None:
                continue
            if isinstance(field, tuple):
                values[field[0]] = field[1](value)
            else:
                values |= read_fields(json_object(value), field, problems, prefix=f"{path}.")
        except ValueError as error:
            problems |= problems_at(path, error)
    return values


def _unknown(data: dict[str, Any], fields: Fields, read_only: Collection[str], prefix: str) -> dict[str, str]:
    return bounded(
        (prefix + name, "is read-only" if name in read_only else "unknown field") for name in data if name not in fields
    )


def whole(value: Any) -> Any:
    """A whole number."""
    # type() and not isinstance(): true is an int to Python, and 3.0 is not a whole number in JSON.
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


def text(value: Any) -> Any:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - as every reader
    return value


def flag(value: Any) -> Any:
    """True or false."""
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def json_object(value: Any) -> Any:
    """An object."""
    if type(value) is not dict:
        raise ValueError("must be an object")
    return value


def or_null(read: Read) -> Read:
    """What may also be null."""
    return lambda value: None if value is None else read(value)


def anything(value: Any) -> Any:
    """A value that is looked at elsewhere."""
    return value


def read_reason(data: Any) -> str:
    """Why somebody does something, if they say so. Raises `Problem`."""
    values, problems = read_object(data, {"reason": ("reason", read_reason_text)})
    if problems:
        raise Problem.invalid(problems)
    return str(values.get("reason", ""))


def read_object(
    data: Any, fields: Fields, *, required: Collection[str] = (), read_only: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a body sets, and what is wrong with it. Raises `Problem` when it is no object."""
    if type(data) is not dict:
        raise Problem.invalid({"body": "must be an object"})
    problems: dict[str, str] = {}
    values = read_fields(data, fields, problems, read_only=read_only)
    return values, problems | {name: "is required" for name in required if name not in data}


def read_reason_text(value: Any) -> Any:
    if problem := problem_of_reason(text(value)):
        raise ValueError(problem)
    return value
