"""Walking through the matches of a pattern, year by year, up and down. Pure, lazy, and counted in steps.

A pattern has for each year its *groups* of days (all days of it; or those of each month, or week, or each day, where
its times depend on them), and for each group its seconds. Days and seconds are counted from the first of January of
the year 1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from schedules_app.effort import Effort
from schedules_app.recurrence.products import place

#: A pattern without a match in so many years has ended.
QUIET_YEARS: Final = 50
DAY: Final = 86_400
#: After every second of the calendar.
NO_END: Final = 10**12
_FIRST: Final = datetime.min  # noqa: DTZ901 - a wall clock


class Years(Protocol):
    """A pattern, asked about one year at a time."""

    #: Groups of so many years before may reach into a year.
    @property
    def overhang(self) -> int: ...
    #: There is nothing before this second.
    @property
    def first(self) -> int: ...

    def last(self, year: int, effort: Effort) -> int:
        """There is nothing after this second in a year; -1: nothing in it at all, nor later."""

    def groups(self, year: int, effort: Effort) -> Sequence[Sequence[int]]:
        """Groups of days, ascending, each day by its number in the year."""

    def seconds(self, year: int, group: Sequence[int]) -> Sequence[int]:
        """The matches of a group, ascending."""


def upward(years: Years, start: datetime, effort: Effort) -> Iterator[datetime]:
    """Matches from ``start`` on, ascending, until 50 years have none."""
    first = max(second_of(start), years.first)
    begin = max(start, _moment(years.first))
    year, quiet = begin.year - years.overhang, begin.year + QUIET_YEARS
    while year <= quiet:
        effort.spend()
        last = years.last(year, effort)
        if last < first and year >= begin.year:
            return
        groups = years.groups(year, effort)
        for index in range(_group_before(groups, year, begin), len(groups)):
            effort.spend()
            seconds = years.seconds(year, groups[index])
            for position in range(place(seconds, first), len(seconds)):
                second = seconds[position]
                if second > last:
                    return
                effort.spend()
                quiet = year + QUIET_YEARS
                yield _moment(second)
        year += 1


def downward(years: Years, end: datetime, effort: Effort) -> Iterator[datetime]:
    """Matches before ``end``, descending, until 50 years have none."""
    before = second_of(end)
    year = end.year
    first_year = _moment(years.first).year - years.overhang
    quiet = max(year - QUIET_YEARS - years.overhang, first_year)
    while year >= quiet:
        effort.spend()
        last = years.last(year, effort)
        stop = min(before, last + 1)
        groups = years.groups(year, effort) if last >= 0 else ()
        for index in range(_groups_up_to(groups, year, stop) - 1, -1, -1):
            effort.spend()
            seconds = years.seconds(year, groups[index])
            for position in range(place(seconds, stop) - 1, -1, -1):
                second = seconds[position]
                if second < years.first:
                    return
                effort.spend()
                quiet = max(year - QUIET_YEARS - years.overhang, first_year)
                yield _moment(second)
        if last < 0:  # it ended in an earlier year: that is not quiet
            quiet = max(quiet - 1, first_year)
        year -= 1


def second_of(local: datetime) -> int:
    """A wall clock (naive) as a number."""
    return (local.toordinal() - 1) * DAY + local.hour * 3600 + local.minute * 60 + local.second


def year_start(year: int) -> int:
    """The first second of a year."""
    return (datetime(year, 1, 1).toordinal() - 1) * DAY  # noqa: DTZ001 - a wall clock


def _moment(second: int) -> datetime:
    return _FIRST + timedelta(0, second)


def _group_before(groups: Sequence[Sequence[int]], year: int, at: datetime) -> int:
    """The index of the first group that may reach to a moment."""
    if len(groups) == 1:
        return 0
    day = at.toordinal() - datetime(year, 1, 1).toordinal()  # noqa: DTZ001 - a wall clock
    return max(0, bisect_right(groups, day, key=_first_day) - 1)


def _groups_up_to(groups: Sequence[Sequence[int]], year: int, stop: int) -> int:
    """How many groups begin before a second."""
    return bisect_left(groups, (stop - year_start(year) + DAY - 1) // DAY, key=_first_day)


def _first_day(group: Sequence[int]) -> int:
    return group[0]
