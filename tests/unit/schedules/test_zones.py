"""Zones as stretches of constant offset; what is no zone; new rules under a running system."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from schedules_app import zones
from schedules_app.zones import Segment, UnknownZone, zone

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


class TestSegments:
    @pytest.mark.parametrize(
        ("name", "change", "before", "after"),
        [
            ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC), 1, 2),
            ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC), 2, 1),
            ("Europe/Dublin", datetime(2026, 10, 25, 1, tzinfo=UTC), 1, 0),
            ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC), 11, 10.5),
            ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC), 1, 0),
            ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC), -10, 14),
            ("Europe/Volgograd", datetime(2020, 12, 26, 22, tzinfo=UTC), 4, 3),
        ],
    )
    def test_end_where_the_offset_changes(self, name: str, change: datetime, before: float, after: float) -> None:
        last, first = zone(name).segment_at(change - timedelta(seconds=1)), zone(name).segment_at(change)
        assert (last.end, last.offset, last.after) == (change, hours(before), hours(after))
        assert (first.start, first.before, first.offset) == (change, hours(before), hours(after))

    def test_end_with_the_year_where_nothing_changes(self) -> None:
        segment = zone("Asia/Tokyo").segment_at(NOW)
        start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
        assert segment == Segment(start, end, hours(9), hours(9), hours(9))

    @pytest.mark.parametrize(
        ("name", "year", "changes"),
        [
            ("America/Boa_Vista", 2000, 3),
            ("America/Noronha", 2000, 3),
            ("Asia/Gaza", 2040, 4),
            ("Asia/Hebron", 2053, 4),
        ],
    )
    def test_that_last_a_week_are_found(self, name: str, year: int, changes: int) -> None:
        """The shortest there are: none is shorter than the stride of the search."""
        at, found = datetime(year, 1, 1, tzinfo=UTC), 0
        while at.year == year:
            segment = zone(name).segment_at(at)
            at, found = segment.end, found + (segment.offset != segment.after)
            assert segment.end - segment.start > zones._STRIDE or segment.end.year > year
        assert found == changes

    def test_of_centuries_are_not_kept(self) -> None:
        berlin = zone("Europe/Berlin")
        for year in range(1971, 2400):
            berlin.segment_at(datetime(year, 7, 1, tzinfo=UTC))
        assert len(berlin._years) <= zones._YEARS_KEPT

    def test_no_clock_is_put_back_within_two_days_of_the_end_of_a_year(self) -> None:
        """`expansion` leaves out stretches without a match, and relies on this where a year is cut."""
        for name in zoneinfo.available_timezones():
            info = zoneinfo.ZoneInfo(name)
            for year in range(2020, 2038):
                cut = datetime(year, 1, 1, tzinfo=UTC)
                here, later = cut.astimezone(info).utcoffset(), (cut + timedelta(days=2)).astimezone(info).utcoffset()
                assert here is not None and later is not None and here <= later, (name, year)


class TestInstants:
    def test_of_a_wall_clock_shown_once(self) -> None:
        at = datetime(2026, 6, 1, 10, tzinfo=UTC)
        assert zone("Europe/Berlin").instants(datetime(2026, 6, 1, 12)) == (at, at)

    def test_of_one_shown_twice(self) -> None:
        first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        assert zone("Europe/Berlin").instants(datetime(2026, 10, 25, 2, 30)) == (first, first + hours(1))

    @pytest.mark.parametrize(
        ("name", "local", "opens"),
        [
            ("Europe/Berlin", datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 29, 1, tzinfo=UTC)),
            ("Pacific/Apia", datetime(2011, 12, 30, 0, 0), datetime(2011, 12, 30, 10, tzinfo=UTC)),
            ("Pacific/Apia", datetime(2011, 12, 30, 23, 59), datetime(2011, 12, 30, 10, tzinfo=UTC)),
        ],
    )
    def test_of_one_never_shown_is_where_the_gap_opens(self, name: str, local: datetime, opens: datetime) -> None:
        assert zone(name).instants(local) == (opens, opens)


@pytest.mark.parametrize(
    "name",
    [
        *("", "Nope", "Europe/Nowhere", "America", "../../etc/passwd", "/etc/localtime", "localtime", "posixrules"),
        *("right/UTC", "posix/UTC", "Factory", "Europe/Berlin\n", "Europe//Berlin", "x" * 5000, "Zürich", "tzdata.zi"),
    ],
)
def test_refuses_what_is_no_zone_or_another_on_each_host(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)


class TestNewRules:
    """Zone data replaced under a running system."""

    @pytest.fixture
    def rules(self, tmp_path: Path) -> Iterator[Path]:
        """A zone directory whose Test/Town follows Berlin, until the test says otherwise."""
        for name, source in (("Test/Town", "Berlin"), ("Europe/Athens", "Athens"), ("Europe/Paris", "Paris")):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(resources.files("tzdata.zoneinfo.Europe").joinpath(source).read_bytes())
        zoneinfo.reset_tzpath([tmp_path])
        zones.forget()
        yield tmp_path
        zoneinfo.reset_tzpath()
        zones.forget()

    def test_are_seen_within_a_minute(self, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = zone("Test/Town")
        old_fingerprint = old.fingerprint(NOW)
        (rules / "Europe/Athens").replace(rules / "Test/Town")
        assert zone("Test/Town") is old
        monkeypatch.setattr(zones, "REREAD_AFTER_SECONDS", 0.0)
        new = zone("Test/Town")
        assert new.fingerprint(NOW) != old_fingerprint
        assert new.segment_at(NOW).offset == hours(3)

    def test_that_say_the_same_change_nothing(self, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        old = zone("Test/Town")
        fingerprint = old.fingerprint(NOW)
        (rules / "Europe/Paris").replace(rules / "Test/Town")
        monkeypatch.setattr(zones, "REREAD_AFTER_SECONDS", 0.0)
        assert zone("Test/Town") is old
        assert zone("Test/Town").fingerprint(NOW) == fingerprint

    def test_fingerprint_is_that_of_the_rules_not_of_the_name(self) -> None:
        assert zone("Europe/Paris").fingerprint(NOW) == zone("Europe/Berlin").fingerprint(NOW)
        assert zone("Europe/Paris").fingerprint(NOW) != zone("Africa/Algiers").fingerprint(NOW)
