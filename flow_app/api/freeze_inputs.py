"""What bodies say about a freeze, and about its thaw."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from access_app.http.fields import anything, or_null, read_object, read_reason_text, text
from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from flow_app.freezes import NewFreeze


def read_freeze(data: Any, now: datetime) -> NewFreeze:
    """Raises `Problem`, and `InvalidInput` naming what cannot be frozen."""
    fields = {kind: (kind, _names) for kind in ("queues", "targets", "types")}
    values, problems = read_object(
        data, fields | {"reason": ("reason", read_reason_text), "until": ("until", or_null(parse_instant))}
    )
    until = values.get("until")
    if until is not None and until <= now:
        problems["until"] = "must be in the future"
    if problems:
        raise Problem.invalid(problems)
    return NewFreeze(**values)


def _names(value: Any) -> list[str]:
    if type(value) is not list:
        raise ValueError("must be a list of names")
    return [text(name) for name in value]


def read_thaw(data: Any) -> tuple[str, Any]:
    """Why, and the rate at which what waited comes back, as it was sent; None: at once. Raises `Problem`."""
    values, problems = read_object(
        data, {"reason": ("reason", read_reason_text), "resumeRate": ("resumeRate", anything)}
    )
    if problems:
        raise Problem.invalid(problems)
    return values.get("reason", ""), values.get("resumeRate")
