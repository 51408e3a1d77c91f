"""RFC 5545 RRULEs as wall-clock patterns: which days of a year, and which seconds of such a day.

dateutil knows the calendar (week numbers, n-th weekdays, days counted from the end) but its own iteration cannot be
bounded: a rule that never matches spins inside one ``next()`` to the year 9999, and BYSETPOS builds whole periods of
31 million seconds. So dateutil is asked one thing only, which days of a kind of year pass the BY parts. Interval, times
of day, BYSETPOS and COUNT are arithmetic on top, the same forwards and backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from schedules_app.effort import Effort
from schedules_app.recurrence.base import NEVER_FIRES, InvalidRecurrence
from schedules_app.recurrence.periods import PERIODS, Periods, periods_of
from schedules_app.recurrence.products import Product, at_positions, number_at, place
from schedules_app.recurrence.rrule_parts import rolled, rule_days, times_of, with_defaults
from schedules_app.recurrence.rrule_text import Frequency, Rule, read_rule
from schedules_app.recurrence.walk import DAY, NO_END, downward, second_of, upward, year_start
from schedules_app.recurrence.words import explain_rule, limits_of

_LEAP_YEAR: Final = 2000
#: All days of a year as one group.
_WHOLE: Final = ((0,),)


@dataclass(frozen=True, slots=True)
class RRule:
    """A `Pattern`: a rule with the defaults that RFC 5545 takes from DTSTART filled in."""

    rule: Rule
    dtstart: datetime
    periods: Periods
    #: Seconds of the day at which every matching day has its slots; None: an interval rolls on from day to day.
    times: Sequence[int] | None
    #: DTSTART, UNTIL where it is on the same clock, as seconds.
    first: int
    until: int
    #: How many slots lie before a year; known from the year of DTSTART on, without a break.
    _before: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fixed_time(self) -> bool:
        """Set times of the day, as opposed to every n hours, minutes or seconds."""
        return self.rule.freq <= Frequency.DAILY

    @property
    def last_instant(self) -> datetime | None:
        """UNTIL, where it is given in UTC."""
        until = self.rule.until
        return until if until is not None and until.tzinfo else None

    def upward(self, start: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches from ``start`` on, ascending, until 50 years have none."""
        self._count_to(start.year, effort)
        return upward(self, start, effort)

    def downward(self, end: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches before ``end``, descending, until 50 years have none."""
        self._count_to(end.year, effort)
        return downward(self, end, effort)

    def why_over(self, now: datetime) -> str:
        """UNTIL is past, COUNT is used up, or no time matches."""
        until, asked = self.rule.until, now.replace(tzinfo=UTC) if self.last_instant else now
        if until is not None and until < asked:
            return f"is over: UNTIL lies in the past, {until:%Y-%m-%d %H:%M:%S}{' UTC' if until.tzinfo else ''}"
        if until is not None and next(upward(replace(self, until=NO_END), now, Effort()), None):
            return "never fires: no time of it lies before its UNTIL"
        count = self.rule.count or 0
        if count and self._number_before(now.year + 1) >= count and self.dtstart <= now:
            return f"is over: its COUNT of {count} was used up, counted from {self.dtstart:%Y-%m-%d %H:%M:%S}"
        return NEVER_FIRES

    @property
    def limits(self) -> str:
        """COUNT or UNTIL in words."""
        return limits_of(self.rule)

    def explain(self) -> str:
        """The rule in words."""
        return explain_rule(self.rule)

    @property
    def overhang(self) -> int:
        """A week whose days BYSETPOS picks may begin in the old year."""
        return int(self._picks and self.rule.freq == Frequency.WEEKLY)

    def last(self, year: int, effort: Effort) -> int:
        """The last second that UNTIL and COUNT allow in a year."""
        if self.rule.count is None or self._number_before(year + 1) < self.rule.count:
            return self.until
        left = self.rule.count - self._number_before(year)
        for group in self.groups(year, effort) if left > 0 else ():
            seconds = self.seconds(year, group)
            skipped = place(seconds, self.first)
            if left <= len(seconds) - skipped:
                return min(self.until, seconds[skipped + left - 1])
            left -= len(seconds) - skipped
        return -1

    def groups(self, year: int, effort: Effort) -> Sequence[Sequence[int]]:
        """The days of a year, by the periods that begin in it where BYSETPOS picks from each, or day by day."""
        effort.spend(self.periods.steps_in(year))
        if self._picks:
            return self.periods.groups_of(year)
        if self._rolls_on:
            return _WHOLE
        days = self.periods.days_of(year)
        if self.times is None:
            return _Each(days)
        return (days,) if days else ()

    def seconds(self, year: int, group: Sequence[int]) -> Sequence[int]:
        """The slots of a group."""
        start = year_start(year)
        if self._rolls_on:
            return rolled(self.rule, self.dtstart, start, year_start(year + 1))
        if self.times is None:
            midnight = start + group[0] * DAY
            return rolled(self.rule, self.dtstart, midnight, midnight + DAY)
        slots = Product(group, self.times, DAY, start)
        return at_positions(slots, self.rule.bysetpos) if self._picks else slots

    @property
    def _picks(self) -> bool:
        return bool(self.rule.bysetpos) and self.rule.freq < Frequency.DAILY

    def _count_to(self, year: int, effort: Effort) -> None:
        """Where there is a COUNT: count the slots from DTSTART to a year, if that is not too costly."""
        counted = self._first_year + len(self._before)
        if self.rule.count is None or self._before.get(counted, 0) >= self.rule.count:
            return
        effort.spend(self._steps_to_count(year - counted))
        self._number_before(year)

    def _steps_to_count(self, years: int) -> int:
        """What it takes to count so many years at most."""
        if self._picks:
            return max(0, years) * PERIODS[self.rule.freq]
        if self.times is None and not self._rolls_on:  # day by day, and each has a slot
            days = max(0, years) * len(self.periods.days_of(_LEAP_YEAR))
            return min(days, self.rule.count or 0) // 2
        return max(0, years)

    def _number_before(self, year: int) -> int:
        """How many slots lie before a year; not counted beyond COUNT."""
        counted = self._first_year + len(self._before)
        number = self._before.get(min(year, counted), 0)
        for each in range(counted, year):
            if number >= (self.rule.count or 0):
                break
            number += self._number_in(each)
            self._before[each + 1] = number
        return number

    @property
    def _rolls_on(self) -> bool:
        """Through all days, so that a year need not be looked at day by day."""
        return self.times is None and not self.rule.chooses_days

    def _number_in(self, year: int) -> int:
        groups = self.groups(year, Effort())
        if self._picks and self.times is not None and year > self.dtstart.year:  # as many of each group as long
            lengths = Counter(len(group) * len(self.times) for group in groups)
            return sum(times * number_at(self.rule.bysetpos, length) for length, times in lengths.items())
        slots = (self.seconds(year, group) for group in groups)
        return sum(len(seconds) - place(seconds, self.first) for seconds in slots)

    @property
    def _first_year(self) -> int:
        return self.dtstart.year - self.overhang


class _Each(Sequence[Sequence[int]]):
    """Each member as a sequence of its own."""

    def __init__(self, members: Sequence[int]) -> None:
        self._members = members

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return (self._members[index],)


@lru_cache(maxsize=4096)
def parse_rrule(text: str, dtstart: datetime) -> RRule:
    """Read a rule that begins at a wall clock (naive). Raises `InvalidRecurrence`. It may still never match."""
    try:
        rule = with_defaults(read_rule(text), dtstart)
        times = times_of(rule, dtstart)
    except ValueError as error:
        raise InvalidRecurrence({"rrule": str(error)}) from None
    until = NO_END if rule.until is None or rule.until.tzinfo else second_of(rule.until)
    periods = periods_of(rule, rule_days(rule), dtstart)
    return RRule(rule, dtstart, periods, times, second_of(dtstart), until)
