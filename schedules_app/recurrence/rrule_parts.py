"""What the parts of an RRULE choose: days of a year, times of a day. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import MAXYEAR, datetime
from functools import lru_cache
from typing import Final

from dateutil import rrule as dateutil

from schedules_app.recurrence.products import Product, at_positions, stored, times_of_day
from schedules_app.recurrence.rrule_text import Frequency, Rule
from schedules_app.recurrence.walk import DAY, second_of

_UNIT_SECONDS: Final = {Frequency.HOURLY: 3600, Frequency.MINUTELY: 60, Frequency.SECONDLY: 1}
_CHANCE: Final = (
    "has an INTERVAL that does not divide the day, and BY parts that it meets only by chance:"
    " use an INTERVAL that divides the day, or intervalSeconds"
)


@dataclass(frozen=True, eq=False, slots=True)
class RuleDays:
    """The days of a year that pass the BY parts: a `Choice`. Compared by identity."""

    bymonth: tuple[int, ...]
    bymonthday: tuple[int, ...]
    byyearday: tuple[int, ...]
    byweekno: tuple[int, ...]
    byday: tuple[tuple[int, int], ...]
    wkst: int

    def days_in(self, year: int) -> Iterable[int]:
        """Asks dateutil for a yearly rule whose interval leads out of the calendar: it ends after this year."""
        first, last = datetime(year, 1, 1), datetime(year, 12, 31)  # noqa: DTZ001 - wall clocks
        start = first.toordinal()
        chooses = self.bymonthday or self.byyearday or self.byweekno or self.byday
        if not (chooses or self.bymonth):
            return range(last.toordinal() - start + 1)
        days = dateutil.rrule(
            dateutil.YEARLY,
            dtstart=first,
            until=last,
            interval=MAXYEAR,
            wkst=self.wkst,
            bymonth=self.bymonth or None,
            bymonthday=self.bymonthday or (None if chooses else range(1, 32)),
            byyearday=self.byyearday or None,
            byweekno=self.byweekno or None,
            byweekday=[dateutil.weekday(day, nth or None) for day, nth in self.byday] or None,
        )
        return (day.toordinal() - start for day in days)


#: The same object for the same parts, so that what is kept for it is found by its identity.
_rule_days = lru_cache(maxsize=4096)(RuleDays)


def rule_days(rule: Rule) -> RuleDays:
    """The days that a rule chooses; what INTERVAL and BYSETPOS leave of them is not looked at."""
    in_months = rule.freq == Frequency.MONTHLY and any(nth for _, nth in rule.byday)
    months = rule.bymonth or (tuple(range(1, 13)) if in_months else ())
    return _rule_days(months, rule.bymonthday, rule.byyearday, rule.byweekno, _alike(rule), rule.wkst)


def with_defaults(rule: Rule, dtstart: datetime) -> Rule:
    """Fill in what DTSTART says where no part does (RFC 5545 §3.3.10)."""
    weekday = ((dtstart.weekday(), 0),)
    if not (rule.byyearday or rule.byweekno or rule.bymonthday or rule.byday):
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


def times_of(rule: Rule, dtstart: datetime) -> Sequence[int] | None:
    """The times that every matching day has, as seconds; None where an interval rolls on from day to day.

    Raises ValueError where INTERVAL and BY parts never or rarely meet.
    """
    if rule.freq <= Frequency.DAILY:
        times = times_of_day(rule.byhour, rule.byminute, rule.bysecond)
        return _some(stored(at_positions(times, rule.bysetpos)) if rule.freq == Frequency.DAILY else times)
    unit = _UNIT_SECONDS[rule.freq]
    limited = rule.byhour or (rule.byminute and unit < 3600) or (rule.bysecond and unit < 60)
    if DAY // unit % rule.interval:
        if limited or (rule.chooses_days and rule.interval * unit > DAY):
            raise ValueError(_CHANCE)
        return None
    if limited:
        return stored(_some(_even_times(rule, dtstart, unit)))
    return stored(_some(rolled(rule, dtstart, 0, DAY)))


def rolled(rule: Rule, dtstart: datetime, start: int, end: int) -> Sequence[int]:
    """The slots of a rule finer than DAILY from one second to before another, counted on from DTSTART."""
    unit = _UNIT_SECONDS[rule.freq]
    first = start // unit
    first += (second_of(dtstart) // unit - first) % rule.interval
    return _finer(range(first, end // unit, rule.interval), rule, unit)


def _even_times(rule: Rule, dtstart: datetime, unit: int) -> Sequence[int]:
    """Where the interval divides the day: the times of every day that hours, minutes and seconds let pass."""
    hours, minutes, seconds = rule.byhour or range(24), rule.byminute or range(60), rule.bysecond or range(60)
    in_hour, phase = 3600 // unit, second_of(dtstart) // unit % rule.interval
    same = in_hour % rule.interval == 0  # in every hour
    units: Sequence[int] = [
        number
        for number in range(phase, in_hour if same else DAY // unit, rule.interval)
        if (same or number // in_hour in hours)
        and (unit == 3600 or number * unit // 60 % 60 in minutes)
        and (unit > 1 or number % 60 in seconds)
    ]
    return _finer(Product(hours, array("H", units), in_hour) if same else array("I", units), rule, unit)


def _finer(units: Sequence[int], rule: Rule, unit: int) -> Sequence[int]:
    """The times inside hours, minutes or seconds that match."""
    offsets = _offsets(rule)
    if unit == 1:
        return units if len(offsets) else ()
    return Product(units, offsets, unit)


def _offsets(rule: Rule) -> Sequence[int]:
    """Seconds after the start of its hour, minute or second at which a rule finer than DAILY has its slots."""
    minutes = rule.byminute if rule.freq == Frequency.HOURLY else (0,)
    seconds = rule.bysecond if rule.freq <= Frequency.MINUTELY else (0,)
    return at_positions(Product(minutes, seconds, 60), rule.bysetpos)


def _some(times: Sequence[int]) -> Sequence[int]:
    if not times:
        raise ValueError("never fires: no time of the day matches")
    return times


def _alike(rule: Rule) -> tuple[tuple[int, int], ...]:
    """``MO,2TU`` with every number for MO: dateutil would take plain and numbered days together as both, not either."""
    if len({bool(nth) for _, nth in rule.byday}) < 2:
        return rule.byday
    every = range(1, rule.most_weekdays + 1)
    return tuple((day, number) for day, nth in rule.byday for number in ([nth] if nth else every))
