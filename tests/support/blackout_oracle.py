"""Blackouts by brute force: each range by itself, one after the other, on the clock that `zoneinfo` shows.

The oracle of tests/property/test_blackouts.py; it shares no code with `schedules_app` but the reading of zones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from schedules_app.zones import Zone, zone

DAY = timedelta(days=1)
LONGEST = timedelta(days=366)
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def blackout_end(ranges: list[dict[str, Any]], timezone: str, at: datetime) -> datetime | None:
    """The end of the blackout that contains ``at``, if it is not further off than a year."""
    known, reached = zone(timezone), at
    while reached - at < LONGEST:
        ends = [stop for each in ranges for start, stop in _near(each, reached, known) if start <= reached < stop]
        if not ends:
            break
        reached = max(ends)
    return reached if reached > at else None


def _near(each: dict[str, Any], at: datetime, known: Zone) -> Iterator[tuple[datetime, datetime]]:
    """The occurrences of a range that may contain an instant."""
    today = at.astimezone(known.info).date()
    if "dates" in each:
        first, _, last = each["dates"].partition("/")
        day = today
        while _in_year(day, first, last or first) and day - today < LONGEST:
            day += DAY
        if day > today:  # by the date on the clock, which may come twice
            yield at, known.instants(datetime.combine(day, time()))[0]
    elif "weekdays" in each:
        start, stop = time.fromisoformat(each["from"]), time.fromisoformat(each["to"])
        for day in (today - DAY, today, today + DAY):
            if WEEKDAYS[day.weekday()] in each["weekdays"]:
                last_day = day if stop > start else day + DAY
                begin, end = datetime.combine(day, start), datetime.combine(last_day, stop)
                yield known.instants(begin)[0], known.instants(end)[1]
    else:
        yield tuple(datetime.fromisoformat(each[name]).astimezone(UTC) for name in ("from", "to"))  # type: ignore[misc]


def _in_year(day: date, first: str, last: str) -> bool:
    on = f"{day:%m-%d}"
    return first <= on <= last if first <= last else on >= first or on <= last
