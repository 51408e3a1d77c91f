"""RFC 5545 RRULEs as wall-clock patterns: which days of a year, and which seconds of such a day.

dateutil knows the calendar (week numbers, n-th weekdays, days counted from the end) but its own iteration cannot be
bounded: a rule that never matches spins inside one ``next()`` to the year 9999. So dateutil is asked one thing only,
which days of one year pass the BY parts: a yearly rule whose interval leads out of the calendar, which ends after that
year whatever the rule says. Interval, times of day and BYSETPOS are arithmetic on top, the same forwards and backwards.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import MAXYEAR, date, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile, groupby, islice, takewhile
from operator import itemgetter
from typing import Final, TypeVar

from dateutil import rrule as dateutil

from schedules_app.recurrence.base import InvalidRecurrence
from schedules_app.recurrence.rrule_text import Frequency, Rule, read_rule
from schedules_app.recurrence.words import explain_rule

#: A rule without a match in so many years has ended.
QUIET_YEARS: Final = 50
_DAY_SECONDS: Final = 86_400
_UNIT_SECONDS: Final = {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RRule:
    """A `Pattern`: a rule with the defaults that RFC 5545 takes from DTSTART filled in."""

    rule: Rule
    dtstart: datetime
    #: Seconds of the day at which every matching day has its slots; None: an interval rolls on from day to day.
    times: Sequence[int] | None
    _days: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)
    #: Where BYSETPOS picks from more than a day: the times it left of each day.
    _picked: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fixed_time(self) -> bool:
        """Set times of the day, as opposed to every n hours, minutes or seconds."""
        return self.rule.freq <= Frequency.DAILY

    @property
    def last_instant(self) -> datetime | None:
        """UNTIL, where it is given in UTC."""
        until = self.rule.until
        return until if until is not None and until.tzinfo else None

    def upward(self, start: datetime) -> Iterator[datetime]:
        """Matches from ``start`` on, ascending, until 50 years have none."""
        if self.rule.count is None:
            return self._up(max(start, self.dtstart))
        return dropwhile(lambda local: local < start, islice(self._up(self.dtstart), self.rule.count))

    def downward(self, end: datetime) -> Iterator[datetime]:
        """Matches before ``end``, descending, until 50 years have none."""
        if self.rule.count is None:
            return self._down(end)
        counted = islice(self._up(self.dtstart), self.rule.count)
        return reversed(list(takewhile(lambda local: local < end, counted)))

    def explain(self) -> str:
        """The rule in words."""
        return explain_rule(self.rule)

    def _up(self, start: datetime) -> Iterator[datetime]:
        first_day, first_second = start.toordinal(), _second_of_day(start)
        year = start.year - 1  # a week of the old year may reach into this one
        last = year + QUIET_YEARS
        while year <= last:
            days = self._days_of(year)
            for day in days[bisect_left(days, first_day) :]:
                times = self._times_on(day)
                midnight = datetime.fromordinal(day)
                for index in range(bisect_left(times, first_second) if day == first_day else 0, len(times)):
                    local = midnight + timedelta(seconds=times[index])
                    if self._ended(local):
                        return
                    last = year + QUIET_YEARS
                    yield local
            year += 1

    def _down(self, end: datetime) -> Iterator[datetime]:
        end_day, end_second = end.toordinal(), _second_of_day(end)
        year, last = end.year, max(end.year - QUIET_YEARS, self.dtstart.year - 1)
        while year >= last:
            days = self._days_of(year)
            for day in reversed(days[: bisect_right(days, end_day)]):
                times = self._times_on(day)
                midnight = datetime.fromordinal(day)
                for index in range((bisect_left(times, end_second) if day == end_day else len(times)) - 1, -1, -1):
                    local = midnight + timedelta(seconds=times[index])
                    if local < self.dtstart:
                        return
                    if not self._ended(local):
                        last = max(year - QUIET_YEARS, self.dtstart.year - 1)
                        yield local
            year -= 1

    def _ended(self, local: datetime) -> bool:
        until = self.rule.until
        return until is not None and until.tzinfo is None and local > until

    def _days_of(self, year: int) -> tuple[int, ...]:
        """Ordinals of the days with slots; with BYSETPOS, of all periods that begin in the year."""
        if year not in self._days:
            days = self._matching_days(year)
            self._days[year] = tuple(self._pick_days(year, days) if self._picks_days else days)
        return self._days[year]

    def _matching_days(self, year: int) -> list[int]:
        """Ordinals of the days of a year that pass the BY parts and are in phase with the interval."""
        start = self._period(self.dtstart.toordinal())
        return [
            day
            for day in _days_by_parts(self.rule, year)
            if not self.fixed_time or (self._period(day) - start) % self.rule.interval == 0
        ]

    def _period(self, day: int) -> int:
        """The number of the period, as long as FREQ says, that a day is in."""
        match self.rule.freq:
            case Frequency.YEARLY:
                return date.fromordinal(day).year
            case Frequency.MONTHLY:
                on = date.fromordinal(day)
                return on.year * 12 + on.month
            case Frequency.WEEKLY:
                return (day - 1 - self.rule.wkst) // 7  # day 1 was a Monday
        return day

    @property
    def _picks_days(self) -> bool:
        return bool(self.rule.bysetpos) and self.rule.freq < Frequency.DAILY

    def _pick_days(self, year: int, days: list[int]) -> Iterator[int]:
        """Apply BYSETPOS to the periods that begin in a year."""
        weekly = self.rule.freq == Frequency.WEEKLY
        if weekly:
            days = days + self._matching_days(year + 1)
        for period, group in groupby(days, self._period):
            if weekly and date.fromordinal(period * 7 + 1 + self.rule.wkst).year != year:
                continue
            slots = [(day, second) for day in group for second in self.times or ()]
            for day, picked in groupby(_at_positions(slots, self.rule.bysetpos), itemgetter(0)):
                self._picked[day] = [second for _, second in picked]
                yield day

    def _times_on(self, day: int) -> Sequence[int]:
        if self._picks_days:
            return self._picked[day]
        if self.times is not None:
            return self.times
        return _rolling_times(self.rule, self.dtstart, day)


@lru_cache(maxsize=4096)
def parse_rrule(text: str, dtstart: datetime) -> RRule:
    """Read a rule that begins at a wall clock (naive). Raises `InvalidRecurrence`. It may still never match."""
    try:
        rule = _with_defaults(read_rule(text), dtstart)
        return RRule(rule, dtstart, _times_of_day(rule, dtstart))
    except ValueError as error:
        raise InvalidRecurrence({"rrule": str(error)}) from None


def _with_defaults(rule: Rule, dtstart: datetime) -> Rule:
    """What the rule leaves open is as in DTSTART (RFC 5545 §3.3.10)."""
    weekday = ((dtstart.weekday(), 0),)
    if not (rule.byweekno or rule.byyearday or rule.bymonthday or rule.byday):
        if rule.freq == Frequency.YEARLY:
            rule = replace(rule, bymonth=rule.bymonth or (dtstart.month,), bymonthday=(dtstart.day,))
        elif rule.freq == Frequency.MONTHLY:
            rule = replace(rule, bymonthday=(dtstart.day,))
        elif rule.freq == Frequency.WEEKLY:
            rule = replace(rule, byday=weekday)
    elif rule.byweekno and not (rule.byyearday or rule.bymonthday or rule.byday):
        rule = replace(rule, byday=weekday)
    return replace(
        rule,
        byhour=rule.byhour or ((dtstart.hour,) if rule.freq < Frequency.HOURLY else ()),
        byminute=rule.byminute or ((dtstart.minute,) if rule.freq < Frequency.MINUTELY else ()),
        bysecond=rule.bysecond or ((dtstart.second,) if rule.freq < Frequency.SECONDLY else ()),
    )


def _days_by_parts(rule: Rule, year: int) -> Iterable[int]:
    """Ordinals of the days of a year that pass the BY parts."""
    first, last = datetime(year, 1, 1), datetime(year, 12, 31)  # noqa: DTZ001 - wall clocks
    if not rule.chooses_days:
        return range(first.toordinal(), last.toordinal() + 1)
    numbered = any(nth for _, nth in rule.byday)
    only_months = not (rule.bymonthday or rule.byyearday or rule.byweekno or rule.byday)
    days = dateutil.rrule(
        dateutil.YEARLY,
        dtstart=first,
        until=last,
        interval=MAXYEAR,
        wkst=rule.wkst,
        bymonth=rule.bymonth or (range(1, 13) if numbered and rule.freq == Frequency.MONTHLY else None),
        bymonthday=rule.bymonthday or (range(1, 32) if only_months else None),
        byyearday=rule.byyearday or None,
        byweekno=rule.byweekno or None,
        byweekday=[dateutil.weekday(day, nth or None) for day, nth in _alike(rule)] or None,
    )
    return (day.toordinal() for day in days)


def _alike(rule: Rule) -> Iterable[tuple[int, int]]:
    """``MO,2TU`` with every number for MO: dateutil would take plain and numbered days together as both, not either."""
    if len({bool(nth) for _, nth in rule.byday}) < 2:
        return rule.byday
    return ((day, number) for day, nth in rule.byday for number in ([nth] if nth else range(1, rule.most_weekdays + 1)))


def _times_of_day(rule: Rule, dtstart: datetime) -> Sequence[int] | None:
    """The times that every matching day has. Raises ValueError where INTERVAL and BY parts never or rarely meet."""
    hours, minutes, seconds = rule.byhour, rule.byminute, rule.bysecond
    if rule.freq <= Frequency.DAILY:
        times = [h * 3600 + m * 60 + s for h in hours for m in minutes for s in seconds]
        return _some(_at_positions(times, rule.bysetpos) if rule.freq == Frequency.DAILY else times)
    unit = _UNIT_SECONDS[rule.freq]
    limited = hours or (minutes and unit < 3600) or (seconds and unit < 60)
    if _DAY_SECONDS // unit % rule.interval:
        if limited or (rule.chooses_days and rule.interval * unit > _DAY_SECONDS):
            raise ValueError("has an INTERVAL that does not divide the day, and BY parts that it meets only by chance")
        return None
    every = _rolling_times(rule, dtstart, dtstart.toordinal())
    if not limited:
        return _some(every)
    allowed = set(hours or range(24)), set(minutes or range(60)), set(seconds or range(60))
    return _some(
        [
            time
            for time in every
            if time // 3600 in allowed[0] and time // 60 % 60 in allowed[1] and time % 60 in allowed[2]
        ]
    )


def _some(times: Sequence[int]) -> Sequence[int]:
    if not times:
        raise ValueError("never fires: no time of the day matches")
    return times


def _rolling_times(rule: Rule, dtstart: datetime, day: int) -> Sequence[int]:
    """The times of a day of a rule finer than DAILY, counted on from DTSTART."""
    unit, offsets = _UNIT_SECONDS[rule.freq], _offsets(rule)
    passed = (day - dtstart.toordinal()) * _DAY_SECONDS - _second_of_day(dtstart) // unit * unit
    starts = range(-(passed // unit) % rule.interval * unit, _DAY_SECONDS, rule.interval * unit)
    if len(offsets) == 1:  # as a range, so that 86,400 times a day cost nothing
        return range(starts.start + offsets[0], _DAY_SECONDS, starts.step)
    return [start + offset for start in starts for offset in offsets]


def _offsets(rule: Rule) -> list[int]:
    """Seconds after the start of its hour, minute or second at which a rule finer than DAILY has its slots."""
    minutes = rule.byminute if rule.freq == Frequency.HOURLY else (0,)
    seconds = rule.bysecond if rule.freq <= Frequency.MINUTELY else (0,)
    return _at_positions([m * 60 + s for m in minutes for s in seconds], rule.bysetpos)


def _at_positions(items: list[T], positions: tuple[int, ...]) -> list[T]:
    """BYSETPOS: the n-th items, counted from 1, or from the end if negative; all if there is none."""
    if not positions:
        return items
    indexes = {position - 1 if position > 0 else len(items) + position for position in positions}
    return [items[index] for index in sorted(indexes) if 0 <= index < len(items)]


def _second_of_day(local: datetime) -> int:
    return local.hour * 3600 + local.minute * 60 + local.second
