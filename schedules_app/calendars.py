"""Blackout calendars: named sets of absolute, weekly and yearly ranges in which schedules do not run. Pure.

What a range means is in `blackout_ranges`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any, Final, TypeVar

from access_app.refusals import InvalidInput, no_such_time
from schedules_app.blackout_ranges import LONGEST, Absolute, Moment, Ranges, Weekly, Yearly
from schedules_app.effort import Effort
from schedules_app.zones import UnknownZone, zone

MAX_RANGES: Final = 100
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: What it costs to look from the end of one range on.
_CHAIN_STEPS: Final = 5

T = TypeVar("T")
#: The kind of a range, and what it is made of.
_Range = tuple[type[Absolute] | type[Weekly] | type[Yearly], Any]


class OnBlackout(StrEnum):
    """What becomes of a slot that falls in."""

    SKIP = "skip"
    RUN_AT_END = "run_at_end"


class InvalidCalendar(InvalidInput):
    """A calendar that cannot be kept. ``problems`` maps a JSON field path (``ranges[0].from``) to one sentence."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A checked calendar."""

    name: str
    timezone: str
    on_blackout: OnBlackout
    ranges: tuple[Ranges, ...]

    def covering(self, at: datetime) -> datetime | None:
        """The end of the blackout that contains ``at`` (ranges without a pause between count as one), or None."""
        return self.end(Moment.of(at, zone(self.timezone)), Effort())

    def end(self, moment: Moment, effort: Effort) -> datetime | None:
        """The same of a moment in its zone. Raises `TooCostly`: kinds of ranges may take turns for a year.

        A look at it is not counted: schedules have few calendars, and a pass looks at so many slots at most.
        """
        at = reached = moment.at
        while True:
            ends = [end for each in self.ranges if (end := each.end(moment))]
            if not ends or max(ends) <= reached:
                return reached if reached > at else None
            reached = max(ends)
            if reached - at >= LONGEST:
                return reached
            effort.spend(_CHAIN_STEPS)
            moment = Moment.of(reached, moment.zone)


@dataclass(frozen=True, slots=True)
class Blackout:
    """What the calendars of a schedule say about an instant."""

    calendar: str
    on_blackout: OnBlackout
    until: datetime


class Blackouts:
    """The calendars of a schedule, for who asks about one instant after the other: what was found is used again."""

    def __init__(self, calendars: Sequence[Calendar], effort: Effort) -> None:
        self._calendars = calendars
        self._effort = effort
        #: Of each calendar the last blackout that was found: an instant in it, and its end.
        self._found: dict[int, tuple[datetime, datetime]] = {}

    def covering(self, at: datetime) -> Blackout | None:
        """The blackout an instant falls into: the first one that skips, or else the one that ends last.

        Raises `TooCostly`.
        """
        if not self._calendars:
            return None
        moments = {name: Moment.of(at, zone(name)) for name in {each.timezone for each in self._calendars}}
        found = [
            Blackout(each.name, each.on_blackout, end)
            for index, each in enumerate(self._calendars)
            if (end := self._end(index, each, moments[each.timezone]))
        ]
        skipping = (blackout for blackout in found if blackout.on_blackout is OnBlackout.SKIP)
        return next(skipping, None) or max(found, key=lambda blackout: blackout.until, default=None)

    def _end(self, index: int, calendar: Calendar, moment: Moment) -> datetime | None:
        since, end = self._found.get(index, (moment.at, moment.at))
        if since <= moment.at < end:
            return end
        found = calendar.end(moment, self._effort)
        if found is not None and found - moment.at < LONGEST:  # else the end depends on the instant
            self._found[index] = moment.at, found
        return found


def covering(calendars: Sequence[Calendar], at: datetime) -> Blackout | None:
    """The same of a single instant. Ten calendars cannot spend the effort for one."""
    return Blackouts(calendars, Effort()).covering(at)


def parse_calendar(name: str, timezone: str, on_blackout: str, ranges: Any) -> Calendar:
    """Check the fields of a calendar, ``ranges`` as JSON. Raises `InvalidCalendar` naming every bad field."""
    problems: dict[str, str] = {}
    try:
        zone(timezone)
    except UnknownZone as error:
        problems["timezone"] = str(error)
    if on_blackout not in list(OnBlackout):
        problems["onBlackout"] = f"must be one of {', '.join(OnBlackout)}"
    parsed: list[_Range] = []
    if not isinstance(ranges, list) or not 1 <= len(ranges) <= MAX_RANGES:
        problems["ranges"] = f"must be a list of 1 to {MAX_RANGES} ranges"
    else:
        for index, each in enumerate(ranges):
            found = _Fields(each, f"ranges[{index}]", problems).range()
            parsed += [found] if found else []
    if problems:
        raise InvalidCalendar(problems)
    return Calendar(name, timezone, OnBlackout(on_blackout), tuple(_by_kind(parsed)))


def _by_kind(ranges: Sequence[_Range]) -> Iterator[Ranges]:
    for kind in (Absolute, Weekly, Yearly):
        if of_kind := [values for each, values in ranges if each is kind]:
            yield kind(of_kind)


class _Fields:
    """The fields of one range, read one by one; what is wrong is added to ``problems``."""

    def __init__(self, value: Any, path: str, problems: dict[str, str]) -> None:
        self._value = value
        self._path = path
        self._problems = problems

    def range(self) -> _Range | None:
        """The range as far as it could be read; None if too little could."""
        names = set(self._value) if isinstance(self._value, dict) else set()
        if names == {"from", "to"}:
            start, stop = self._read("from", _instant), self._read("to", _instant)
            if start and stop and start >= stop:
                self._problem("to", "must be later than from")
            return (Absolute, (start, stop)) if start and stop else None
        if names == {"weekdays", "from", "to"}:
            days = self._read("weekdays", _weekdays)
            begin, end = self._read("from", _time), self._read("to", _time)
            return None if days is None or begin is None or end is None else (Weekly, (days, begin, end))
        if names == {"dates"}:
            dates = self._read("dates", _dates)
            return (Yearly, dates) if dates else None
        self._problem("", "must have either from and to, or weekdays, from and to, or dates")
        return None

    def _read(self, name: str, read: Callable[[Any], T]) -> T | None:
        try:
            return read(self._value[name])
        except (ValueError, TypeError):
            self._problem(name, _no_such_day(self._value[name]) or read.__doc__ or "")
            return None

    def _problem(self, name: str, sentence: str) -> None:
        self._problems[f"{self._path}.{name}" if name else self._path] = sentence


def _no_such_day(value: Any) -> str | None:
    """What is wrong with a time, or a day of the year, that is written as it should be."""
    if not isinstance(value, str):
        return None
    days = (no_such_time(f"2000-{day}") for day in value.split("/"))  # a leap year: 02-29 is a day
    return no_such_time(value) or next((day.replace(" 2000", "") for day in days if day), None)


def _instant(value: Any) -> datetime:
    """must be an ISO 8601 time with its zone"""
    at = datetime.fromisoformat(value)
    if at.tzinfo is None or not 1970 < at.year < 3000:
        raise ValueError(value)
    return at.astimezone(UTC)


def _time(value: Any) -> time:
    """must be a time of day as HH:MM, from 00:00 to 23:59"""
    if not re.fullmatch(r"\d\d:\d\d", value, re.ASCII):
        raise ValueError(value)
    return time.fromisoformat(value)


def _weekdays(value: Any) -> frozenset[int]:
    """must be a list of mon, tue, wed, thu, fri, sat, sun"""
    if not isinstance(value, list) or not 1 <= len(value) <= len(WEEKDAYS):
        raise ValueError(value)
    return frozenset(WEEKDAYS.index(day) for day in value)


def _dates(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """must be a day of the year as MM-DD, or two as MM-DD/MM-DD"""
    found = re.fullmatch(r"(\d\d)-(\d\d)(?:/(\d\d)-(\d\d))?", value, re.ASCII)
    if not found:
        raise ValueError(value)
    numbers = [int(number) for number in found.groups() if number]
    days = [date(2000, *pair) for pair in (numbers[:2], numbers[2:]) if pair]  # a leap year: 02-29 is a day
    return (days[0].month, days[0].day), (days[-1].month, days[-1].day)
