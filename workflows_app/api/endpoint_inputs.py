"""What a body says about a webhook endpoint, the rotation of its secret, and a replay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from access_app.http.fields import Fields, flag, or_null, read_object, text, whole
from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from workflows_app.callbacks.endpoints import LONGEST_OVERLAP, OVERLAP, NewEndpoint
from workflows_app.callbacks.redelivering import FASTEST, SLOWEST

#: Messages a second, if a replay names none.
RATE: Final = 10.0
_SECOND: Final = timedelta(seconds=1)


def _texts(value: Any) -> Any:
    if type(value) is not list or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of strings")
    return value


_FIELDS: Final[Fields] = {
    "name": ("name", text),
    "url": ("url", text),
    "on": ("events", _texts),
    "queues": ("queues", or_null(_texts)),
    "include": ("include", or_null(text)),
    "ordered": ("ordered", flag),
    "enabled": ("enabled", flag),
}
READ_ONLY: Final = (
    *("id", "disabled", "disabledAt", "failingSince", "previousSecretUntil"),
    *("createdBy", "createdAt", "updatedAt", "version", "secret"),
)


def read_endpoint(data: Any) -> NewEndpoint:
    """An endpoint to create. Raises `Problem`."""
    values, problems = read_object(data, _FIELDS, required=("name", "url", "on"), read_only=READ_ONLY)
    if problems:
        raise Problem.invalid(problems)
    return NewEndpoint(**values)


def read_changes(data: Any) -> dict[str, Any]:
    """What is to be changed of an endpoint. Raises `Problem`."""
    values, problems = read_object(data, _FIELDS, read_only=READ_ONLY)
    if problems:
        raise Problem.invalid(problems)
    return values


def read_rotation(data: Any) -> timedelta:
    """How long the secret before signs, too. Raises `Problem`."""
    values, problems = read_object(data, {"overlapSeconds": ("overlap", _overlap)})
    if problems:
        raise Problem.invalid(problems)
    overlap: timedelta = values.get("overlap", OVERLAP)
    return overlap


def read_replay(data: Any, now: datetime) -> tuple[datetime, datetime, float]:
    """From when to when, and how many a second. Raises `Problem`."""
    times: Fields = {"from": ("since", parse_instant), "to": ("until", parse_instant)}
    fields: Fields = {**times, "ratePerSecond": ("rate", _rate)}
    values, problems = read_object(data, fields, required=("from",))
    since, until = values.get("since"), values.get("until", now)
    if not problems and since is not None and since >= until:
        problems["to"] = "must be later than from"
    if problems or since is None:
        raise Problem.invalid(problems)
    return since, until, values.get("rate", RATE)


def _overlap(value: Any) -> timedelta:
    most = LONGEST_OVERLAP // _SECOND
    if not 0 <= whole(value) <= most:
        raise ValueError(f"must be a whole number from 0 to {most}")
    return timedelta(seconds=value)


def _rate(value: Any) -> float:
    if type(value) not in (int, float) or not SLOWEST <= value <= FASTEST:
        raise ValueError(f"must be a number from {SLOWEST:g} to {FASTEST:g}")
    return float(value)
