"""What a schedule's cron, interval or RRULE means: its slots in UTC, in order, and its explanation in words. Pure.

A *slot* is an intended time, before jitter. `cron` and `rrule` are patterns of wall-clock times, which `expansion` puts
on the UTC time line; `interval` counts elapsed time and needs no clock. Every search is bounded, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Final

from schedules_app.effort import MOST_STEPS, Effort, TooCostly
from schedules_app.recurrence.base import Definition, DstFold, DstGap, InvalidRecurrence, Slot, Timeline
from schedules_app.recurrence.cron import Cron, parse_cron
from schedules_app.recurrence.cron_refusals import trap_in
from schedules_app.recurrence.expansion import WallClock
from schedules_app.recurrence.interval import parse_interval
from schedules_app.recurrence.rrule import RRule, parse_rrule
from schedules_app.zones import UnknownZone, Zone, zone

__all__ = [
    "Definition",
    "DstFold",
    "DstGap",
    "Effort",
    "InvalidRecurrence",
    "Recurrence",
    "Slot",
    "TooCostly",
    "check",
    "parse",
]

#: Times that people name lie in these years: searches that begin there stay inside the calendar.
YEARS: Final = range(1970, 3000)
#: What has no slot for so long is refused as never firing.
NEVER: Final = timedelta(days=365 * 30)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A parsed definition, under the zone rules of the moment it was parsed: parse anew for each pass.

    Compared by identity: as long as the rules are the same, the same definition is parsed into the same object.
    """

    definition: Definition
    zone: Zone
    timeline: Timeline
    #: An UNTIL that the expression gives in UTC.
    until: datetime | None = None

    @property
    def end_at(self) -> datetime | None:
        """The earlier of endAt and UNTIL."""
        return _earlier(self.definition.end_at, self.until)

    @property
    def fixed_time(self) -> bool:
        """Set wall-clock times (the choices about clock changes apply), as opposed to elapsed time."""
        return self.timeline.fixed_time

    def slots(self, after: datetime, until: datetime | None = None, effort: Effort | None = None) -> Iterator[Slot]:
        """Slots with after < at ≤ until, ascending, lazily. Raises `TooCostly` when the effort is spent."""
        last = _earlier(until, self.end_at)
        slots = self.timeline.forward(self.first_second(after), effort or Effort())
        return slots if last is None else takewhile(lambda slot: slot.at <= last, slots)

    def next(self, after: datetime, effort: Effort | None = None) -> Slot | None:
        """The first slot after an instant. Raises `TooCostly`."""
        return next(self.slots(after, effort=effort), None)

    def recent(self, *, after: datetime, until: datetime, limit: int, effort: Effort | None = None) -> list[Slot]:
        """The newest ``limit`` slots with after < at ≤ until, ascending, without walking the older ones.

        Raises `TooCostly`.
        """
        last = _earlier(until, self.end_at) or until
        first = self.first_second(after)
        slots = self.timeline.backward(_whole_second(last) + _SECOND, effort or Effort())
        return list(islice(takewhile(lambda slot: slot.at >= first, slots), limit))[::-1]

    def explain(self) -> str:
        """The recurrence in words, with its zone."""
        return self.timeline.explain()

    def first_second(self, after: datetime) -> datetime:
        """The first whole second after an instant and not before startAt."""
        start_at = self.definition.start_at
        first = _whole_second(after) + _SECOND
        return first if start_at is None else max(first, _whole_second(start_at - timedelta.resolution) + _SECOND)


def parse(definition: Definition) -> Recurrence:
    """Parse a stored definition; cheap. Raises `InvalidRecurrence`."""
    try:
        return _parse(definition, zone(definition.timezone))
    except UnknownZone as error:
        raise InvalidRecurrence({"timezone": str(error)}) from None


@lru_cache(maxsize=4096)
def _parse(definition: Definition, known: Zone) -> Recurrence:
    kinds = {"cron": definition.cron, "intervalSeconds": definition.interval_seconds, "rrule": definition.rrule}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise InvalidRecurrence(dict.fromkeys(given or kinds, "give exactly one of cron, intervalSeconds and rrule"))
    anchor, until = _whole_second(definition.anchor), None
    if definition.interval_seconds is not None:
        return Recurrence(definition, known, parse_interval(definition.interval_seconds, anchor, known))
    pattern: Cron | RRule
    if definition.cron is not None:
        pattern = parse_cron(definition.cron)
    else:
        pattern = parse_rrule(definition.rrule or "", known.local(anchor))
        until = pattern.last_instant
    clock = WallClock(pattern=pattern, zone=known, gap=definition.dst_gap, fold=definition.dst_fold)
    return Recurrence(definition, known, clock, until)


def check(definition: Definition, *, now: datetime) -> Recurrence:
    """Parse what somebody asks for: refuse also what has no slot in the next 30 years, and what is costly to follow.

    Only the expression counts here: that startAt and endAt leave nothing of it is no fault of the expression. Raises
    `InvalidRecurrence`.
    """
    recurrence = parse(definition)
    if definition.cron is not None and (trap := trap_in(definition.cron)):
        raise InvalidRecurrence({"cron": trap})
    try:
        _check_times(recurrence, now)
    except TooCostly:
        text = "is too costly to follow: COUNT is counted from startAt on, so begin later, or say UNTIL instead"
        raise InvalidRecurrence({"rrule": text}) from None
    return recurrence


def _check_times(recurrence: Recurrence, now: datetime) -> None:
    """Half of what a pass may spend has to do: it looks twice."""
    start, effort = recurrence.first_second(now), Effort(MOST_STEPS // 2)
    ended = recurrence.timeline.has_ended(start, effort)
    first = None if ended else next(recurrence.timeline.forward(start, effort), None)
    if first is None or first.at > start + NEVER or (recurrence.until and first.at > recurrence.until):
        name = "cron" if recurrence.definition.cron is not None else "rrule"
        raise InvalidRecurrence({name: recurrence.timeline.why_over(now)})


def _whole_second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
