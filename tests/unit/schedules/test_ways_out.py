"""Refusals say the way out: what people bring from elsewhere, and every range, step and name that is not taken."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from cronsim import CronSim
from hypothesis import given as given_by
from hypothesis import strategies as st

from schedules_app.calendars import InvalidCalendar, parse_calendar
from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from schedules_app.recurrence import Definition, InvalidRecurrence, check, parse
from schedules_app.recurrence.cron_terms import FIVE
from tasks_app.fields import NewTask
from tests.support.scale import examples

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def refused(name: str, text: Any, **more: Any) -> str:
    """The sentence about a field."""
    field = {"cron": "cron", "rrule": "rrule", "timezone": "timezone", "endAt": "end_at"}[name]
    times = {"cron": "* * * * *"} if name in ("timezone", "endAt") else {}
    asked = NewSchedule(name="nightly", task=NewTask(type="DUMMY"), **{**times, field: text, **more})
    with pytest.raises(InvalidSchedule) as found:
        check_schedule(asked, now=NOW)
    assert found.value.problems.keys() == {name}
    return found.value.problems[name]


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        # Ranges round the end of a field.
        ("* * * * sat-sun", "write SAT,SUN"),
        ("* * * * FRI-MON", "write FRI,SAT,SUN,MON"),
        ("0 22-2 * * *", "write 22,23,0-2"),
        ("0 22-2/2 * * *", "write 22,0,2"),
        ("50-10 * * * *", "write 50-59,0-10"),
        ("0 0 25-5 * *", "write 25-31,1-5"),
        ("0 0 * NOV-FEB *", "write NOV,DEC,JAN,FEB"),
        ("0 0 * * 7-2", "write 0-2"),
        # Steps.
        ("*/90 * * * *", "use intervalSeconds: 5400"),
        ("5/90 * * * *", "use intervalSeconds: 5400"),
        ("0 */36 * * *", "use intervalSeconds: 129600"),
        ("*/90 * * * * *", "use intervalSeconds: 90"),
        ("0 0 */45 * *", "use intervalSeconds: 3888000"),
        ("0 0 1 */18 *", "use rrule: FREQ=MONTHLY;INTERVAL=18"),
        ("0 0 * * */9", "name the days"),
        ("*/0 * * * *", "a step must be at least 1"),
        ("*/-5 * * * *", "one whole number, as in */15"),
        ("1/2/3 * * * *", "one whole number, as in */15"),
        # What stands round the fields.
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "use timezone, here Europe/Berlin"),
        ("TZ=UTC 0 9 * * *", "use timezone, here UTC"),
        ("PATH=/usr/bin", "payload.environment"),
        ("30 2 * * * /usr/local/bin/report --full", "task.payload.command"),
        ("30 2 * * * root /usr/local/bin/report", "task.payload.command"),
        ("30 2 * * * date", "task.payload.command"),
        ("@daily /usr/local/bin/report", "task.payload.command"),
        ("0 9 * * 1-5 # working days", "give that in description"),
        ("0 9 * * *\n0 17 * * *", "make a schedule of each line"),
        ("", "must have five fields"),
        ("* * * *", "has 4 fields: must have five fields"),
        ("0 0 12 * * MON-FRI 2027", "a year is not taken, use startAt and endAt"),
        ("* * * * * * * *", "has 8 fields"),
        # Names and durations.
        ("@reboot", "have a service of the host create a task"),
        ("@every 1h30m", "use intervalSeconds: 5400"),
        ("every 5 minutes", "use intervalSeconds: 300"),
        ("300", "use intervalSeconds: 300"),
        ("@dailly", "did you mean @daily?"),
        ("@sometimes", "there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"),
        ("FREQ=DAILY", "use rrule"),
        # Dialects.
        ("0 0 ? * MON", "write * instead of ?"),
        ("0 0 15W * *", "write 15, and a blackout calendar for weekends"),
        ("0 0 L-3 * *", "use rrule: FREQ=MONTHLY;BYMONTHDAY=-4"),
        ("0 0 -1 * *", "write L for the last day"),
        ("0 0 * * L", "5L for the last Friday of the month"),
        ("0 0 * * SUNL", "0L for the last Sunday of the month"),
        ("0 0 * L *", "L is taken in the fields for days only"),
        ("0 0 * * MON#6", "a number from 1 to 5"),
        ("0 0 * * MON-FRI#1", "MON#1,TUE#1"),
        ("0 0 1#1 * *", "in the last field only"),
        ("H/15 * * * *", "use jitterSeconds"),
        ("0~59 * * * *", "use jitterSeconds"),
        ("0 0 W * *", "MON-FRI as day of the week"),
        # Values.
        ("60 * * * *", "has 60 in minute: must be from 0 to 59"),
        ("0 24 * * *", "midnight is 0"),
        ("0 0 0 * *", "must be from 1 to 31"),
        ("0 0 * * 8", "0 to 7, both of which are Sunday"),
        ("1.5 * * * *", "must be a whole number from 0 to 59"),
        ("1,,2 * * * *", "a comma is too many"),
        ("0 0 * MON *", "a day of the week stands in the last field"),
        ("0 0 * * JAN", "a month stands in the field before the last"),
        ("0 0 * january *", "write JAN"),
        ("0 0 * * tues", "write TUE"),
        ("٣ * * * *", "write the digits 0 to 9"),
        ("0 0 30 2 *", "never fires: February has no 30th"),
        ("0 0 31 4,6 *", "never fires: April and June have no 31st"),
    ],
)
def test_of_crons(cron: str, says: str) -> None:
    assert says in refused("cron", cron)


@pytest.mark.parametrize(
    "cron", ["0 0 * * 7", "0 0 * * SUN", "\t0\t0 * * *  ", "0 0 * jan mon", "*/60 * * * *", "0 */24 * * *", "@Daily"]
)
def test_what_looks_odd_and_is_good_is_taken(cron: str) -> None:
    check(Definition(cron=cron, anchor=NOW), now=NOW)


def _sets(cron: str) -> list[set[Any]]:
    fields = CronSim(cron, datetime(2026, 1, 1))
    return [fields.minutes, fields.hours, fields.days, fields.months, {day % 7 for day in fields.weekdays}]  # type: ignore[operator,misc]


@pytest.mark.parametrize("place", range(5))
def test_every_range_round_the_end_is_answered_with_one_that_means_it(place: int) -> None:
    field = FIVE[place]
    top = field.low + field.size - 1
    pairs = [(first, last) for first, last in product(range(field.low, top + 1), repeat=2) if first > last]
    for first, last in pairs[:: max(1, len(pairs) // 60)]:
        for step in ("", "/3"):
            fields = ["*"] * 5
            fields[place] = f"{first}-{last}{step}"
            sentence = refused("cron", " ".join(fields))
            fields[place] = sentence.rpartition("write ")[2]
            meant = [*range(first, top + 1), *range(field.low, last + 1)][:: int(step[1:] or 1)]
            assert _sets(" ".join(fields))[place] == set(meant), sentence


def test_a_step_that_was_stored_still_runs() -> None:
    """What an earlier version took is followed, and can be edited otherwise."""
    stored = NewSchedule(name="old", task=NewTask(type="DUMMY"), cron="*/90 * * * *")
    check_schedule(stored, now=NOW, may_have_ended=True)
    assert parse(Definition(cron=stored.cron, anchor=NOW)).next(NOW) is not None


@pytest.mark.parametrize(
    ("rrule", "says"),
    [
        ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "use startAt"),
        ("DTSTART;TZID=Europe/Berlin:20260101T000000 RRULE:FREQ=DAILY", "timezone for its TZID"),
        ("RRULE:FREQ=DAILY\nEXDATE:20260101T000000", "use a blackout calendar"),
        ("RRULE:FREQ=DAILY\nRDATE:20260101T000000", "make a task with scheduleAt"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "make a schedule of each"),
        ("FREQ=DAILY; INTERVAL=2", "must not have blanks"),
        ("0 9 * * *", "use cron"),
        ("@daily", "use cron"),
        ("3600", "use intervalSeconds: 3600"),
        ("", "must name its FREQ"),
        ("FREQ=DAILY;;COUNT=1", "a semicolon is too many"),
        ("FREQ=FORTNIGHTLY", "write WEEKLY with INTERVAL=2"),
        ("FREQ=HOURS", "write HOURLY"),
        ("FREQ=DAILY;BYWEEKDAY=MO", "did you mean BYDAY?"),
        ("FREQ=WEEKLY;BYDAY=MON", "write MO"),
        ("FREQ=YEARLY;BYMONTH=JAN", "write the number of the month"),
        ("FREQ=DAILY;BYSECOND=60", "numbers from 0 to 59"),
        ("FREQ=DAILY;UNTIL=2030-01-31", "write 20300131"),
        ("FREQ=DAILY;UNTIL=20270229", "there is no such day"),
        ("FREQ=DAILY;UNTIL=20300101T250000Z", "there is no such time of day"),
        ("FREQ=DAILY;UNTIL=20200101", "UNTIL lies in the past, 2020-01-01 23:59:59"),
        ("FREQ=DAILY;UNTIL=20200101T000000Z", "UNTIL lies in the past, 2020-01-01 00:00:00 UTC"),
        ("FREQ=YEARLY;UNTIL=20260901T000000Z;BYMONTH=12", "no time of it lies before its UNTIL"),
        ("FREQ=DAILY;COUNT=5;UNTIL=20300101", "leave one of them out"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "use FREQ=MONTHLY"),
        ("FREQ=MINUTELY;INTERVAL=9999;BYHOUR=3", "use an INTERVAL that divides the day, or intervalSeconds"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
    ],
)
def test_of_rrules(rrule: str, says: str) -> None:
    assert says in refused("rrule", rrule)


def test_a_count_that_was_used_up_says_since_when() -> None:
    started = NOW - timedelta(days=30)
    sentence = refused("rrule", "FREQ=DAILY;COUNT=9", start_at=started)
    assert sentence == "is over: its COUNT of 9 was used up, counted from 2026-05-02 12:00:00"


def test_lower_case_is_taken() -> None:
    assert (
        check(Definition(rrule="rrule:freq=daily;interval=2", anchor=NOW), now=NOW).explain()
        == "Every 2 days at 12:00, UTC"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("EUROPE/BERLIN", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("America/NewYork", "did you mean America/New_York?"),
        ("Asia/Calcuta", "did you mean Asia/Calcutta?"),
        ("utc", "did you mean UTC?"),
        ("CEST", "did you mean Europe/Berlin?"),
        ("PST", "did you mean America/Los_Angeles?"),
        ("UTC+2", "did you mean Etc/GMT-2?"),
        ("-05:00", "did you mean Etc/GMT+5?"),
        ("Zürich", "did you mean Europe/Zurich?"),
        ("Nowhere", "'Nowhere' is not an IANA time zone"),
    ],
)
def test_of_time_zones(name: str, says: str) -> None:
    assert refused("timezone", name).endswith(says)


@pytest.mark.parametrize("end_at", [NOW, NOW - timedelta(seconds=1), datetime(2000, 1, 1, tzinfo=UTC)])
def test_an_end_in_the_past(end_at: datetime) -> None:
    assert refused("endAt", end_at) == "must lie after 2026-06-01T12:00:00Z: nothing would run"


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"from": "2027-02-29T00:00:00Z", "to": "2027-03-01T00:00:00Z"}, "ranges[0].from", "February 2027 has 28 days"),
        ({"from": "2027-01-01T24:00:00Z", "to": "2027-03-01T00:00:00Z"}, "ranges[0].from", "midnight is 00:00"),
        ({"dates": "02-30"}, "ranges[0].dates", "has no such day: February has 29 days"),
        ({"dates": "01-01/13-01"}, "ranges[0].dates", "has no such month"),
        ({"weekdays": ["mon"], "from": "24:00", "to": "06:00"}, "ranges[0].from", "from 00:00 to 23:59"),
    ],
)
def test_of_calendars(given: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidCalendar) as found:
        parse_calendar("quiet", "UTC", "skip", [given])
    assert says in found.value.problems[field]


_anything = st.text(st.characters(), max_size=40) | st.lists(
    st.sampled_from(
        [*"0123456789*/-,#?~LW²٣ \t\n", "MON", "jan", "sunday", "@", "every", "TZ=", "FREQ=", "22-2", "/90"]
    ),
    max_size=14,
).map("".join)


@examples(400)
@given_by(_anything)
def test_any_text_is_taken_or_refused_in_one_sentence(text: str) -> None:
    for name in ("cron", "rrule"):
        try:
            check(Definition(**{name: text}, anchor=NOW), now=NOW)  # type: ignore[arg-type]
        except InvalidRecurrence as problem:
            assert problem.problems.keys() == {name}
            sentence = problem.problems[name]
            assert re.match(r"(has|must|is|never fires)\b", sentence), sentence
            assert len(sentence) < 250
            assert not re.search(r"\bCronSim|Bad |Error|Traceback|\bNone\b", sentence)
