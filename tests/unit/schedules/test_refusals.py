"""Bad input is refused with its field named, and costs no more than milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest

from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from tasks_app.fields import NewTask

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
#: The promise is 20 ms. Measured: at most 12; the machine of a test may be slow.


def numbers(stop: int) -> str:
    return ",".join(map(str, range(stop)))


CRONS = [
    *(
        "",
        "x",
        "* * * *",
        "* * * * * * *",
        "@reboot",
        "@every 5m",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
    ),
    *(
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "1- * * * *",
        "-1 * * * *",
        "1,,2 * * * *",
        "*/-5 * * * *",
        "1.5 * * * *",
    ),
    *("* * * * MON#6", "* * * * XYZ", "L * * * *", "* * W * *", "? * * * *", "²L * * * *", "* * * * ²L", "٣ * * * *"),
    *("0 0 30 2 *", "0 0 31 2 *", "0 0 31 4,6 *", "0 0 31 2 */7", "0 0 LW * */7", "59 59 23 31 11 *"),
    *("9" * 5000 + " * * * *", ",".join(["0-59"] * 1000) + " * * * *", "* " * 2500, "*/" * 50 + " * * * *"),
    *("1/1/1/1/1 * * * *", "\x00 * * * *", "* * * * *\x00", "* * * * * 'x'"),
]
#: Texts that a pattern could read in many ways, up to the sign that it does not take.
REPEATED = [
    f"{text * 1000}"[:170] + "x"
    for text in (
        "LW",
        "L",
        "H",
        "MON",
        "mar,",
        "sun-",
        "1-",
        "1,",
        "*/",
        "1/",
        "a ",
        "12 ",
        "1h",
        "9",
        "W#",
        "@",
        "1 2 3 4 5 ",
    )
]
CRONS += [*REPEATED, *(f"{text} * * * *" for text in REPEATED), *(f"* * * * {text}" for text in REPEATED)]
CRONS += [f"* * * * * {text}" for text in REPEATED]
RRULES = [
    *("", "x", "FREQ", "FREQ=", "FREQ=FORTNIGHTLY", "INTERVAL=2", "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;;COUNT=1"),
    *(
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=99999",
        "FREQ=DAILY;INTERVAL=" + "9" * 900,
    ),
    *("FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=10001", "FREQ=DAILY;COUNT=5;UNTIL=20300101", "FREQ=DAILY;COUNT=1"),
    *(
        "FREQ=DAILY;UNTIL=2030",
        "FREQ=DAILY;UNTIL=20301301",
        "FREQ=DAILY;UNTIL=20200101",
        "FREQ=DAILY;UNTIL=20300101T0000",
    ),
    *(
        "FREQ=DAILY;BYEASTER=0",
        "FREQ=DAILY;X-FOO=1",
        "DTSTART:20260101T000000\nRRULE:FREQ=DAILY",
        "FREQ=DAILY\nEXDATE:1",
    ),
    *("FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;BYMONTHDAY=0", "FREQ=DAILY;BYHOUR=24", "FREQ=DAILY;BYSECOND=60"),
    *(
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=WEEKLY;BYDAY=+MO",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=MONTHLY;BYDAY=",
    ),
    *("FREQ=YEARLY;BYMONTH=12;BYDAY=50MO", "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "FREQ=YEARLY;BYDAY=54MO"),
    *("FREQ=MONTHLY;BYWEEKNO=1", "FREQ=DAILY;BYYEARDAY=1", "FREQ=WEEKLY;BYMONTHDAY=1", "FREQ=DAILY;BYSETPOS=1"),
    # Never firing, in every frequency.
    *(
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
    ),
    *(
        "FREQ=HOURLY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    ),
    *(
        "FREQ=YEARLY;INTERVAL=9999;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
    ),
    *(
        "FREQ=WEEKLY;BYMONTH=2;BYDAY=MO;BYSETPOS=7",
        "FREQ=DAILY;BYSETPOS=366;BYHOUR=1",
        "FREQ=SECONDLY;BYSETPOS=2;BYSECOND=1",
    ),
    *(
        "FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
        "FREQ=SECONDLY;INTERVAL=7;BYSECOND=30",
        "FREQ=MINUTELY;INTERVAL=9999;BYHOUR=3",
    ),
    *("FREQ=HOURLY;INTERVAL=25;BYDAY=MO", "FREQ=MONTHLY;INTERVAL=12;BYMONTH=2", "FREQ=YEARLY;BYDAY=53MO;BYMONTHDAY=1"),
    # Bombs.
    f"FREQ=SECONDLY;BYHOUR={numbers(24)};BYMINUTE={numbers(60)};BYSECOND={numbers(60)};BYMONTH=2;BYMONTHDAY=31",
    f"FREQ=YEARLY;BYHOUR={numbers(24)};BYMINUTE={numbers(60)};BYSECOND={numbers(60)};BYMONTH=2;BYMONTHDAY=31",
    f"FREQ=HOURLY;INTERVAL=5;BYMINUTE={numbers(60)};BYSECOND={numbers(60)};BYMONTH=2;BYMONTHDAY=31",
    *("FREQ=DAILY;BYDAY=" + ",".join(["MO"] * 1600), "FREQ=DAILY;" * 400, "A" * 5000),
    *("MO " * 300, "1 " * 450, "A=B;" * 240, "FREQ=DAILY;UNTIL=" + "2-:" * 300, "FREQ=DAILY;BYDAY=" + "MOMO" * 200),
]
BAD: list[tuple[str, dict[str, Any]]] = [
    *(("cron", {"cron": cron}) for cron in CRONS),
    *(("rrule", {"rrule": rrule}) for rrule in RRULES),
    *(("intervalSeconds", {"interval_seconds": number}) for number in (0, -1, 31_536_001, 10**30)),
    *(("timezone", {"cron": "* * * * *", "timezone": name}) for name in ("", "Nope", "../x", "x" * 5000, "localtime")),
    ("startAt", {"cron": "* * * * *", "start_at": datetime(9999, 12, 31, tzinfo=UTC)}),
    ("startAt", {"cron": "* * * * *", "start_at": datetime(2026, 1, 1)}),
    ("endAt", {"cron": "* * * * *", "end_at": datetime(1, 1, 1, tzinfo=UTC)}),
    ("endAt", {"cron": "* * * * *", "start_at": NOW, "end_at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ("description", {"cron": "* * * * *", "description": "\x00"}),
    ("description", {"cron": "* * * * *", "description": "x" * 2001}),
    ("jitterSeconds", {"cron": "* * * * *", "jitter_seconds": 3601}),
    ("misfire.policy", {"cron": "* * * * *", "misfire_policy": "once"}),
    ("misfire.maxRuns", {"cron": "* * * * *", "misfire_max_runs": 101}),
    ("misfire.graceSeconds", {"cron": "* * * * *", "misfire_grace_seconds": -1}),
    ("overlap", {"cron": "* * * * *", "overlap": "queue"}),
    ("dst.gap", {"cron": "* * * * *", "dst_gap": ""}),
    ("dst.fold", {"cron": "* * * * *", "dst_fold": "never"}),
    ("calendars", {"cron": "* * * * *", "calendars": ("a", "a")}),
    ("task.type", {"cron": "* * * * *", "task": NewTask(type="NOPE")}),
    ("task.payload.url", {"cron": "* * * * *", "task": NewTask(type="HTTP", payload={"url": "ftp://x"})}),
    ("task.scheduleAt", {"cron": "* * * * *", "task": NewTask(type="DUMMY", schedule_at=NOW)}),
    ("task.expiresAt", {"cron": "* * * * *", "task": NewTask(type="DUMMY", expires_at=NOW)}),
    *(("name", {"cron": "* * * * *", "name": name}) for name in ("", "a b", "x" * 101, "ä")),
]


def new(**fields: Any) -> NewSchedule:
    return NewSchedule(**{"name": "nightly", "task": NewTask(type="DUMMY"), **fields})


@pytest.mark.parametrize(("field", "given"), BAD, ids=[f"{field}-{n}" for n, (field, _) in enumerate(BAD)])
def test_names_the_field_at_once(field: str, given: dict[str, Any]) -> None:
    began = process_time()
    with pytest.raises(InvalidSchedule) as refused:
        check_schedule(new(**given), now=NOW)
    spent = process_time() - began
    assert refused.value.problems.keys() == {field}
    assert spent < 1  # what is looked for takes minutes; a collection of garbage may fall into it


def test_names_every_field() -> None:
    bad = new(name="", cron="*/0 * * * *", overlap="x", jitter_seconds=-1, task=NewTask(type="DUMMY", priority=999))
    with pytest.raises(InvalidSchedule) as refused:
        check_schedule(bad, now=NOW)
    assert refused.value.problems.keys() == {"name", "cron", "overlap", "jitterSeconds", "task.priority"}


def test_returns_the_payload_of_the_template() -> None:
    task = NewTask(type="HTTP", payload={"url": "https://example.com/"})
    assert check_schedule(new(cron="@daily", task=task), now=NOW) == '{"url":"https://example.com/"}'


def test_one_that_has_ended_may_be_edited() -> None:
    ended = new(rrule="FREQ=DAILY;COUNT=1", start_at=datetime(2026, 1, 1, tzinfo=UTC))
    check_schedule(ended, now=NOW, may_have_ended=True)
    with pytest.raises(InvalidSchedule):
        check_schedule(ended, now=NOW)
