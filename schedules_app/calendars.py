"""Blackout calendars: named sets of absolute, weekly and yearly ranges in which schedules do not run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class OnBlackout(StrEnum):
    """What becomes of a slot that falls in."""

    SKIP = "skip"
    RUN_AT_END = "run_at_end"


class InvalidCalendar(ValueError):
    """A calendar that cannot be kept. ``problems`` maps a JSON field path (``ranges[0].from``) to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Calendar:
    """A checked calendar."""

    name: str
    timezone: str
    on_blackout: OnBlackout
    ranges: tuple[Any, ...]

    def covering(self, at: datetime) -> datetime | None:
        """The end of the blackout that contains ``at`` (adjoining ranges count as one), or None."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Blackout:
    """What calendars say about an instant: the first that skips, else the one that ends last."""

    calendar: str
    on_blackout: OnBlackout
    until: datetime


def parse_calendar(name: str, timezone: str, on_blackout: str, ranges: Any) -> Calendar:
    """Check the stored or sent fields of a calendar; ``ranges`` as JSON. Raises `InvalidCalendar` naming every field."""
    raise NotImplementedError


def covering(calendars: Sequence[Calendar], at: datetime) -> Blackout | None:
    """The blackout that an instant falls into, over all calendars of a schedule."""
    raise NotImplementedError
