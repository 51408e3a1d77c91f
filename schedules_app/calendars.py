"""Blackout calendars: named sets of absolute, weekly and yearly ranges in which schedules do not run. Pure.

A range begins with its first instant and ends before its last. Weekly and yearly ones are on the clock of the
calendar's zone; on the night that shows their end twice they last until the second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from schedules_app.zones import UnknownZone, Zone, zone
from tasks_app.refusals import joined

MAX_RANGES: Final = 100
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
#: A blackout that goes on for longer is looked at again after this time.
_LONGEST: Final = timedelta(days=366)


T = TypeVar("T")


class OnBlackout(StrEnum):
    """What becomes of a slot that falls in."""

    SKIP = "skip"
    RUN_AT_END = "run_at_end"


class InvalidCalendar(ValueError):
    """A calendar that cannot be kept. ``problems`` maps a JSON field path (``ranges[0].from``) to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(joined(problems))
        self.problems = problems


class Range(Protocol):
    """One entry of a calendar."""

    def end(self, at: datetime, zone: Zone) -> datetime | None:
        """The end of the occurrence that contains ``at``, or None."""


@dataclass(frozen=True, slots=True)
class Absolute:
    """Once, between two instants."""

    start: datetime
    stop: datetime

    def end(self, at: datetime, zone: Zone) -> datetime | None:
        """The end of the range, if it contains ``at``."""
        return self.stop if self.start <= at < self.stop else None


@dataclass(frozen=True, slots=True)
class Weekly:
    """From a time on some weekdays to a time of the same day, or of the next if that is not later."""

    weekdays: frozenset[int]
    start: time
    stop: time

    def end(self, at: datetime, zone: Zone) -> datetime | None:
        """The end of the occurrence that contains ``at``, or None."""
        today = zone.local(at).date()
        ends = (stop for start, stop in self._occurrences(today, zone) if start <= at < stop)
        return max(ends, default=None)

    def _occurrences(self, today: date, zone: Zone) -> Iterator[tuple[datetime, datetime]]:
        for day in (today - _DAY, today):
            if day.weekday() in self.weekdays:
                last_day = day if self.stop > self.start else day + _DAY
                start, stop = datetime.combine(day, self.start), datetime.combine(last_day, self.stop)
                yield zone.instants(start)[0], zone.instants(stop)[1]


@dataclass(frozen=True, slots=True)
class Yearly:
    """Whole days of every year, from (month, day) to (month, day), both included; over the new year if need be."""

    first: tuple[int, int]
    last: tuple[int, int]

    def end(self, at: datetime, zone: Zone) -> datetime | None:
        """The end of the occurrence that contains ``at``, or None."""
        day = today = zone.local(at).date()
        while self._contains(day) and day - today < _LONGEST:
            day += _DAY
        return None if day == today else zone.instants(datetime.combine(day, time()))[0]

    def _contains(self, day: date) -> bool:
        on = day.month, day.day
        if self.first <= self.last:
            return self.first <= on <= self.last
        return on >= self.first or on <= self.last


@dataclass(frozen=True, slots=True)
class Calendar:
    """A checked calendar."""

    name: str
    timezone: str
    on_blackout: OnBlackout
    ranges: tuple[Range, ...]

    def covering(self, at: datetime) -> datetime | None:
        """The end of the blackout that contains ``at`` (ranges without a pause between count as one), or None."""
        known, reached = zone(self.timezone), at
        while reached - at < _LONGEST:
            further = max((end for each in self.ranges if (end := each.end(reached, known))), default=None)
            if further is None:
                break
            reached = further
        return reached if reached > at else None


@dataclass(frozen=True, slots=True)
class Blackout:
    """What the calendars of a schedule say about an instant."""

    calendar: str
    on_blackout: OnBlackout
    until: datetime


def covering(calendars: Sequence[Calendar], at: datetime) -> Blackout | None:
    """The blackout an instant falls into: the first one that skips, or else the one that ends last."""
    found = [Blackout(each.name, each.on_blackout, end) for each in calendars if (end := each.covering(at))]
    skipping = (blackout for blackout in found if blackout.on_blackout is OnBlackout.SKIP)
    return next(skipping, None) or max(found, key=lambda blackout: blackout.until, default=None)


def parse_calendar(name: str, timezone: str, on_blackout: str, ranges: Any) -> Calendar:
    """Check the fields of a calendar, ``ranges`` as JSON. Raises `InvalidCalendar` naming every bad field."""
    problems: dict[str, str] = {}
    try:
        zone(timezone)
    except UnknownZone as error:
        problems["timezone"] = str(error)
    if on_blackout not in list(OnBlackout):
        problems["onBlackout"] = f"must be one of {', '.join(OnBlackout)}"
    parsed: list[Range] = []
    if not isinstance(ranges, list) or not 1 <= len(ranges) <= MAX_RANGES:
        problems["ranges"] = f"must be a list of 1 to {MAX_RANGES} ranges"
    else:
        for index, each in enumerate(ranges):
            found = _Fields(each, f"ranges[{index}]", problems).range()
            parsed += [found] if found else []
    if problems:
        raise InvalidCalendar(problems)
    return Calendar(name, timezone, OnBlackout(on_blackout), tuple(parsed))


class _Fields:
    """The fields of one range, read one by one; what is wrong is added to ``problems``."""

    def __init__(self, value: Any, path: str, problems: dict[str, str]) -> None:
        self._value = value
        self._path = path
        self._problems = problems

    def range(self) -> Range | None:
        """The range as far as it could be read; None if too little could."""
        names = set(self._value) if isinstance(self._value, dict) else set()
        if names == {"from", "to"}:
            start, stop = self._read("from", _instant), self._read("to", _instant)
            if start and stop and start >= stop:
                self._problem("to", "must be later than from")
            return Absolute(start, stop) if start and stop else None
        if names == {"weekdays", "from", "to"}:
            days = self._read("weekdays", _weekdays)
            begin, end = self._read("from", _time), self._read("to", _time)
            return None if days is None or begin is None or end is None else Weekly(days, begin, end)
        if names == {"dates"}:
            dates = self._read("dates", _dates)
            return Yearly(*dates) if dates else None
        self._problem("", "must have either from and to, or weekdays, from and to, or dates")
        return None

    def _read(self, name: str, read: Callable[[Any], T]) -> T | None:
        try:
            return read(self._value[name])
        except (ValueError, TypeError):
            self._problem(name, read.__doc__ or "")
            return None

    def _problem(self, name: str, sentence: str) -> None:
        self._problems[f"{self._path}.{name}" if name else self._path] = sentence


def _instant(value: Any) -> datetime:
    """must be an ISO 8601 time with its zone"""
    at = datetime.fromisoformat(value)
    if at.tzinfo is None or not 1970 < at.year < 3000:
        raise ValueError(value)
    return at.astimezone(UTC)


def _time(value: Any) -> time:
    """must be a time of day as HH:MM"""
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
