"""Instants in JSON and in query strings: ISO 8601 with a zone in, UTC with microseconds and ``Z`` out. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from access_app.refusals import no_such_time

_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(?P<zone>Z|[+-]\d\d(:?\d\d)?)?", re.ASCII | re.IGNORECASE
)
_FORM: Final = "must be an ISO 8601 time with a zone, such as 2030-01-31T12:00:00Z"


def parse_instant(text: object) -> datetime:
    """The instant, in UTC. Raises ValueError with one sentence about what is wrong."""
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(_FORM)
    if match["zone"] is None:
        raise ValueError("must have a time zone: Z, or an offset such as +01:00")
    try:
        return datetime.fromisoformat(match[0].upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999 in UTC") from None
    except ValueError:
        raise ValueError(no_such_time(match[0]) or _FORM) from None


def show_instant(instant: datetime | None) -> str | None:
    """An instant the database returned, which is in UTC."""
    return None if instant is None else instant.isoformat(timespec="microseconds")[:26] + "Z"
