"""Fire times by brute force: walk UTC minute by minute and read the clock on the wall.

The oracle of tests/property/test_fire_times.py. It shares no code with `schedules_app` and knows only what `zoneinfo`
shows at each minute: a clock that jumped forward left minutes out, one that jumped back shows minutes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class OracleSlot:
    at: datetime
    runs: bool = True


class OracleCron:
    """Five fields of numbers, ``*``, ranges, steps and lists."""

    def __init__(self, expression: str) -> None:
        self.texts = expression.split()
        self.sets = [_values(text, *bounds) for text, bounds in zip(self.texts, _BOUNDS, strict=True)]
        self.fixed = self.texts[0][0] != "*" and self.texts[1][0] != "*"

    def matches(self, local: datetime) -> bool:
        minutes, hours, days, months, weekdays = self.sets
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        day = local.day in days
        weekday = local.isoweekday() in weekdays or local.isoweekday() % 7 in weekdays
        if self.texts[2][0] == "*" or self.texts[4][0] == "*":
            return day and weekday
        return day or weekday


def _values(text: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for term in text.split(","):
        body, _, step = term.partition("/")
        first, _, last = body.partition("-")
        if body == "*":
            start, stop = low, high
        else:
            start, stop = int(first), int(last or (high if step else first))
        values.update(range(start, stop + 1, int(step or 1)))
    return values


@dataclass(frozen=True)
class Shown:
    """What the wall clock shows in one minute of UTC."""

    at: datetime
    local: datetime
    #: It showed this before, in the hours up to now.
    again: bool
    #: What it jumped over to get here.
    left_out: tuple[datetime, ...]


def walk(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Shown]:
    """Every minute from start to end."""
    before = (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    seen_to = before
    at = start
    while at <= end:
        local = at.astimezone(zone).replace(tzinfo=None)
        left_out = []
        if local > seen_to:
            minute = before + MINUTE
            while minute < local:
                left_out.append(minute)
                minute += MINUTE
        yield Shown(at, local, local <= seen_to, tuple(left_out))
        seen_to = max(seen_to, local)
        before = local
        at += MINUTE


def fire_times(cron: OracleCron, minutes: list[Shown], *, skip_gap: bool, twice: bool) -> list[OracleSlot]:
    """The slots in a walk, under the choices of a schedule."""
    slots = []
    for shown in minutes:
        here = cron.matches(shown.local)
        if not cron.fixed:
            if here:
                slots.append(OracleSlot(shown.at))
        elif here and (twice or not shown.again):
            slots.append(OracleSlot(shown.at))
        elif not here and any(cron.matches(minute) for minute in shown.left_out):
            slots.append(OracleSlot(shown.at, runs=not skip_gap))
    return slots


def changes(zone: ZoneInfo, first_year: int, last_year: int) -> list[datetime]:
    """The minutes at which the clock of a zone jumps."""
    found = []
    day, end = datetime(first_year, 1, 1, tzinfo=UTC), datetime(last_year, 1, 1, tzinfo=UTC)
    offset = day.astimezone(zone).utcoffset()
    while day < end:
        tomorrow = day + timedelta(days=1)
        if offset != (offset_tomorrow := tomorrow.astimezone(zone).utcoffset()):
            minute = day + MINUTE
            while minute.astimezone(zone).utcoffset() == offset:
                minute += MINUTE
            found.append(minute)
        day, offset = tomorrow, offset_tomorrow
    return found
