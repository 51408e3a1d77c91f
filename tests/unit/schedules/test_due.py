"""Due moments: jitter is stable and keeps the order of slots; a change of zone rules runs no wall clock twice."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules_app.due import Upcoming, due_slots, jitter, look, next_due
from schedules_app.effort import Effort
from schedules_app.recurrence import Definition, DstFold, parse
from tests.support.costs import cpu_seconds

SCHEDULE = UUID("0193a000-0000-7000-8000-000000000001")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class TestJitter:
    def test_is_the_same_each_time(self) -> None:
        # A stored next_fire_at and a later release must agree: this number is for ever.
        assert jitter(SCHEDULE, NOON, timedelta(minutes=10)) == timedelta(seconds=38.902188)

    @given(
        st.uuids(), st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)), st.integers(1, 3600)
    )
    def test_lies_within_the_spread(self, schedule: UUID, at: datetime, seconds: int) -> None:
        delay = jitter(schedule, at.replace(tzinfo=UTC), timedelta(seconds=seconds))
        assert timedelta(0) <= delay < timedelta(seconds=seconds)

    def test_spreads_slots_and_schedules_evenly(self) -> None:
        for delays in (
            [jitter(SCHEDULE, NOON + timedelta(minutes=n), timedelta(seconds=10)) for n in range(2000)],
            [jitter(UUID(int=n), NOON, timedelta(seconds=10)) for n in range(2000)],
        ):
            counted = Counter(int(delay.total_seconds()) for delay in delays)
            assert set(counted) == set(range(10))
            assert max(counted.values()) < 2 * min(counted.values())

    def test_never_reaches_the_next_slot(self) -> None:
        every_second = parse(Definition(interval_seconds=1, anchor=NOON))
        window = look(every_second, NOON, NOON + timedelta(seconds=60))
        due, following = due_slots(SCHEDULE, timedelta(hours=1), window, NOON + timedelta(seconds=60))
        assert following is not None
        moments = [each.at for each in (*due, following)]
        assert moments == sorted(moments)
        assert all(each.at - each.slot.at < timedelta(seconds=1) for each in (*due, following))


class TestNextDue:
    @pytest.mark.parametrize(("cron", "expected"), [("30 2 * * *", "06-03 02:30"), ("*/30 * * * *", "06-01 12:30")])
    def test_fixed_times_lie_after_the_last_wall_clock(self, cron: str, expected: str) -> None:
        """Under new rules 2 June 02:30 would come once more; elapsed time does not care."""
        recurrence = parse(Definition(cron=cron, anchor=NOON))
        due = next_due(SCHEDULE, recurrence, timedelta(0), after=NOON, after_local=datetime(2026, 6, 2, 2, 30))
        assert due is not None
        assert f"{due.at:%m-%d %H:%M}" == expected

    def test_ends(self) -> None:
        recurrence = parse(Definition(cron="0 0 * * *", anchor=NOON, end_at=NOON))
        assert next_due(SCHEDULE, recurrence, timedelta(0), after=NOON) is None


class TestLook:
    def test_a_year_of_seconds_is_looked_at_in_milliseconds(self) -> None:
        recurrence = parse(
            Definition(cron="* * * * * *", timezone="Europe/Berlin", anchor=NOON, dst_fold=DstFold.TWICE)
        )
        year = (recurrence, NOON, NOON + timedelta(days=365))
        assert cpu_seconds(lambda: look(*year), enough=0.15, before=look.cache_clear) < 0.15
        window = look(*year)
        assert window.older is not None
        assert window.older[1].at + timedelta(seconds=1) == window.slots[0].at
        assert len(window.slots) == 100


class TestUpcoming:
    @settings(deadline=None)
    @given(
        st.sampled_from(["* * * * *", "*/20 * * * * *", "30 2 * * *", "0 0 29 2 *", "@hourly"]),
        st.sampled_from(["UTC", "Europe/Berlin"]),
        st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 20_000)), max_size=12),
    )
    def test_returns_as_looks_do(self, cron: str, zone: str, steps: list[tuple[int, int]]) -> None:
        """Also behind a stretch with too many slots to look at one by one."""
        recurrence = parse(Definition(cron=cron, timezone=zone, anchor=NOON))
        upcoming = Upcoming(recurrence, Effort(10**9), after=NOON - timedelta(seconds=1))
        first = now = NOON
        for later, further in steps:
            first, now = max(first, now - timedelta(seconds=further)), now + timedelta(seconds=later)
            assert upcoming.window(first, now) == look(recurrence, first, now)

    def test_ends(self) -> None:
        recurrence = parse(Definition(rrule="FREQ=DAILY;COUNT=2", anchor=NOON))
        upcoming = Upcoming(recurrence, Effort(), after=NOON - timedelta(seconds=1))
        days = [NOON + timedelta(days=n) for n in range(3)]
        windows = [upcoming.window(day, day) for day in days]
        assert [(len(each.slots), len(each.following)) for each in windows] == [(1, 1), (1, 0), (0, 0)]
