"""What a body says about the pause of a queue, and about its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from access_app.http.fields import flag, or_null, read_object, read_reason_text, whole
from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from flow_app.rules import MOST_CONCURRENT
from flow_app.targets import RATE, Rules


def read_target(data: Any) -> Rules:
    """The rules that a body sets; those that it does not name are what they are by default. Raises `Problem`."""
    fields = {
        "maxConcurrency": ("max_concurrency", or_null(_most)),
        "rateLimit": ("rate", RATE.columns),
        "respectRetryAfter": ("respect_retry_after", flag),
    }
    values, problems = read_object(data, fields)
    if problems:
        raise Problem.invalid(problems)
    return Rules(**values.pop("rate", {}), **values)


def _most(value: Any) -> int:
    if not 0 <= whole(value) <= MOST_CONCURRENT:
        raise ValueError(f"must be between 0 and {MOST_CONCURRENT:,}, or null")
    return int(value)


def read_pause(data: Any, now: datetime) -> tuple[str, datetime | None]:
    """Reason and end of a pause. Raises `Problem`."""
    values, problems = read_object(
        data, {"reason": ("reason", read_reason_text), "until": ("until", or_null(parse_instant))}
    )
    until = values.get("until")
    if until is not None and until <= now:
        problems["until"] = "must be in the future"
    if problems:
        raise Problem.invalid(problems)
    return values.get("reason", ""), until


def read_resume(data: Any) -> Any:
    """The rate at which a queue thaws, as it was sent; None: at once. Raises `Problem`."""
    values, problems = read_object(data, {"resumeRate": ("resumeRate", lambda value: value)})
    if problems:
        raise Problem.invalid(problems)
    return values.get("resumeRate")
