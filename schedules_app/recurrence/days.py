"""Which days of a year a pattern chooses, as numbers from 0. Pure.

Patterns choose days by month, day of the month, weekday, week: things that come in 28 kinds of years only, which
differ in the weekday on which a year begins, its length and that of the year before (which decides about week 53). So
each choice is worked out at most 28 times, whatever the number of years looked at.
"""

from __future__ import annotations

from array import array
from calendar import isleap
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Final, Protocol

#: Of each kind, (weekday of the first day, leap, after a leap year), the last year from 1600 to 1999 of that kind.
_MODELS: Final = {(date(year, 1, 1).weekday(), isleap(year), isleap(year - 1)): year for year in range(1600, 2000)}
_MONTHS: Final = {
    leap: array("B", (date.fromordinal(date(year, 1, 1).toordinal() + day).month for day in range(365 + leap)))
    for leap, year in ((False, 2001), (True, 2000))
}


class Choice(Protocol):
    """A rule that says which days match."""

    def __hash__(self) -> int: ...

    def days_in(self, year: int) -> Iterable[int]:
        """Numbers of the matching days, ascending, of a year and of every other of its kind."""


def chosen_days(choice: Choice, year: int) -> Sequence[int]:
    """Numbers of the days of a year that a choice matches, ascending."""
    return _chosen(choice, _MODELS[date(year, 1, 1).weekday(), isleap(year), isleap(year - 1)])


def first_of(year: int) -> int:
    """The number of the first of January, counted in days from that of the year 1."""
    return date(year, 1, 1).toordinal() - 1


def months_of(year: int) -> Sequence[int]:
    """The month of each day of a year."""
    return _MONTHS[isleap(year)]


@lru_cache(maxsize=8192)
def _chosen(choice: Choice, model: int) -> Sequence[int]:
    return array("H", choice.days_in(model))  # two bytes for each day: a full cache takes 6 MB
