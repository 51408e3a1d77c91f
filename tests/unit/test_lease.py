"""A worker's own view of its lease: it counts from when a beat was sent, and once over it is over for good."""

from __future__ import annotations

from datetime import timedelta

import pytest

from workers_app import lease
from workers_app.lease import Lease


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "now", lambda: made.now)
    return made


@pytest.fixture
def held(clock: Clock) -> Lease:
    return Lease(timedelta(seconds=10), timedelta(seconds=2))


class TestLease:
    def test_ends_a_margin_before_a_scheduler_may_say_so(self, held: Lease, clock: Clock) -> None:
        assert held.remaining == 8
        clock.now += 7.9
        assert held.running
        clock.now += 0.1
        assert not held.running
        assert held.remaining == 0

    def test_counts_from_the_moment_a_beat_was_sent(self, held: Lease, clock: Clock) -> None:
        clock.now += 5  # the answer took its time
        assert held.renew(1001.0)
        assert held.remaining == 4

    def test_does_not_take_an_old_beat_for_a_new_one(self, held: Lease, clock: Clock) -> None:
        clock.now += 3
        held.renew(1003.0)
        held.renew(1001.0)
        assert held.remaining == 8

    def test_never_runs_again_once_it_was_ended(self, held: Lease, clock: Clock) -> None:
        held.end()
        assert not held.renew(clock.now)
        assert (held.running, held.remaining) == (False, 0.0)

    def test_lets_a_beat_in_flight_renew_one_that_merely_ran_out(self, held: Lease, clock: Clock) -> None:
        """Running out is seen by the watchdog, which ends it; until then the answer of a young beat counts."""
        clock.now += 9
        assert not held.running
        assert held.renew(1008.0)
        assert held.running


class TestNow:
    def test_never_goes_back_and_counts_seconds(self) -> None:
        first = lease.now()
        assert 0 <= lease.now() - first < 5
