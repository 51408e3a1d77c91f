"""The days of an RRULE by year and by period: what INTERVAL leaves of them, and the groups BYSETPOS picks from. Pure.

What is worked out is kept for a while, and shared by all rules that choose the same days.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from calendar import isleap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Final

from schedules_app.recurrence.days import chosen_days, first_of, months_of
from schedules_app.recurrence.rrule_parts import RuleDays
from schedules_app.recurrence.rrule_text import Frequency, Rule

Days = Sequence[int]
#: How many periods are looked at in a year to find those that begin in it.
PERIODS: Final = {Frequency.YEARLY: 1, Frequency.MONTHLY: 12, Frequency.WEEKLY: 53}


@dataclass(frozen=True, eq=False, slots=True)
class Periods:
    """Years, months, weeks or days: every ``interval``-th, counted from number ``origin``. Compared by identity."""

    choice: RuleDays
    freq: Frequency
    interval: int
    wkst: int
    origin: int

    def steps_in(self, year: int) -> int:
        """What it takes to choose the days of a year, beside looking at it."""
        return 0 if self.interval == 1 or self.freq == Frequency.YEARLY or not self._counts_in(year) else 10

    def days_of(self, year: int) -> Days:
        """Numbers of the days of a year that the rule chooses, in periods that count."""
        if self.interval > 1 and not self._counts_in(year):
            return ()
        whole = self.interval == 1 or self.freq == Frequency.YEARLY
        return chosen_days(self.choice, year) if whole else _days_in_phase(self, year)

    def groups_of(self, year: int) -> Sequence[Days]:
        """The same by period, for those that begin in the year, each with its last days, also beyond the new year."""
        return _groups(self, year)

    def _counts_in(self, year: int) -> bool:
        """Is any period of the year one that counts? An interval may be longer than a year."""
        number = _numbers(self.freq, self.wkst, year)
        first, last = number(0), number(364 + isleap(year))
        return (self.origin - first) % self.interval <= last - first


def periods_of(rule: Rule, choice: RuleDays, dtstart: datetime) -> Periods:
    """The periods of a rule that begins at a wall clock. Finer than daily, they are days, and all of them."""
    if rule.freq > Frequency.DAILY or rule.interval == 1:
        return _periods(choice, min(rule.freq, Frequency.DAILY), 1, rule.wkst, 0)
    day = dtstart.toordinal() - 1 - first_of(dtstart.year)
    return _periods(choice, rule.freq, rule.interval, rule.wkst, _numbers(rule.freq, rule.wkst, dtstart.year)(day))


#: The same object for the same periods, so that what is kept for it is found by its identity.
_periods = lru_cache(maxsize=4096)(Periods)


@lru_cache(maxsize=2048)
def _days_in_phase(periods: Periods, year: int) -> Days:
    number, origin, interval = _numbers(periods.freq, periods.wkst, year), periods.origin, periods.interval
    return array("H", [day for day in chosen_days(periods.choice, year) if (number(day) - origin) % interval == 0])


@lru_cache(maxsize=2048)
def _groups(periods: Periods, year: int) -> Sequence[Days]:
    days = periods.days_of(year)
    if periods.freq != Frequency.WEEKLY:
        return [array("H", group) for _, group in groupby(days, _numbers(periods.freq, periods.wkst, year))]
    start, length = first_of(year), first_of(year + 1) - first_of(year)
    skipped = (periods.wkst - start) % 7  # days of the week that began in the old year
    days = [*days[bisect_left(days, skipped) :], *(length + day for day in periods.days_of(year + 1)[:6])]
    weeks = groupby(days, lambda day: (day - skipped) // 7)
    return [array("H", group) for week, group in weeks if skipped + week * 7 < length]


def _numbers(freq: Frequency, wkst: int, year: int) -> Callable[[int], int]:
    """Returns the number of the period, as long as FREQ says, that a day of a year is in."""
    start = first_of(year)
    match freq:
        case Frequency.YEARLY:
            return lambda day: year
        case Frequency.MONTHLY:
            months, before = months_of(year), year * 12
            return lambda day: before + months[day]
        case Frequency.WEEKLY:
            return lambda day: (start + day - wkst) // 7  # the calendar begins with a Monday
    return lambda day: start + day
