"""That ids sort by the time they were made in, whoever makes how many of them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from access_app import ids
from access_app.ids import created_at, derived_id, lowest_id, new_task_id, new_task_ids

MILLISECOND = timedelta(milliseconds=1)


class TestNewTaskIds:
    def test_are_uuids_of_version_7(self) -> None:
        assert {(made.version, made.variant) for made in new_task_ids(5000)} == {(7, RFC_4122)}

    def test_rise_within_a_call_and_from_call_to_call(self) -> None:
        made = [*new_task_ids(5000), new_task_id(), *new_task_ids(3)]
        assert made == sorted(set(made))

    def test_rise_for_every_thread_and_are_never_given_twice(self) -> None:
        ready = threading.Barrier(8)
        made: list[list[UUID]] = [[] for _ in range(8)]

        def make(mine: list[UUID]) -> None:
            ready.wait(5)
            for count in range(1, 60):
                mine.extend(new_task_ids(count))

        threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(mine == sorted(mine) for mine in made)
        assert len(set().union(*made)) == sum(map(len, made))
        # A tie within a process is counted on in the bits of the time, so no two ids differ in their noise alone.
        assert len({made.int >> 64 for made in set().union(*made)}) == sum(map(len, made))

    def test_still_rise_when_the_clock_is_set_back_a_little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before, now = new_task_id(), time.time_ns()
        monkeypatch.setattr(ids.time, "time_ns", lambda: now - 59_000_000_000)
        assert before < new_task_id() < new_task_id()

    def test_follow_a_clock_that_was_years_ahead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = time.time_ns()
        with monkeypatch.context() as wrong:
            wrong.setattr(ids.time, "time_ns", lambda: now + 10**17)
            assert created_at(new_task_id()) > datetime.now(UTC) + timedelta(days=1000)
        assert abs(created_at(new_task_id()) - datetime.now(UTC)) < timedelta(seconds=5)

    def test_differ_in_62_random_bits(self) -> None:
        noise = [made.int & (1 << 62) - 1 for made in new_task_ids(1000)]
        assert len(set(noise)) == 1000
        assert 0 < sum(n >> 61 for n in noise) < 1000

    def test_of_none_are_none(self) -> None:
        assert new_task_ids(0) == []


class TestCreatedAt:
    def test_is_the_instant_the_id_was_made_to_the_millisecond(self) -> None:
        before = datetime.now(UTC)
        made = created_at(new_task_id())
        assert before - MILLISECOND <= made <= datetime.now(UTC) + MILLISECOND
        assert made.microsecond % 1000 == 0

    def test_is_right_beyond_the_days_of_32_bit_seconds(self) -> None:
        late = datetime(2999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
        assert created_at(lowest_id(late)) == late


class TestLowestId:
    def test_bounds_the_ids_of_its_millisecond_from_below(self) -> None:
        made = new_task_id()
        assert lowest_id(created_at(made)) < made < lowest_id(created_at(made) + MILLISECOND)

    def test_rounds_down_within_a_millisecond(self) -> None:
        instant = datetime(2024, 1, 1, 0, 0, 0, 500, tzinfo=UTC)
        assert lowest_id(instant) == lowest_id(instant + timedelta(microseconds=499))

    @pytest.mark.parametrize("year", [1, 1969, 9999])
    def test_stays_a_uuid_for_any_date(self, year: int) -> None:
        assert lowest_id(datetime(year, 1, 1, tzinfo=UTC)) <= lowest_id(datetime(9999, 12, 31, tzinfo=UTC))


class TestDerivedId:
    def test_is_the_same_for_a_name_and_an_instant_and_no_other(self) -> None:
        at = datetime(2030, 1, 31, 12, tzinfo=UTC)
        names = {derived_id(at, name) for name in ("a", "b", "a b", "")}
        assert (derived_id(at, "a") in names, len(names)) == (True, 4)
        assert derived_id(at + timedelta(milliseconds=1), "a") not in names
        assert all((each.version, each.variant, created_at(each)) == (7, RFC_4122, at) for each in names)
