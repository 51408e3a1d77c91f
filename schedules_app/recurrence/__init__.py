"""What a schedule's cron, interval or RRULE means: its slots in UTC, in order, and its explanation in words. Pure.

A *slot* is an intended time, before jitter. Definition → `parse` → `Recurrence`. Three kinds of pattern
(`cron`, `rrule`, `interval`) know wall clocks or elapsed time; `expansion` alone turns wall clocks into UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DstGap(StrEnum):
    """What a fixed time does that the clock jumps over."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class DstFold(StrEnum):
    """How often a fixed time runs that the clock shows twice."""

    ONCE = "once"
    TWICE = "twice"


class InvalidRecurrence(ValueError):
    """A definition that cannot be scheduled. ``problems`` maps a JSON field name to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
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
    """One intended time."""

    #: Aware, UTC.
    at: datetime
    #: The wall clock that was asked for (naive): in a gap, one that no clock showed.
    local: datetime
    #: "", ``DST_GAP`` (the clock jumped over it) or ``DST_FOLD`` (the clock shows it twice).
    note: str = ""
    #: False: kept for the ledger only (``SKIPPED_DST``).
    runs: bool = True


class Recurrence:
    """A parsed definition. Immutable; holds the zone rules of the moment it was parsed, so parse anew for each pass."""

    definition: Definition
    #: Fixed wall-clock times (the DST choices apply), as opposed to elapsed time.
    fixed_time: bool

    def slots(self, after: datetime, until: datetime | None = None) -> Iterator[Slot]:
        """Slots with after < at ≤ until, ascending, lazily."""
        raise NotImplementedError

    def next(self, after: datetime) -> Slot | None:
        """The first slot after an instant."""
        raise NotImplementedError

    def recent(self, *, after: datetime, until: datetime, limit: int) -> list[Slot]:
        """The newest ``limit`` slots with after < at ≤ until, ascending, without walking the older ones."""
        raise NotImplementedError

    def explain(self) -> str:
        """The recurrence in words, with its zone."""
        raise NotImplementedError


def parse(definition: Definition) -> Recurrence:
    """Parse a stored definition; cheap. Raises `InvalidRecurrence`."""
    raise NotImplementedError


def check(definition: Definition, *, now: datetime) -> Recurrence:
    """Parse what somebody asks for: refuse also what has no slot in the next 30 years. Raises `InvalidRecurrence`."""
    raise NotImplementedError
