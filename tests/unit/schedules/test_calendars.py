"""Blackout calendars: which instants are covered, until when, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schedules_app.calendars import Blackout, Calendar, InvalidCalendar, OnBlackout, covering, parse_calendar

NIGHTS = {"weekdays": ["fri", "sat"], "from": "22:00", "to": "06:00"}


def calendar(*ranges: Any, timezone: str = "UTC", on_blackout: str = "skip", name: str = "quiet") -> Calendar:
    return parse_calendar(name, timezone, on_blackout, list(ranges))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("ranges", "zone", "at", "until"),
    [
        # Absolute: the first instant is in, the last is not.
        (
            [{"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00+02:00"}],
            "UTC",
            "2026-06-01T00:00",
            "2026-06-01T22:00",
        ),
        ([{"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z"}], "UTC", "2026-06-02T00:00", None),
        ([{"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z"}], "UTC", "2026-05-31T23:59:59", None),
        # Weekly, over midnight: 5 June 2026 is a Friday.
        ([NIGHTS], "UTC", "2026-06-05T21:59:59", None),
        ([NIGHTS], "UTC", "2026-06-05T22:00", "2026-06-06T06:00"),
        ([NIGHTS], "UTC", "2026-06-07T05:59", "2026-06-07T06:00"),
        ([NIGHTS], "UTC", "2026-06-07T22:00", None),
        ([NIGHTS], "Asia/Tokyo", "2026-06-05T13:00", "2026-06-05T21:00"),
        ([{"weekdays": ["mon"], "from": "09:00", "to": "17:00"}], "UTC", "2026-06-01T16:59", "2026-06-01T17:00"),
        # A whole day, and two that adjoin.
        ([{"weekdays": ["sat"], "from": "00:00", "to": "00:00"}], "UTC", "2026-06-06T12:00", "2026-06-07T00:00"),
        ([{"weekdays": ["sat", "sun"], "from": "00:00", "to": "00:00"}], "UTC", "2026-06-06T12:00", "2026-06-08T00:00"),
        # Ranges that overlap count as one.
        (
            [NIGHTS, {"from": "2026-06-06T05:00:00Z", "to": "2026-06-06T21:00:00Z"}],
            "UTC",
            "2026-06-05T23:00",
            "2026-06-06T21:00",
        ),
        # Yearly, over the new year, and a day that is not in every year.
        ([{"dates": "12-24/12-26"}], "Europe/Berlin", "2026-12-23T23:00", "2026-12-26T23:00"),
        ([{"dates": "12-24/12-26"}], "Europe/Berlin", "2026-12-26T23:00", None),
        ([{"dates": "12-30/01-02"}], "UTC", "2026-12-31T00:00", "2027-01-03T00:00"),
        ([{"dates": "12-30/01-02"}], "UTC", "2027-01-01T00:00", "2027-01-03T00:00"),
        ([{"dates": "02-29"}], "UTC", "2028-02-29T00:00", "2028-03-01T00:00"),
        ([{"dates": "02-29"}], "UTC", "2027-03-01T00:00", None),
        ([{"dates": "02-28/02-29"}], "UTC", "2027-02-28T00:00", "2027-03-01T00:00"),
        # The night that shows 02:30 twice is covered until the second, the one without it until the gap.
        (
            [{"weekdays": ["sat"], "from": "22:00", "to": "02:30"}],
            "Europe/Berlin",
            "2026-10-24T22:00",
            "2026-10-25T01:30",
        ),
        (
            [{"weekdays": ["sat"], "from": "22:00", "to": "02:30"}],
            "Europe/Berlin",
            "2026-03-28T22:00",
            "2026-03-29T01:00",
        ),
    ],
)
def test_covers(ranges: list[Any], zone: str, at: str, until: str | None) -> None:
    assert calendar(*ranges, timezone=zone).covering(utc(at)) == (utc(until) if until else None)


def test_a_calendar_that_never_ends_is_looked_at_again_next_year() -> None:
    always = calendar({"dates": "01-01/12-31"})
    at = utc("2026-06-01T00:00")
    end = always.covering(at)
    assert end is not None
    assert end >= at + timedelta(days=366)


class TestSeveralCalendars:
    at = utc("2026-06-01T12:00")
    short = calendar(
        {"from": "2026-06-01T12:00:00Z", "to": "2026-06-01T13:00:00Z"}, name="short", on_blackout="run_at_end"
    )
    long = calendar(
        {"from": "2026-06-01T12:00:00Z", "to": "2026-06-01T15:00:00Z"}, name="long", on_blackout="run_at_end"
    )
    skipping = calendar({"from": "2026-06-01T12:00:00Z", "to": "2026-06-01T12:30:00Z"}, name="skipping")

    def test_the_one_that_ends_last_counts(self) -> None:
        found = covering([self.short, self.long], self.at)
        assert found == Blackout("long", OnBlackout.RUN_AT_END, utc("2026-06-01T15:00"))

    def test_one_that_skips_goes_before(self) -> None:
        found = covering([self.long, self.skipping], self.at)
        assert found == Blackout("skipping", OnBlackout.SKIP, utc("2026-06-01T12:30"))

    def test_outside_of_all_there_is_none(self) -> None:
        assert covering([self.short, self.long, self.skipping], utc("2026-06-01T11:59")) is None
        assert covering([], self.at) is None


@pytest.mark.parametrize(
    ("ranges", "field"),
    [
        (None, "ranges"),
        ([], "ranges"),
        ([NIGHTS] * 101, "ranges"),
        (["mon"], "ranges[0]"),
        ([NIGHTS, {"from": "22:00"}], "ranges[1]"),
        ([{**NIGHTS, "dates": "12-24"}], "ranges[0]"),
        ([{"from": "2026-06-01", "to": "2026-06-02T00:00:00Z"}], "ranges[0].from"),
        ([{"from": "2026-06-01T00:00:00", "to": "2026-06-02T00:00:00Z"}], "ranges[0].from"),
        ([{"from": 5, "to": "2026-06-02T00:00:00Z"}], "ranges[0].from"),
        ([{"from": "9999-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z"}], "ranges[0].from"),
        ([{"from": "2026-06-02T00:00:00Z", "to": "2026-06-02T00:00:00Z"}], "ranges[0].to"),
        ([{**NIGHTS, "weekdays": []}], "ranges[0].weekdays"),
        ([{**NIGHTS, "weekdays": "mon"}], "ranges[0].weekdays"),
        ([{**NIGHTS, "weekdays": ["mo"]}], "ranges[0].weekdays"),
        ([{**NIGHTS, "weekdays": [["mon"]]}], "ranges[0].weekdays"),
        ([{**NIGHTS, "from": "24:00"}], "ranges[0].from"),
        ([{**NIGHTS, "to": "6:00"}], "ranges[0].to"),
        ([{**NIGHTS, "to": None}], "ranges[0].to"),
        ([{"dates": "13-01"}], "ranges[0].dates"),
        ([{"dates": "02-30"}], "ranges[0].dates"),
        ([{"dates": "12-24/12-26/12-28"}], "ranges[0].dates"),
        ([{"dates": 1224}], "ranges[0].dates"),
    ],
)
def test_names_what_is_wrong(ranges: Any, field: str) -> None:
    with pytest.raises(InvalidCalendar) as refused:
        parse_calendar("quiet", "UTC", "skip", ranges)
    assert refused.value.problems.keys() == {field}
    assert refused.value.problems[field].startswith(("must ", "has "))


def test_names_every_field() -> None:
    with pytest.raises(InvalidCalendar) as refused:
        parse_calendar("quiet", "Nope", "run", [{"dates": "x"}, {"dates": "y"}])
    assert refused.value.problems.keys() == {"timezone", "onBlackout", "ranges[0].dates", "ranges[1].dates"}
