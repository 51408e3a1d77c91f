"""The words of `recurrence`: what is asked for, what comes out, and what its parts promise each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from access_app.refusals import joined
from schedules_app.effort import Effort

NEVER_FIRES: Final = "never fires: no time in the next 30 years matches"


class DstGap(StrEnum):
    """What becomes of a fixed time that the clock jumps over."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class DstFold(StrEnum):
    """How often a fixed time runs that the clock shows twice."""

    ONCE = "once"
    TWICE = "twice"


class InvalidRecurrence(ValueError):
    """A definition that cannot be scheduled. ``problems`` maps a JSON field name to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(joined(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A recurrence as stored: exactly one of ``cron``, ``interval_seconds`` and ``rrule``."""

    cron: str | None = None
    interval_seconds: int | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    #: The schedule's startAt, or else its creation: phase of an interval, DTSTART of an RRULE. Aware.
    anchor: datetime
    #: First and last moment a slot may have, both inclusive; None: no bound.
    start_at: datetime | None = None
    end_at: datetime | None = None
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_fold: DstFold = DstFold.ONCE


@dataclass(frozen=True, slots=True)
class Slot:
    """One intended time, on a whole second."""

    #: Aware, UTC.
    at: datetime
    #: The wall clock that was asked for (naive): in a gap, one that no clock showed.
    local: datetime
    #: "", ``DST_GAP`` (the clock jumped over it) or ``DST_FOLD`` (the clock shows it twice).
    note: str = ""
    #: False: kept for the ledger only (``SKIPPED_DST``).
    runs: bool = True


class Pattern(Protocol):
    """Wall-clock times without a zone. No match within decades ends the iteration. Each step is spent of an effort."""

    @property
    def fixed_time(self) -> bool:
        """Set times, to which the choices about clock changes apply; else elapsed time."""

    def upward(self, start: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches from ``start`` on (naive, whole seconds), ascending."""

    def downward(self, end: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches before ``end``, descending."""

    def explain(self) -> str:
        """The pattern in words, without its zone and its limits."""

    @property
    def limits(self) -> str:
        """How often or how long, in words that go on behind the zone; empty where there is no limit."""

    def why_over(self, now: datetime) -> str:
        """Why nothing is left of it from a wall clock on, in one sentence."""


class Timeline(Protocol):
    """Slots on the UTC time line; whole seconds."""

    @property
    def fixed_time(self) -> bool:
        """As of its pattern."""

    def forward(self, start: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots from ``start`` on, ascending."""

    def backward(self, end: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots before ``end``, descending."""

    def has_ended(self, start: datetime, effort: Effort) -> bool:
        """Is there surely nothing from ``start`` on? Found by one search."""

    def explain(self) -> str:
        """The slots in words."""

    def why_over(self, now: datetime) -> str:
        """Why nothing is left of it at an instant, in one sentence."""
