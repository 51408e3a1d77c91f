"""Ranges of a blackout calendar, merged by kind so that any number of them is looked at in microseconds. Pure.

A range begins with its first instant and ends before its last. Weekly and yearly ones are on the clock of the
calendar's zone; on the night that shows their end twice they last until the second time.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol, TypeVar

from schedules_app.zones import Segment, Zone

#: A blackout that goes on for longer is looked at again after this time.
LONGEST: Final = timedelta(days=366)
#: No clock is changed by so much.
_FAR: Final = timedelta(days=2)
_MINUTE: Final = timedelta(minutes=1)
_WEEK: Final = timedelta(weeks=1)
_DAY_MINUTES: Final = 1440
_WEEK_MINUTES: Final = 10_080
_MONDAY: Final = datetime(1970, 1, 5)  # noqa: DTZ001 - a wall clock

MonthDay = tuple[int, int]
T = TypeVar("T", int, datetime)

#: The days of a leap year, and the place of each.
_DAYS: Final = [
    (day.month, day.day) for day in (date.fromordinal(date(2000, 1, 1).toordinal() + n) for n in range(366))
]
_PLACES: Final = {day: place for place, day in enumerate(_DAYS)}


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, and what the clock of a zone shows."""

    at: datetime
    zone: Zone
    segment: Segment
    local: datetime
    #: Wall clocks from this one on are still to come, or to come again.
    ahead: datetime
    #: The week of the latest wall clock shown until now, later than ``local`` where the clock was put back; its minute.
    monday: datetime
    minute: int

    @classmethod
    def of(cls, at: datetime, zone: Zone) -> Moment:
        segment = zone.segment_at(at)
        local = latest = ahead = segment.first_local + (at - segment.start)
        if segment.before > segment.offset:
            latest = max(local, segment.shown_before - timedelta.resolution)
        if segment.after < segment.offset:
            ahead = min(local, segment.shown_again - timedelta.resolution)
        minutes = (latest - _MONDAY) // _MINUTE
        monday = _MONDAY + minutes // _WEEK_MINUTES * _WEEK
        return cls(at, zone, segment, local, ahead, monday, minutes % _WEEK_MINUTES)

    def instants(self, local: datetime) -> tuple[datetime, datetime]:
        """As `Zone.instants`; quicker where no change of the clock is near."""
        at, segment = (local - self.segment.offset).replace(tzinfo=UTC), self.segment
        far = segment.start + _FAR <= at <= segment.end - _FAR
        return (at, at) if far else self.zone.instants(local)


class Ranges(Protocol):
    """All ranges of one kind."""

    def end(self, moment: Moment) -> datetime | None:
        """The end of those that contain a moment, or None."""


class Absolute:
    """Between two instants."""

    def __init__(self, ranges: Iterable[tuple[datetime, datetime]]) -> None:
        merged = list(_merged(ranges))
        self._starts = [start for start, _ in merged]
        self._stops = [stop for _, stop in merged]

    def end(self, moment: Moment) -> datetime | None:
        """See `Ranges`."""
        index = bisect_right(self._starts, moment.at) - 1
        return self._stops[index] if index >= 0 and moment.at < self._stops[index] else None


class Weekly:
    """Minutes of the week, from Monday 00:00 on."""

    def __init__(self, days: Iterable[tuple[frozenset[int], time, time]]) -> None:
        spans = [span for weekdays, start, stop in days for span in _week_spans(weekdays, start, stop)]
        # Twice, one week apart, so that what begins on Sunday meets Monday; the first week is kept of what is found.
        twice = spans + [(start + _WEEK_MINUTES, stop + _WEEK_MINUTES) for start, stop in spans]
        merged = [span for span in _merged(twice) if span[0] < _WEEK_MINUTES]
        last = merged[-1][1] - _WEEK_MINUTES if merged else 0
        self._always = any(stop - start >= _WEEK_MINUTES for start, stop in merged)
        self._spans = [(start, stop) for start, stop in merged if stop > last]
        self._starts = [start for start, _ in self._spans]

    def end(self, moment: Moment) -> datetime | None:
        """See `Ranges`.

        The range that counts is the last that has begun: both ends of a later one are never earlier, whatever the
        clock does.
        """
        if self._always:
            return moment.at + LONGEST
        index = bisect_right(self._starts, moment.minute) - 1
        monday = moment.monday if index >= 0 else moment.monday - _WEEK
        start, stop = self._spans[index]
        if monday + stop * _MINUTE <= moment.ahead:
            return None
        first, last = moment.instants(monday + start * _MINUTE)[0], moment.instants(monday + stop * _MINUTE)[1]
        return last if first <= moment.at < last else None


class Yearly:
    """Whole days of every year, by month and day."""

    def __init__(self, ranges: Iterable[tuple[MonthDay, MonthDay]]) -> None:
        covered = [False] * len(_DAYS)
        for first, last in ranges:
            begin, end = _PLACES[first], _PLACES[last]
            for place in range(begin, end + 1 if begin <= end else end + 1 + len(_DAYS)):
                covered[place % len(_DAYS)] = True
        self._always = all(covered)
        #: For each day of a leap year, how many days from it on are covered.
        self._runs = [0] * len(_DAYS)
        for index in range(2 * len(_DAYS) - 1, -1, -1):
            here = index % len(_DAYS)
            self._runs[here] = self._runs[(here + 1) % len(_DAYS)] + 1 if covered[here] and not self._always else 0

    def end(self, moment: Moment) -> datetime | None:
        """See `Ranges`."""
        day = today = moment.local.date()
        if self._always:
            return moment.at + LONGEST
        while run := self._runs[_PLACES[day.month, day.day]]:
            day = _after(day, run)
            if day - today >= LONGEST:
                break
        return None if day == today else moment.instants(datetime.combine(day, time()))[0]


def _merged(spans: Iterable[tuple[T, T]]) -> Iterator[tuple[T, T]]:
    """Spans that overlap or touch as one, in order."""
    begin, end = None, None
    for start, stop in sorted(spans):
        if begin is None or end is None or start > end:
            if begin is not None and end is not None:
                yield begin, end
            begin, end = start, stop
        else:
            end = max(end, stop)
    if begin is not None and end is not None:
        yield begin, end


def _week_spans(weekdays: frozenset[int], start: time, stop: time) -> Iterator[tuple[int, int]]:
    """From a time on some weekdays to a time of the same day, or of the next if that is not later."""
    begin, end = (each.hour * 60 + each.minute for each in (start, stop))
    for day in weekdays:
        yield day * _DAY_MINUTES + begin, day * _DAY_MINUTES + (end if end > begin else end + _DAY_MINUTES)


def _after(day: date, run: int) -> date:
    """The day behind a run of so many days of a leap year; where 29 February is missing, 1 March stands for it."""
    place = _PLACES[day.month, day.day] + run
    year, (month, number) = day.year + place // len(_DAYS), _DAYS[place % len(_DAYS)]
    return date(year, 3, 1) if (month, number) == (2, 29) and not isleap(year) else date(year, month, number)
