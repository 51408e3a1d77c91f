"""Explanations of crons in plain English, from what the fields mean: ``*/30`` and ``0,30`` read alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cronsim import CronSim

from schedules_app.recurrence.phrases import WEEKDAYS, joined, months, ordinal, ordinal_days, runs, times


def explain_fields(fields: CronSim) -> str:
    """``At 02:30 on Monday through Friday``, ``Every 15 minutes``."""
    when = times(sorted(fields.hours), sorted(fields.minutes), sorted(fields.seconds))
    on = _days(fields)
    if not on and when.startswith("at "):
        on = "every day"
    words = f"{when} {on}".rstrip()
    return words[0].upper() + words[1:]


def _days(fields: CronSim) -> str:
    """On which days; empty for all of them."""
    chosen = [] if len(fields.months) == 12 else sorted(fields.months)
    in_months = f" in {months(chosen)}" if chosen else ""
    of_months = f" of {months(chosen)}" if chosen else " of every month"
    day = "" if len(fields.days) >= 31 else joined(_month_days(fields))
    weekday = "" if len(_plain(fields)) == 7 else joined(_weekdays(fields))
    if not fields.day_and and not (day and weekday):  # either may match, and one always does
        day = weekday = ""
    if day and weekday and fields.day_and:
        return f"on {day}{of_months} if it is {joined(_weekdays(fields), 'or')}"
    if day and weekday:
        return f"on {day} of the month or on {weekday}" + (f", only{in_months}" if chosen else "")
    if day:
        return f"on {day}{of_months}"
    if weekday:
        numbered = any(isinstance(each, tuple) for each in fields.weekdays)
        return f"on {weekday}{of_months if numbered else in_months}"
    return f"every day{in_months}" if chosen else ""


def _month_days(fields: CronSim) -> Iterator[str]:
    numbers = [day for day in fields.days if day > 0]
    if numbers:
        yield ordinal_days(numbers)
    if CronSim.LAST in fields.days:
        yield "the last day"
    if CronSim.LAST_WEEKDAY in fields.days:
        yield "the last weekday (Monday through Friday)"


def _plain(fields: CronSim) -> set[int]:
    """Weekdays from Monday 0, but for those that are numbered in their month."""
    return {(day - 1) % 7 for day in fields.weekdays if isinstance(day, int)}


def _weekdays(fields: CronSim) -> list[str]:
    numbered = {((day[0] - 1) % 7, day[1]) for day in fields.weekdays if isinstance(day, tuple)}
    in_order = sorted(numbered, key=lambda each: (each[1] < 0, each[1], each[0]))
    words = [f"the {ordinal(-1 if nth < 0 else nth)} {WEEKDAYS[day]}" for day, nth in in_order]
    return [*runs(sorted(_plain(fields)), lambda day: WEEKDAYS[day]), *words]
