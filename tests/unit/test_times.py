"""Instants: what is read as one, and how it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from access_app.http.times import parse_instant, show_instant


class TestParseInstant:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
            ("2030-01-31t12:00:00z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
            ("2030-01-31T12:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
            ("2030-01-31T12:00:00.5Z", datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
            ("2030-01-31T12:00:00,25Z", datetime(2030, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)),
            ("2030-01-31T12:00:00.123456789Z", datetime(2030, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
            ("2030-01-31T12:00:00+05:45", datetime(2030, 1, 31, 6, 15, tzinfo=UTC)),
            ("2030-01-31T12:00:00-0330", datetime(2030, 1, 31, 15, 30, tzinfo=UTC)),
            ("2030-01-31T12:00:00+02", datetime(2030, 1, 31, 10, tzinfo=UTC)),
            ("9999-12-31T23:59:59.999999+00:00", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ],
    )
    def test_reads_iso_8601_with_a_zone_as_utc(self, text: str, instant: datetime) -> None:
        assert parse_instant(text) == instant
        assert parse_instant(text).tzinfo is UTC

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "2030-01-31",
            "2030-01-31 12:00:00Z",
            "2030-W05-4T12:00:00Z",
            "20300131T120000Z",
            "2030-1-31T12:00:00Z",
            "2030-02-30T12:00:00Z",
            "2030-01-31T24:00:00Z",
            "2030-01-31T12:60:00Z",
            "2030-01-31T12:00:60Z",
            "2030-01-31T12:00:00+24:00",
            "2030-01-31T12:00:00+00:00:30",
            "2030-01-31T12:00:00 Z",
            "2030-01-31T12:00:00Z\n",
            "+2030-01-31T12:00:00Z",
            "10000-01-01T00:00:00Z",
            "\u0662030-01-31T12:00:00Z",
            "0000-01-01T00:00:00Z",
            None,
            1893456000,
            1.5,
            True,
            [],
            {},
        ],
    )
    def test_refuses_everything_else(self, text: object) -> None:
        with pytest.raises(ValueError, match=r"ISO 8601|has no such"):
            parse_instant(text)

    def test_says_that_the_zone_is_missing(self) -> None:
        with pytest.raises(ValueError, match="zone"):
            parse_instant("2030-01-31T12:00:00")

    @pytest.mark.parametrize("text", ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"])
    def test_refuses_what_utc_cannot_hold(self, text: str) -> None:
        with pytest.raises(ValueError, match="years 1 to 9999"):
            parse_instant(text)


class TestShowInstant:
    def test_always_writes_microseconds_and_z(self) -> None:
        assert show_instant(datetime(2030, 1, 31, 12, tzinfo=UTC)) == "2030-01-31T12:00:00.000000Z"
        assert show_instant(datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000001Z"
        assert show_instant(None) is None

    def test_is_read_back_as_the_same_instant(self) -> None:
        instant = datetime(2030, 1, 31, 12, 0, 0, 42, tzinfo=UTC)
        assert parse_instant(show_instant(instant)) == instant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2027-02-29T00:00:00Z", "has no such day: February 2027 has 28 days"),
        ("2027-04-31T00:00Z", "has no such day: April 2027 has 30 days"),
        ("2027-13-01T00:00:00Z", "has no such month: they are 01 to 12"),
        ("0000-01-01T00:00:00Z", "has no such year: the first is 0001"),
        ("2027-01-01T24:00:00Z", "has no such hour: midnight is 00:00 of the next day"),
        ("2027-01-01T23:59:60Z", "has no such time of day: the last is 23:59:59"),
        ("2027-01-01T12:60:00Z", "has no such time of day: the last is 23:59:59"),
        ("2027-02-29", "must be an ISO 8601 time with a zone, such as 2030-01-31T12:00:00Z"),
    ],
)
def test_a_time_that_there_is_not_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_instant(text)
    assert str(refused.value) == says
