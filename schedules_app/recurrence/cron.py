"""Cron expressions as wall-clock patterns. Parsing and matching are cronsim's, which follows Debian's cron.

Five fields, or six with seconds first; names, ``L``, ``LW``, ``5L``, ``5#2`` and the ``@`` names of cron. Where both
day fields are restricted either may match; where one begins with ``*`` both must (so ``*/2`` counts as ``*`` there).
cronsim is asked for the meaning of the fields only: which days of a year match, and which times of such a day. `walk`
goes through them, `expansion` does what has to do with clock changes, also for what cron lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from cronsim import CronSim, CronSimError

from schedules_app.effort import Effort
from schedules_app.recurrence import walk
from schedules_app.recurrence.base import NEVER_FIRES, InvalidRecurrence
from schedules_app.recurrence.cron_refusals import ALIASES, refusal_of
from schedules_app.recurrence.cron_words import explain_fields
from schedules_app.recurrence.days import chosen_days, first_of
from schedules_app.recurrence.products import Product, times_of_day

MAX_LENGTH: Final = 200


@dataclass(frozen=True, eq=False, slots=True)
class CronDays:
    """The fields for days as they are written: a `Choice`. Compared by identity."""

    day: str
    month: str
    weekday: str

    def days_in(self, year: int) -> Iterable[int]:
        """Asks cronsim about each day of the months that match."""
        fields, start = _parsed(f"0 0 {self.day} {self.month} {self.weekday}"), date(year, 1, 1).toordinal()
        days = (date.fromordinal(day) for day in range(start, date(year + 1, 1, 1).toordinal()))
        return (day.toordinal() - start for day in days if day.month in fields.months and fields.match_day(day))


#: The same object for the same fields, so that what is kept for it is found by its identity.
_cron_days = lru_cache(maxsize=4096)(CronDays)


@dataclass(frozen=True, slots=True)
class Cron:
    """A `Pattern`: a checked expression without aliases."""

    expression: str
    days: CronDays
    #: Seconds of the day at which every matching day has its slots.
    times: Sequence[int]

    @property
    def fixed_time(self) -> bool:
        """Set times, as opposed to a wildcard: minute and hour do not begin with ``*``, the rule of Debian's cron."""
        minute, hour = self.expression.split()[-5:-3]
        return not minute.startswith("*") and not hour.startswith("*")

    def upward(self, start: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches from ``start`` on, ascending, until 50 years have none."""
        return walk.upward(self, start, effort)

    def downward(self, end: datetime, effort: Effort) -> Iterator[datetime]:
        """Matches before ``end``, descending, until 50 years have none."""
        return walk.downward(self, end, effort)

    @property
    def overhang(self) -> int:
        """None: days stand for themselves."""
        return 0

    @property
    def first(self) -> int:
        """No bound."""
        return 0

    def last(self, year: int, effort: Effort) -> int:
        """No bound."""
        return walk.NO_END

    def groups(self, year: int, effort: Effort) -> Sequence[Sequence[int]]:
        """All days in one."""
        days = chosen_days(self.days, year)
        return (days,) if days else ()

    def seconds(self, year: int, group: Sequence[int]) -> Sequence[int]:
        """Days and times."""
        return Product(group, self.times, walk.DAY, first_of(year) * walk.DAY)

    def why_over(self, now: datetime) -> str:
        """No time matches."""
        return NEVER_FIRES

    @property
    def limits(self) -> str:
        """None."""
        return ""

    def explain(self) -> str:
        """The expression in words."""
        return explain_fields(_parsed(self.expression))


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> Cron:
    """Raises `InvalidRecurrence`. Whether it ever matches is not looked at."""
    expression = ALIASES.get(text.strip().lower(), text.strip())
    if len(expression) > MAX_LENGTH:
        raise InvalidRecurrence({"cron": f"must not be longer than {MAX_LENGTH} characters"})
    try:
        fields = _parsed(expression)
    except (CronSimError, ValueError):
        raise InvalidRecurrence({"cron": refusal_of(text)}) from None
    times = times_of_day(*(tuple(sorted(values)) for values in (fields.hours, fields.minutes, fields.seconds)))
    return Cron(expression, _cron_days(*fields.parts[3:]), times)


def _parsed(expression: str) -> CronSim:
    return CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - only parsed
