"""Which part of a schedule's ledger its page shows, as the address says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from access_app.staff.way_back import FILTERS
from schedules_app.firing_rules import FireState


@dataclass(frozen=True, slots=True)
class Shown:
    """A day, the last day of the calendar, a state, slots before one; ``unclear`` names what cannot be understood."""

    day: date | None = None
    end: date | None = None
    state: str = ""
    before: datetime | None = None
    unclear: tuple[str, ...] = ()
    #: The filters of the list that led here.
    filters: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Shown:
        """Read an address."""
        state = query.get("state", "")
        read: dict[str, Any] = {
            "day": _date(query.get("day", "")),
            "end": _date(query.get("end", "")),
            "state": state if state in list(FireState) else "",
            "before": _instant(query.get("before", "")),
        }
        return cls(
            **read,
            unclear=tuple(name for name, value in read.items() if query.get(name) and not value),
            filters=query.get(FILTERS, ""),
        )

    def address(self, **changes: Any) -> str:
        """The same page with other parts chosen."""
        chosen = {"day": self.day, "end": self.end, "state": self.state, "before": self.before}
        parts = {**chosen, FILTERS: self.filters, **changes}
        return "?" + urlencode({name: _text(value) for name, value in parts.items() if value})


def _date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1971 <= day.year < 2999 else None


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo and 1971 <= at.year < 2999 else None


def _text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
