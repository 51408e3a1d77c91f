"""RRULEs by brute force: look at every minute of every day and ask each part of the rule in turn.

An oracle of tests/property/test_fire_times.py; it shares no code with `schedules_app` or dateutil. Periods, and the
positions in them, are counted over whole periods from their first minute (RFC 5545 §3.3.10). No BYWEEKNO, no seconds.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from datetime import date, datetime, timedelta

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def naive_rrule(text: str, dtstart: datetime, first: datetime, end: datetime) -> list[datetime]:
    """The wall clocks of a rule from first to end."""
    parts = dict(part.split("=") for part in text.split(";"))
    found: dict[int, list[datetime]] = defaultdict(list)
    # Whole periods before and after, so that positions are counted right.
    begin = dtstart if "COUNT" in parts else first
    day, last_day = begin.date() - timedelta(days=7), end.date() + timedelta(days=7)
    if parts["FREQ"] in ("YEARLY", "MONTHLY"):
        day, last_day = date(begin.year, 1, 1), date(end.year, 12, 31)
    times = _times(parts, dtstart)
    while day <= last_day:
        if _day_matches(parts, dtstart, day):
            for hour, minute in times:
                at = datetime(day.year, day.month, day.day, hour, minute)
                period = _period(parts, at)
                if (period - _period(parts, dtstart)) % int(parts.get("INTERVAL", 1)) == 0:
                    found[period].append(at)
        day += timedelta(days=1)
    slots: list[datetime] = []
    for at_period in sorted(found):
        slots += _at_positions(parts, found[at_period])
    slots = [slot for slot in slots if slot >= dtstart]
    if "COUNT" in parts:
        slots = slots[: int(parts["COUNT"])]
    return [slot for slot in slots if first <= slot <= end]


def _numbers(parts: dict[str, str], name: str) -> list[int]:
    return [int(number) for number in parts[name].split(",")] if name in parts else []


def _times(parts: dict[str, str], dtstart: datetime) -> list[tuple[int, int]]:
    finer = ("HOURLY", "MINUTELY")
    hours = _numbers(parts, "BYHOUR") or (list(range(24)) if parts["FREQ"] in finer else [dtstart.hour])
    minutes = _numbers(parts, "BYMINUTE") or (list(range(60)) if parts["FREQ"] == "MINUTELY" else [dtstart.minute])
    return sorted((hour, minute) for hour in set(hours) for minute in set(minutes))


def _period(parts: dict[str, str], at: datetime) -> int:
    days = at.toordinal()
    match parts["FREQ"]:
        case "YEARLY":
            return at.year
        case "MONTHLY":
            return at.year * 12 + at.month
        case "WEEKLY":
            first = days
            while date.fromordinal(first).weekday() != DAYS.index(parts.get("WKST", "MO")):
                first -= 1
            return first // 7
        case "DAILY":
            return days
        case "HOURLY":
            return days * 24 + at.hour
    return days * 1440 + at.hour * 60 + at.minute


def _at_positions(parts: dict[str, str], slots: list[datetime]) -> list[datetime]:
    if "BYSETPOS" not in parts:
        return slots
    wanted = _numbers(parts, "BYSETPOS")
    return [slot for n, slot in enumerate(slots) if n + 1 in wanted or n - len(slots) in wanted]


def _day_matches(parts: dict[str, str], dtstart: datetime, day: date) -> bool:
    freq, days_in_month = parts["FREQ"], calendar.monthrange(day.year, day.month)[1]
    year_day, days_in_year = day.timetuple().tm_yday, 366 if calendar.isleap(day.year) else 365
    checks = []
    if "BYMONTH" in parts:
        checks.append(day.month in _numbers(parts, "BYMONTH"))
    if "BYMONTHDAY" in parts:
        checks.append(bool({day.day, day.day - days_in_month - 1} & set(_numbers(parts, "BYMONTHDAY"))))
    if "BYYEARDAY" in parts:
        checks.append(bool({year_day, year_day - days_in_year - 1} & set(_numbers(parts, "BYYEARDAY"))))
    if "BYDAY" in parts:
        in_year = freq == "YEARLY" and "BYMONTH" not in parts
        number, last = (year_day, days_in_year) if in_year else (day.day, days_in_month)
        checks.append(any(_weekday_matches(text, day, number, last) for text in parts["BYDAY"].split(",")))
    elif not {"BYMONTHDAY", "BYYEARDAY"} & parts.keys():
        if freq == "WEEKLY":
            checks.append(day.weekday() == dtstart.weekday())
        if freq in ("MONTHLY", "YEARLY"):
            checks.append(day.day == dtstart.day)
        if freq == "YEARLY" and "BYMONTH" not in parts:
            checks.append(day.month == dtstart.month)
    return all(checks)


def _weekday_matches(text: str, day: date, number: int, last: int) -> bool:
    """``number``: of the day in its month or year, which has ``last`` days."""
    if DAYS[day.weekday()] != text[-2:]:
        return False
    nth = int(text[:-2] or 0)
    return nth in (0, (number - 1) // 7 + 1, -((last - number) // 7 + 1))
