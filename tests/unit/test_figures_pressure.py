"""What the workload ``pressure`` makes of the lives of tasks and of the server's counters."""

from __future__ import annotations

import pytest

from tests.bench.pressure.figures import Counters, Totals, highest, recovered, within

#: Three tasks due at once, of which one ends late, and one that comes when that is over.
LIVES = [(1.0, 2.0), (1.0, 3.0), (1.0, 9.0), (10.0, 11.0)]


class TestHighest:
    def test_is_the_greatest_depth_between_two_moments(self) -> None:
        assert (highest(LIVES, 0.0, 20.0), highest(LIVES, 2.5, 20.0)) == (3, 2)

    def test_counts_what_was_there_before_and_stays(self) -> None:
        assert highest(LIVES, 4.0, 5.0) == 1

    def test_of_a_time_without_tasks_is_nothing(self) -> None:
        assert highest(LIVES, 9.2, 9.8) == highest([], 0.0, 1.0) == 0


class TestRecovered:
    @pytest.mark.parametrize(("normal", "seconds"), [(3, 0.0), (2, 0.5), (1, 1.5), (0, 7.5)])
    def test_is_when_the_depth_is_normal_for_the_first_time(self, normal: int, seconds: float) -> None:
        assert recovered(LIVES, 1.5, normal) == seconds

    def test_is_at_once_when_nothing_has_piled_up(self) -> None:
        assert recovered(LIVES, 9.5, 0) == 0.0
        assert recovered(LIVES, 0.5, 0) == 0.0


def test_a_latency_belongs_to_the_phase_in_which_its_task_was_due() -> None:
    assert within(LIVES, 1.0, 10.0) == [1.0, 2.0, 8.0]


class TestTotals:
    def test_are_what_was_counted_since_the_beginning_for_each_task(self) -> None:
        totals = Totals(Counters(wal=1_000, commits=10, changed=100, dead=7))
        totals.add(Counters(wal=3_000, commits=14, changed=130, dead=9))
        assert totals.per_task(10) == {"wal": 200, "commits": 0.4, "changed": 3, "dead": 9}

    def test_survive_a_crash_which_sets_the_statistics_back(self) -> None:
        totals = Totals(Counters(wal=0, commits=1_000, changed=1_000, dead=0))
        totals.add(Counters(wal=50, commits=1_010, changed=1_020, dead=0))
        totals.add(Counters(wal=100, commits=5, changed=10, dead=3))
        assert (totals.wal, totals.commits, totals.changed) == (100, 15, 30)
