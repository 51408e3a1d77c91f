"""Texts and calendars made to be costly: long lists, rare times, numbers counted from long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
LONG_AGO: Final = datetime(1970, 1, 2, tzinfo=UTC)
WEEK: Final = "MO,TU,WE,TH,FR,SA,SU"


def numbers(stop: int, start: int = 0) -> str:
    return ",".join(map(str, range(start, stop)))


EVERY_SECOND: Final = f"BYHOUR={numbers(24)};BYMINUTE={numbers(60)};BYSECOND={numbers(60)}"

#: Definitions that are taken, and must be cheap all the same.
TAKEN: Final[dict[str, dict[str, Any]]] = {
    "the last second of a year of 31 million": {"rrule": f"FREQ=YEARLY;BYDAY={WEEK};{EVERY_SECOND};BYSETPOS=-1"},
    "of a month": {"rrule": f"FREQ=MONTHLY;BYDAY={WEEK};{EVERY_SECOND};BYSETPOS=-1", "timezone": "Europe/Berlin"},
    "many of a week": {"rrule": f"FREQ=WEEKLY;BYDAY={WEEK};{EVERY_SECOND};BYSETPOS={numbers(130, 1)}"},
    "the seconds of a day": {"rrule": f"FREQ=DAILY;{EVERY_SECOND}"},
    "of each fifth hour": {"rrule": f"FREQ=HOURLY;INTERVAL=5;BYMINUTE={numbers(60)};BYSECOND={numbers(60)}"},
    "of a leap day": {"rrule": f"FREQ=SECONDLY;{EVERY_SECOND};BYMONTH=2;BYMONTHDAY=29"},
    "each eighth second": {"rrule": f"FREQ=SECONDLY;INTERVAL=8;{EVERY_SECOND}"},
    "counted in years": {"rrule": "FREQ=YEARLY;COUNT=10000", "start_at": LONG_AGO},
    "counted in weeks": {"rrule": f"FREQ=WEEKLY;COUNT=10000;BYDAY={WEEK};BYSETPOS=-1", "start_at": LONG_AGO},
    "counted in days": {"rrule": "FREQ=DAILY;COUNT=10000", "start_at": datetime(2000, 1, 1, tzinfo=UTC)},
    "counted in hours": {"rrule": "FREQ=HOURLY;INTERVAL=10000;COUNT=10000", "start_at": LONG_AGO},
    "a second since 1970": {"interval_seconds": 1, "start_at": LONG_AGO, "timezone": "Europe/Berlin"},
    "every 28 years": {"rrule": "FREQ=YEARLY;INTERVAL=28;BYMONTH=2;BYMONTHDAY=29", "start_at": LONG_AGO.replace(2024)},
    "every 27 years": {"rrule": "FREQ=DAILY;INTERVAL=9999", "timezone": "Europe/Berlin"},
    "in some Junes": {"rrule": "FREQ=DAILY;INTERVAL=500;COUNT=999;BYMONTH=6,3", "timezone": "Africa/Casablanca"},
    "many positions of few": {"rrule": f"FREQ=WEEKLY;COUNT=10000;BYDAY={WEEK};BYSETPOS={numbers(250, 6)}"},
    "leap days": {"cron": "0 0 29 2 *", "timezone": "Africa/Casablanca"},
    "leap days on Sunday": {"cron": "59 59 23 29 2 */7", "timezone": "Europe/Berlin"},
    "leap days or Mondays": {"cron": "0 0 29 2 MON"},
    "a fifth Monday of February": {"cron": "0 0 * 2 1#5", "timezone": "America/New_York"},
    "every second, fixed": {"cron": "0-59 0-59 0-23 * * *", "timezone": "Australia/Lord_Howe"},
    "far away": {"cron": "0 0 29 2 *", "timezone": "Asia/Gaza", "start_at": datetime(2999, 1, 1, tzinfo=UTC)},
}


def _clock(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


_DAYS: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _weekly(start: int, stop: int) -> dict[str, Any]:
    return {"weekdays": _DAYS, "from": _clock(start), "to": _clock(stop)}


def _absolute(start: int, stop: int) -> dict[str, Any]:
    at = [(NOW - timedelta(days=1) + timedelta(minutes=minute)).isoformat() for minute in (start, stop)]
    return {"from": at[0], "to": at[1]}


#: Ranges of calendars: without a pause for a year, day by day; half of the time; absolute and weekly ones in turns.
RANGES: Final[dict[str, list[dict[str, Any]]]] = {
    "no pause": [_weekly(n * 14, n * 14 + 14) for n in range(99)] + [_weekly(99 * 14, 1440)],
    "half": [_weekly(n * 14, n * 14 + 7) for n in range(100)],
    "in turns": [_absolute(720 + n * 14, 728 + n * 14) for n in range(50)]
    + [_weekly(8 + n * 14, 14 + n * 14) for n in range(50)],
    "every day of the year": [{"dates": f"{1 + n % 12:02}-01/{1 + n % 12:02}-15"} for n in range(99)]
    + [{"dates": "01-01/12-31"}],
}
