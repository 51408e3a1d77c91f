"""From wall clocks to UTC: the one place that knows what happens to a pattern when the clocks change.

Each segment of the zone (see `zones`) is a window of the wall clock; the pattern's matches in it, minus the segment's
offset, are its slots. That alone is the rule for elapsed time: nothing in a gap, both passes of a fold. Fixed times
add two things at the start of a segment: if the clock jumped forward there, matches inside the gap become one slot at
that instant; if it was put back and ``once`` is chosen, the second pass is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schedules_app.effort import Effort
from schedules_app.recurrence.base import DstFold, DstGap, Pattern, Slot
from schedules_app.recurrence.words import in_zone
from schedules_app.zones import Segment, Zone

GAP_NOTE: Final = "DST_GAP"
FOLD_NOTE: Final = "DST_FOLD"
#: No wall clock is further from UTC. So if the next match is further off than this, the time up to there can be left
#: out without looking at its segments (no zone puts its clock back so soon after the cut between two years).
_FARTHEST: Final = timedelta(days=2)
#: A search for a match may look this near to the ends of the calendar, never over them.
_FIRST_YEAR: Final = 100
_LAST_YEAR: Final = 9900
_SECOND: Final = timedelta(seconds=1)
#: What it costs to look at a segment, apart from its matches.
_SEGMENT_STEPS: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClock:
    """A `Timeline`: a pattern on the clocks of a zone."""

    pattern: Pattern
    zone: Zone
    gap: DstGap
    fold: DstFold

    @property
    def fixed_time(self) -> bool:
        """As of its pattern."""
        return self.pattern.fixed_time

    def forward(self, start: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots from ``start`` on, ascending."""
        while start.year < _LAST_YEAR:
            effort.spend(_SEGMENT_STEPS)
            segment = self.zone.segment_at(start)
            gap = self._gap_slot(segment, effort) if start == segment.start else None
            beyond = None
            for local in self.pattern.upward(self._first_local(segment, start), effort):
                if local >= segment.end_local:
                    beyond = local
                    break
                slot = _slot(local, segment)
                if gap and gap.at < slot.at:
                    yield gap
                gap = None
                yield slot
            if gap:
                yield gap
            if segment.after < segment.offset:
                start = segment.end  # the clock is put back: what matched may match again
            elif beyond is None:
                return
            else:
                start = max(segment.end, beyond.replace(tzinfo=UTC) - _FARTHEST)

    def backward(self, end: datetime, effort: Effort) -> Iterator[Slot]:
        """Slots before ``end``, descending."""
        while end.year > _FIRST_YEAR:
            effort.spend(_SEGMENT_STEPS)
            segment = self.zone.segment_at(end - _SECOND)
            gap = self._gap_slot(segment, effort)
            beyond = None
            first = self._first_local(segment, segment.start)
            for local in self.pattern.downward(_local(end, segment.offset), effort):
                if local < first:
                    beyond = local
                    break
                slot = _slot(local, segment)
                if gap and gap.at == slot.at:
                    gap = None
                yield slot
            if gap:
                yield gap
            if segment.before > segment.offset:
                end = segment.start  # the clock was put back: what matched may have matched before
            elif beyond is None:
                return
            else:
                end = min(segment.start, beyond.replace(tzinfo=UTC) + _FARTHEST)

    def has_ended(self, start: datetime, effort: Effort) -> bool:
        """Is there surely nothing from ``start`` on? Found by one search."""
        return next(self.pattern.upward(self.zone.local(start) - _FARTHEST, effort), None) is None

    def why_over(self, now: datetime) -> str:
        """As of its pattern."""
        return self.pattern.why_over(self.zone.local(now))

    def explain(self) -> str:
        """The pattern in words, and whose clock is meant."""
        return in_zone(self.pattern.explain(), self.zone.name) + self.pattern.limits

    def _first_local(self, segment: Segment, start: datetime) -> datetime:
        local = _local(start, segment.offset)
        if self.fixed_time and self.fold is DstFold.ONCE:
            return max(local, segment.shown_before)
        return local

    def _gap_slot(self, segment: Segment, effort: Effort) -> Slot | None:
        if not self.fixed_time or segment.before >= segment.offset:
            return None
        local = next(self.pattern.upward(segment.shown_before, effort), None)
        if local is None or local >= segment.first_local:
            return None
        return Slot(segment.start, local, GAP_NOTE, runs=self.gap is DstGap.RUN_AFTER)


def _local(at: datetime, offset: timedelta) -> datetime:
    return (at + offset).replace(tzinfo=None)


def _slot(local: datetime, segment: Segment) -> Slot:
    twice = local < segment.shown_before or local >= segment.shown_again
    return Slot(segment.start + (local - segment.first_local), local, FOLD_NOTE if twice else "")
