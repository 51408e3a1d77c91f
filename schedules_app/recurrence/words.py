"""Explanations of recurrences in plain English. Cron expressions are explained by cronsim itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from schedules_app.recurrence.rrule_text import Frequency, Rule

_UNITS: Final = ("year", "month", "week", "day", "hour", "minute", "second")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
#: With more times of day than this, hours, minutes and seconds are named apart.
_MOST_TIMES: Final = 4


def explain_interval(step: timedelta, anchor: datetime) -> str:
    """``Every 90 minutes of elapsed time, counted from …``."""
    seconds = int(step.total_seconds())
    size, unit = next(
        (size, unit) for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")) if not seconds % size
    )
    return f"{_every(seconds // size, unit)} of elapsed time, counted from {anchor:%Y-%m-%d %H:%M:%S} UTC"


def explain_rule(rule: Rule) -> str:
    """``Every 2 weeks on Monday and Friday at 09:00``; the rule with its defaults filled in."""
    unit = _UNITS[rule.freq]
    words = [_every(rule.interval, unit), *_days(rule), *_times(rule)]
    if rule.bysetpos:
        words.append(f"(only the {_join(_ordinal(n) for n in rule.bysetpos)} of these in each {unit})")
    if rule.count is not None:
        words.append("once" if rule.count == 1 else f"{rule.count} times")
    if rule.until is not None:
        words.append(f"until {rule.until:%Y-%m-%d %H:%M:%S}{' UTC' if rule.until.tzinfo else ''}")
    return " ".join(words)


def in_zone(words: str, zone: str) -> str:
    """Say whose clock is meant."""
    return f"{words}, {zone}" if zone == "UTC" else f"{words}, {zone} time"


def _days(rule: Rule) -> Iterator[str]:
    if rule.byday:
        yield f"on {_join(_weekday(day, nth) for day, nth in rule.byday)}"
    if rule.bymonthday:
        yield f"on the {_join(_ordinal(day, 'day') for day in rule.bymonthday)} of the month"
    if rule.byyearday:
        yield f"on the {_join(_ordinal(day, 'day') for day in rule.byyearday)} of the year"
    if rule.byweekno:
        yield f"in the {_join(_ordinal(week, 'week') for week in rule.byweekno)} of the year"
    if rule.bymonth:
        yield f"in {_join(_MONTHS[month - 1] for month in rule.bymonth)}"


def _times(rule: Rule) -> Iterator[str]:
    hours, minutes, seconds = rule.byhour, rule.byminute, rule.bysecond
    if rule.freq <= Frequency.DAILY and len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES:
        times = ((h, m, s) for h in hours for m in minutes for s in seconds)
        yield f"at {_join(f'{h:02}:{m:02}' + (f':{s:02}' if any(seconds) else '') for h, m, s in times)}"
        return
    if hours:
        yield f"in {_numbers('hour', hours)}"
    if minutes:
        yield f"at {_numbers('minute', minutes)}"
    if any(seconds):
        yield f"at {_numbers('second', seconds)}"


def _every(count: int, unit: str) -> str:
    return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"


def _numbers(unit: str, values: tuple[int, ...]) -> str:
    return f"{unit}{'s' if len(values) > 1 else ''} {_join(map(str, values))}"


def _weekday(day: int, nth: int) -> str:
    return f"the {_ordinal(nth)} {_DAYS[day]}" if nth else _DAYS[day]


def _ordinal(number: int, unit: str = "") -> str:
    """``1st``, ``22nd``; from the end ``last``, ``2nd last``; the unit where it is needed to be understood."""
    if number == -1:
        return f"last {unit}".strip()
    size = abs(number)
    ending = "th" if size % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(size % 10, "th")
    return f"{size}{ending}{' last' if number < 0 else ''} {unit}".strip()


def _join(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
