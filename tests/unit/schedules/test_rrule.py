"""RRULEs by example, most of them from RFC 5545 §3.8.5.3. Oracles: tests/property/test_fire_times.py."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest

from schedules_app.recurrence import Definition, parse


@pytest.mark.parametrize(
    ("start", "rule", "expected"),
    [
        # The week begins on Monday, or on Sunday: it matters where weeks are left out.
        ("1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "08-05 08-10 08-19 08-24"),
        ("1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "08-05 08-17 08-19 08-31"),
        ("1997-09-02", "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH;COUNT=8", "09-02 09-04 09-16 09-18 09-30 10-02"),
        ("1997-09-02", "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH", "09-02 09-04 09-09 09-11 09-16 09-18"),
        # Numbered weekdays, alone and beside plain ones.
        ("1997-09-05", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", "09-05 10-03 11-07 12-05 01-02 02-06"),
        ("1997-09-07", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU", "09-07 09-28 11-02 11-30 01-04 01-25"),
        ("1997-09-22", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO", "09-22 10-20 11-17 12-22 01-19 02-16"),
        ("1997-09-01", "FREQ=MONTHLY;BYDAY=MO,1TU", "09-01 09-02 09-08 09-15 09-22 09-29"),
        ("1997-05-19", "FREQ=YEARLY;BYDAY=20MO", "05-19 05-18 05-17 05-15 05-14 05-20"),
        ("1997-03-13", "FREQ=YEARLY;BYMONTH=3;BYDAY=1TH", "03-05 03-04 03-02 03-01 03-07 03-06"),
        # Days counted from the end, days that a month lacks, weeks of the year.
        ("1997-09-28", "FREQ=MONTHLY;BYMONTHDAY=-3", "09-28 10-29 11-28 12-29 01-29 02-26"),
        ("1997-01-31", "FREQ=MONTHLY", "01-31 03-31 05-31 07-31 08-31 10-31"),
        ("1997-01-01", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200", "01-01 04-10 07-19 01-01 04-09 07-18"),
        ("1997-05-12", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "05-12 05-11 05-17 05-15 05-14 05-13"),
        ("1997-05-13", "FREQ=YEARLY;BYWEEKNO=20", "05-13 05-12 05-18 05-16 05-15 05-14"),
        ("1996-02-29", "FREQ=YEARLY", "02-29 02-29 02-29 02-29 02-29 02-29"),
        ("1997-09-13", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "09-13 10-11 11-08 12-13 01-10 02-07"),
        # Positions: in a month, in a week that the new year cuts, in a day.
        ("1997-09-29", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "09-29 10-30 11-27 12-30 01-29 02-26"),
        ("1997-09-04", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "09-04 10-07 11-06"),
        ("1997-12-22", "FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=-1", "12-26 01-02 01-09 01-16 01-23 01-30"),
        ("1997-12-22", "FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=1", "12-22 12-29 01-05 01-12 01-19 01-26"),
    ],
)
def test_days(start: str, rule: str, expected: str) -> None:
    anchor = datetime.fromisoformat(start).replace(hour=9, tzinfo=UTC)
    slots = islice(parse(Definition(rrule=rule, anchor=anchor)).slots(datetime(1990, 1, 1, tzinfo=UTC)), 6)
    assert " ".join(f"{slot.at:%m-%d}" for slot in slots) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0,30", "09:30:05 17:00:05 17:30:05 09:00:05"),
        ("FREQ=DAILY;BYHOUR=9,10,11;BYSETPOS=-1", "11:15:05 11:15:05 11:15:05 11:15:05"),
        ("FREQ=HOURLY;INTERVAL=3", "09:15:05 12:15:05 15:15:05 18:15:05"),
        ("FREQ=HOURLY;INTERVAL=10", "09:15:05 19:15:05 05:15:05 15:15:05"),
        ("FREQ=HOURLY;INTERVAL=6;BYHOUR=3,15", "15:15:05 03:15:05 15:15:05 03:15:05"),
        ("FREQ=HOURLY;BYMINUTE=0,20,40;BYSETPOS=2,-1", "09:20:05 09:40:05 10:20:05 10:40:05"),
        ("FREQ=MINUTELY;INTERVAL=20;BYHOUR=9", "09:15:05 09:35:05 09:55:05 09:15:05"),
        ("FREQ=MINUTELY;INTERVAL=7", "09:15:05 09:22:05 09:29:05 09:36:05"),
        ("FREQ=SECONDLY;INTERVAL=40", "09:15:05 09:15:45 09:16:25 09:17:05"),
        ("FREQ=SECONDLY;BYSECOND=0,59;BYMINUTE=30", "09:30:00 09:30:59 10:30:00 10:30:59"),
    ],
)
def test_times(rule: str, expected: str) -> None:
    anchor = datetime(2026, 1, 1, 9, 15, 5, tzinfo=UTC)
    slots = islice(parse(Definition(rrule=rule, anchor=anchor)).slots(datetime(2025, 1, 1, tzinfo=UTC)), 4)
    assert " ".join(f"{slot.at:%H:%M:%S}" for slot in slots) == expected


@pytest.mark.parametrize("rule", ["FREQ=HOURLY;INTERVAL=7", "FREQ=MINUTELY;INTERVAL=1000", "FREQ=HOURLY;INTERVAL=100"])
def test_intervals_that_do_not_divide_the_day_roll_on(rule: str) -> None:
    anchor = datetime(2026, 1, 1, 9, tzinfo=UTC)
    slots = list(islice(parse(Definition(rrule=rule, anchor=anchor)).slots(datetime(2025, 1, 1, tzinfo=UTC)), 200))
    steps = {later.at - earlier.at for earlier, later in pairwise(slots)}
    assert slots[0].at == anchor
    assert len(steps) == 1
