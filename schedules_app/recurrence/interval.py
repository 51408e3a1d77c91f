"""Every n seconds of elapsed time, counted from an anchor: nothing happens to it when clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from schedules_app.effort import Effort
from schedules_app.recurrence.base import NEVER_FIRES, InvalidRecurrence, Slot
from schedules_app.recurrence.words import explain_interval
from schedules_app.zones import Zone

MAX_SECONDS: Final = 31_536_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A `Timeline`: the anchor and every ``step`` after it."""

    step: timedelta
    anchor: datetime
    zone: Zone

    @property
    def fixed_time(self) -> bool:
        """Never: this is elapsed time."""
        return False

    def forward(self, start: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots from ``start`` on, ascending."""
        first = max(0, -((self.anchor - start) // self.step))
        return (self._slot(n) for n in count(first))

    def backward(self, end: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots before ``end``, descending."""
        return (self._slot(n) for n in range(-((self.anchor - end) // self.step) - 1, -1, -1))

    def has_ended(self, start: datetime, effort: Effort) -> bool:
        """Never."""
        return False

    def why_over(self, now: datetime) -> str:
        """It never is."""
        return NEVER_FIRES

    def explain(self) -> str:
        """The interval in words."""
        return explain_interval(self.step, self.anchor)

    def _slot(self, n: int) -> Slot:
        at = self.anchor + n * self.step
        return Slot(at, self.zone.local(at))


def parse_interval(seconds: int, anchor: datetime, zone: Zone) -> Interval:
    """Raises `InvalidRecurrence`."""
    if not 1 <= seconds <= MAX_SECONDS:
        raise InvalidRecurrence({"intervalSeconds": f"must be a whole number from 1 to {MAX_SECONDS}"})
    return Interval(timedelta(seconds=seconds), anchor, zone)
