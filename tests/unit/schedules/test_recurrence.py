"""Slots: bounds, both directions, clock changes by example, words. Oracles: tests/property/test_fire_times.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from schedules_app.recurrence import Definition, DstFold, DstGap, InvalidRecurrence, Recurrence, Slot, check, parse
from tests.support.costs import cpu_seconds

ANCHOR = datetime(2026, 1, 1, 9, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def recurrence(**definition: Any) -> Recurrence:
    return parse(Definition(**{"anchor": ANCHOR, **definition}))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ats(slots: Any) -> list[str]:
    return [f"{slot.at:%m-%d %H:%M}" for slot in slots]


class TestBounds:
    every_hour = recurrence(interval_seconds=3600)

    def test_after_is_left_out_and_until_is_not(self) -> None:
        assert ats(self.every_hour.slots(utc("2026-01-02T00:00"), utc("2026-01-02T02:00"))) == [
            "01-02 01:00",
            "01-02 02:00",
        ]

    def test_fractions_of_a_second_count(self) -> None:
        hour, moment = utc("2026-01-02T01:00"), timedelta(microseconds=1)
        assert self.every_hour.next(hour - moment) == Slot(hour, hour.replace(tzinfo=None))
        assert list(self.every_hour.slots(hour - hour.resolution, hour)) != []
        assert list(self.every_hour.slots(hour - timedelta(hours=1), hour - moment)) == []

    def test_start_at_and_end_at_are_inside(self) -> None:
        bounded = recurrence(cron="0 * * * *", start_at=utc("2026-01-02T01:00"), end_at=utc("2026-01-02T03:00"))
        expected = ["01-02 01:00", "01-02 02:00", "01-02 03:00"]
        assert ats(bounded.slots(utc("2020-01-01"))) == expected
        assert ats(bounded.recent(after=utc("2020-01-01"), until=utc("2030-01-01"), limit=9)) == expected

    def test_a_start_between_two_seconds_begins_with_the_later(self) -> None:
        start = utc("2026-01-02T01:00") + timedelta(milliseconds=500)
        every_second = recurrence(interval_seconds=1, start_at=start)
        first = every_second.next(utc("2020-01-01"))
        assert first is not None
        assert first.at == utc("2026-01-02T01:00:01")
        assert every_second.recent(after=utc("2020-01-01"), until=first.at, limit=9) == [first]

    def test_an_interval_begins_with_its_anchor(self) -> None:
        assert ats(islice(self.every_hour.slots(utc("2020-01-01")), 2)) == ["01-01 09:00", "01-01 10:00"]
        assert ats(self.every_hour.recent(after=utc("2020-01-01"), until=ANCHOR, limit=9)) == ["01-01 09:00"]
        assert self.every_hour.recent(after=utc("2020-01-01"), until=ANCHOR - timedelta(seconds=1), limit=9) == []

    @pytest.mark.parametrize("rule", ["FREQ=DAILY;UNTIL=20260103T090000", "FREQ=DAILY;UNTIL=20260103T090000Z"])
    def test_until_is_the_last_slot(self, rule: str) -> None:
        assert len(list(recurrence(rrule=rule).slots(utc("2020-01-01")))) == 3

    def test_a_day_as_until_is_in(self) -> None:
        assert len(list(recurrence(rrule="FREQ=DAILY;UNTIL=20260103").slots(utc("2020-01-01")))) == 3

    def test_count_is_counted_from_the_start_of_the_schedule(self) -> None:
        ten = recurrence(rrule="FREQ=DAILY;COUNT=10")
        assert len(list(ten.slots(utc("2020-01-01")))) == 10
        assert ats(ten.slots(utc("2026-01-08T12:00"))) == ["01-09 09:00", "01-10 09:00"]
        assert ats(ten.recent(after=utc("2020-01-01"), until=NOW, limit=2)) == ["01-09 09:00", "01-10 09:00"]

    def test_a_rule_has_nothing_before_its_start_either_way(self) -> None:
        daily = recurrence(rrule="FREQ=DAILY")
        until = ANCHOR + timedelta(days=1)
        assert ats(daily.slots(utc("2020-01-01"), until)) == ["01-01 09:00", "01-02 09:00"]
        assert ats(daily.recent(after=utc("2020-01-01"), until=until, limit=9)) == ["01-01 09:00", "01-02 09:00"]

    def test_the_clock_of_the_zone_is_meant(self) -> None:
        nine = recurrence(cron="0 9 * * *", timezone="Asia/Tokyo")
        slot = nine.next(utc("2026-01-01"))
        assert slot == Slot(utc("2026-01-02T00:00"), datetime(2026, 1, 2, 9))

    def test_a_rule_starts_on_the_clock_of_the_zone(self) -> None:
        daily = recurrence(rrule="FREQ=DAILY", timezone="Asia/Tokyo")
        assert ats(islice(daily.slots(utc("2020-01-01")), 1)) == ["01-01 09:00"]
        assert daily.next(utc("2020-01-01")) == Slot(ANCHOR, datetime(2026, 1, 1, 18))


class TestCron:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("@hourly", ["06-01 13:00", "06-01 14:00"]),
            ("@daily", ["06-02 00:00", "06-03 00:00"]),
            ("@midnight", ["06-02 00:00", "06-03 00:00"]),
            ("@Weekly", ["06-07 00:00", "06-14 00:00"]),
            ("@monthly", ["07-01 00:00", "08-01 00:00"]),
            ("@yearly", ["01-01 00:00", "01-01 00:00"]),
            ("@annually", ["01-01 00:00", "01-01 00:00"]),
            (" 0  9 * * mon-FRI ", ["06-02 09:00", "06-03 09:00"]),
            ("0 0 13 * 5", ["06-05 00:00", "06-12 00:00"]),  # either
            ("0 0 */13 * 5", ["08-14 00:00", "11-27 00:00"]),  # both: begins with a star
            ("0 0 L feb *", ["02-28 00:00", "02-29 00:00"]),
            ("0 0 * * 5L", ["06-26 00:00", "07-31 00:00"]),
            ("0 0 * * 7", ["06-07 00:00", "06-14 00:00"]),
            ("30 0 12 * * *", ["06-01 12:00", "06-02 12:00"]),
        ],
    )
    def test_matches(self, expression: str, expected: list[str]) -> None:
        assert ats(islice(recurrence(cron=expression).slots(NOW), 2)) == expected

    def test_six_fields_begin_with_seconds(self) -> None:
        slots = islice(recurrence(cron="*/20 * * * * *").slots(NOW), 3)
        assert [slot.at.second for slot in slots] == [20, 40, 0]


class TestChangesOfTheClock:
    """Berlin leaves out 02:00 to 03:00 on 29 March 2026, and shows it twice on 25 October."""

    @pytest.mark.parametrize(
        ("definition", "expected"),
        [
            ({"cron": "30 2 * * *"}, ["28 01:30", "29 01:00 DST_GAP", "30 00:30"]),
            ({"cron": "30 2 * * *", "dst_gap": DstGap.SKIP}, ["28 01:30", "29 01:00 DST_GAP -", "30 00:30"]),
            ({"cron": "0,30 2,3 29 3 *"}, ["29 01:00", "29 01:30"]),  # 03:00 is there anyway
            ({"cron": "*/10 2 29 3 *"}, []),  # a wildcard minute counts elapsed time
            ({"cron": "0-59/10 2 29 3 *"}, ["29 01:00 DST_GAP"]),  # six times in the gap are one slot
            ({"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"}, ["28 01:30", "29 01:00 DST_GAP", "30 00:30"]),
            ({"rrule": "FREQ=MINUTELY;INTERVAL=30;BYHOUR=2"}, ["28 01:00", "28 01:30", "30 00:00", "30 00:30"]),
        ],
    )
    def test_gap(self, definition: dict[str, Any], expected: list[str]) -> None:
        spring = recurrence(timezone="Europe/Berlin", **definition)
        start, end = utc("2026-03-28T00:00"), utc("2026-03-30T12:00")
        slots = list(spring.slots(start, end))
        shown = [f"{slot.at:%d %H:%M} {slot.note}{'' if slot.runs else ' -'}".strip() for slot in slots]
        assert shown == expected
        assert spring.recent(after=start, until=end, limit=9) == slots

    @pytest.mark.parametrize(
        ("definition", "expected"),
        [
            ({"cron": "30 2 25 * *"}, ["25 00:30 DST_FOLD"]),
            ({"cron": "30 2 25 * *", "dst_fold": DstFold.TWICE}, ["25 00:30 DST_FOLD", "25 01:30 DST_FOLD"]),
            ({"cron": "30 2 * * 0", "dst_fold": DstFold.TWICE}, ["25 00:30 DST_FOLD", "25 01:30 DST_FOLD"]),
            ({"cron": "*/30 2 25 * *"}, [f"25 {at} DST_FOLD" for at in ("00:00", "00:30", "01:00", "01:30")]),
            (
                {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;UNTIL=20261025T023000", "dst_fold": DstFold.TWICE},
                ["24 00:30", "25 00:30 DST_FOLD", "25 01:30 DST_FOLD"],
            ),
            ({"interval_seconds": 3600}, ["25 00:00", "25 01:00", "25 02:00"]),
        ],
    )
    def test_fold(self, definition: dict[str, Any], expected: list[str]) -> None:
        autumn = recurrence(timezone="Europe/Berlin", **definition)
        start = utc("2026-10-24T00:00") if "rrule" in definition else utc("2026-10-24T23:59")
        end = utc("2026-10-25T02:00")
        slots = list(autumn.slots(start, end))
        assert [f"{slot.at:%d %H:%M} {slot.note}".strip() for slot in slots] == expected
        assert autumn.recent(after=start, until=end, limit=9) == slots

    def test_a_second_pass_can_begin_where_a_search_begins(self) -> None:
        twice = recurrence(cron="15,45 2 * * *", timezone="Europe/Berlin", dst_fold=DstFold.TWICE)
        slots = list(islice(twice.slots(utc("2026-10-25T00:50")), 3))
        assert ats(slots) == ["10-25 01:15", "10-25 01:45", "10-26 01:15"]

    def test_a_day_that_a_zone_left_out(self) -> None:
        daily = recurrence(cron="0 12 * * *", timezone="Pacific/Apia")
        slots = list(daily.slots(utc("2011-12-29T00:00"), utc("2012-01-01T00:00")))
        assert ats(slots) == ["12-29 22:00", "12-30 10:00", "12-30 22:00", "12-31 22:00"]
        assert slots[1].note == "DST_GAP"
        assert slots[1].local == datetime(2011, 12, 30, 12)

    def test_half_an_hour(self) -> None:
        nightly = recurrence(cron="45 1 * * *", timezone="Australia/Lord_Howe")
        slots = list(nightly.slots(utc("2026-04-03T16:00"), utc("2026-04-05T00:00")))
        assert [(f"{slot.at:%d %H:%M}", slot.note) for slot in slots] == [("04 14:45", "DST_FOLD")]


class TestRecent:
    @pytest.mark.parametrize(
        "definition",
        [
            {"interval_seconds": 1},
            {"cron": "* * * * * *"},
            {"cron": "* * * * *", "timezone": "Europe/Berlin"},
            {"rrule": "FREQ=SECONDLY"},
            {"rrule": "FREQ=SECONDLY;INTERVAL=7"},
        ],
    )
    def test_walks_no_years(self, definition: dict[str, Any]) -> None:
        long = recurrence(**definition)
        until = utc("2027-01-01T00:00")
        newest: list[Slot] = []

        def find() -> None:
            newest[:] = long.recent(after=utc("2026-01-02T00:00"), until=until, limit=100)

        assert cpu_seconds(find, enough=0.05) < 0.05
        assert len(newest) == 100
        assert list(long.slots(newest[0].at - timedelta(seconds=1), until)) == newest

    @pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 29 2 */7", "0 0 1 1 *", "59 59 23 31 12 *"])
    def test_rare_ones_are_found_both_ways(self, expression: str) -> None:
        rare = recurrence(cron=expression, timezone="America/New_York")
        slots = list(rare.slots(utc("2001-01-01"), utc("2061-01-01")))
        assert len(slots) >= 2
        assert rare.recent(after=utc("2001-01-01"), until=utc("2061-01-01"), limit=100) == slots


class TestParse:
    @pytest.mark.parametrize(
        ("definition", "fields"),
        [({}, {"cron", "intervalSeconds", "rrule"}), ({"cron": "* * * * *", "rrule": "FREQ=DAILY"}, {"cron", "rrule"})],
    )
    def test_takes_exactly_one_kind(self, definition: dict[str, Any], fields: set[str]) -> None:
        with pytest.raises(InvalidRecurrence) as refused:
            recurrence(**definition)
        assert refused.value.problems.keys() == fields

    def test_returns_the_same_for_the_same(self) -> None:
        assert recurrence(cron="1 1 * * *") is recurrence(cron="1 1 * * *")

    def test_check_looks_at_the_expression_alone(self) -> None:
        ended = Definition(cron="* * * * *", anchor=ANCHOR, end_at=NOW - timedelta(days=1))
        assert check(ended, now=NOW).next(NOW) is None

    def test_check_looks_from_the_start(self) -> None:
        later = Definition(rrule="FREQ=DAILY;COUNT=1", anchor=NOW + timedelta(days=9), start_at=NOW + timedelta(days=9))
        assert check(later, now=NOW).next(NOW) is not None


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"cron": "30 2 * * 1-5"}, "At 02:30 on Monday through Friday, UTC"),
        ({"cron": "@daily", "timezone": "Europe/Berlin"}, "At 00:00 every day, Europe/Berlin time"),
        ({"cron": "*/15 * * * *"}, "Every 15 minutes, UTC"),
        ({"interval_seconds": 1}, "Every second of elapsed time, counted from 2026-01-01 09:00:00 UTC"),
        ({"interval_seconds": 5400}, "Every 90 minutes of elapsed time, counted from 2026-01-01 09:00:00 UTC"),
        ({"interval_seconds": 86400}, "Every 24 hours of elapsed time, counted from 2026-01-01 09:00:00 UTC"),
        ({"rrule": "FREQ=DAILY"}, "Every day at 09:00, UTC"),
        (
            {"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR,MO;BYHOUR=9,17"},
            "Every 2 weeks on Monday and Friday at 09:00 and 17:00, UTC",
        ),
        ({"rrule": "FREQ=MONTHLY;BYDAY=-1FR,1MO"}, "Every month on the 1st Monday and the last Friday at 09:00, UTC"),
        (
            {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1,2"},
            "Every month on Monday and Tuesday at 09:00 (only the 2nd and last of these in each month), UTC",
        ),
        (
            {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1;BYHOUR=0;BYSECOND=5"},
            "Every year on the last day of February at 00:00:05, UTC",
        ),
        (
            {"rrule": "FREQ=YEARLY;BYYEARDAY=-2,100"},
            "Every year on the 100th and 2nd to last day of the year at 09:00, UTC",
        ),
        (
            {"rrule": "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"},
            "Every year on Monday in the 20th week of the year at 09:00, UTC",
        ),
        ({"rrule": "FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10"}, "Every 15 minutes in hours 9 and 10, UTC"),
        ({"rrule": "FREQ=HOURLY;BYMINUTE=0,30;COUNT=1"}, "Every hour at minutes 0 and 30, UTC, once"),
        ({"rrule": "FREQ=DAILY;UNTIL=20261231T000000Z"}, "Every day at 09:00, UTC, until 2026-12-31 00:00:00 UTC"),
    ],
)
def test_explains_in_words(definition: dict[str, Any], words: str) -> None:
    assert recurrence(**definition).explain() == words
