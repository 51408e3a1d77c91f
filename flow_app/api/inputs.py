"""What a body says about the pause of a queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from access_app.http.fields import or_null, read_object, read_reason_text
from access_app.http.problems import Problem
from access_app.http.times import parse_instant


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
