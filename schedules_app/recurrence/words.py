"""Explanations of intervals and RRULEs in plain English, and whose clock is meant; crons are in `cron_words`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from schedules_app.recurrence.phrases import (
    WEEKDAYS,
    every,
    joined,
    months,
    numbered,
    ordinal,
    ordinal_days,
    ordinals,
    runs,
    times,
)
from schedules_app.recurrence.rrule_text import Frequency, Rule

_UNITS: Final = ("year", "month", "week", "day", "hour", "minute", "second")


def explain_interval(step: timedelta, anchor: datetime) -> str:
    """``Every 90 minutes of elapsed time, counted from …``."""
    seconds = int(step.total_seconds())
    size, unit = next(
        (size, unit) for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")) if not seconds % size
    )
    often = every(seconds // size, unit).capitalize()
    return f"{often} of elapsed time, counted from {anchor:%Y-%m-%d %H:%M:%S} UTC"


def explain_rule(rule: Rule) -> str:
    """``Every 2 weeks on Monday and Friday at 09:00``; the rule with its defaults filled in. Without its limits."""
    unit = _UNITS[rule.freq]
    words = " ".join([every(rule.interval, unit).capitalize(), *_days(rule), *_times(rule)]).replace(" ,", ",")
    if rule.bysetpos:
        words += f" (only {ordinals(rule.bysetpos)} of these in each {unit})"
    return words


def limits_of(rule: Rule) -> str:
    """``, 10 times``, ``, until 2026-12-31 00:00:00``; empty for a rule without an end."""
    if rule.count is not None:
        return ", once" if rule.count == 1 else f", {rule.count} times"
    if rule.until is not None:
        return f", until {rule.until:%Y-%m-%d %H:%M:%S}{' UTC' if rule.until.tzinfo else ''}"
    return ""


def in_zone(words: str, zone: str) -> str:
    """Say whose clock is meant."""
    return f"{words}, {zone}" if zone == "UTC" else f"{words}, {zone} time"


def _days(rule: Rule) -> Iterator[str]:
    in_months = f"in {months(rule.bymonth)}" if rule.bymonth else ""
    if rule.byday:
        yield f"on {joined(_weekdays(rule))}"
        if rule.freq == Frequency.YEARLY and any(nth for _, nth in rule.byday) and not in_months:
            yield "of the year"
    if rule.bymonthday:
        yield f"on {ordinal_days(rule.bymonthday)} day of {months(rule.bymonth) if rule.bymonth else 'the month'}"
        in_months = ""
    if rule.byyearday:
        yield f"on {ordinal_days(rule.byyearday)} day of the year"
    if rule.byweekno:
        yield f"in {ordinals(rule.byweekno)} week of the year"
    if in_months:
        yield in_months


def _weekdays(rule: Rule) -> list[str]:
    """Plain ones, then numbered ones from the first to the last."""
    plain = [day for day, nth in rule.byday if not nth]
    others = sorted(((nth, day) for day, nth in rule.byday if nth), key=lambda each: (each[0] < 0, each))
    if len(plain) == len(WEEKDAYS):
        return ["every day"]
    return [*runs(plain, lambda day: WEEKDAYS[day]), *(f"the {ordinal(nth)} {WEEKDAYS[day]}" for nth, day in others)]


def _times(rule: Rule) -> Iterator[str]:
    hours, minutes, seconds = rule.byhour, rule.byminute, rule.bysecond
    if rule.freq <= Frequency.DAILY:
        when = times(hours, minutes, seconds)
        yield when if when.startswith("at ") else f", {when}"
        return
    if hours and len(hours) < 24:
        yield f"in {numbered('hour', hours)}"
    inner = [_or_every("minute", minutes)] if minutes else []
    inner += [_or_every("second", seconds)] if any(seconds) else []
    if inner:
        yield f"at {', '.join(inner)}"


def _or_every(unit: str, numbers: tuple[int, ...]) -> str:
    return every(1, unit) if len(numbers) == 60 else numbered(unit, numbers)
