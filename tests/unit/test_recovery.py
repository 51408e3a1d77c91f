"""When an observer may say that a worker is dead: never earlier than one lease of unchanged beats on its own clock."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from workers_app.recovery import FailureDetector

A, B = uuid4(), uuid4()


@pytest.fixture
def detector() -> FailureDetector:
    return FailureDetector(timedelta(seconds=10))


class TestFailureDetector:
    def test_accuses_nobody_at_first_sight(self, detector: FailureDetector) -> None:
        assert detector.observe({A: 7}, epoch=1, now=1_000_000.0) == {}

    def test_returns_the_beat_a_worker_stopped_at_after_a_whole_lease(self, detector: FailureDetector) -> None:
        detector.observe({A: 7}, epoch=1, now=100.0)
        assert detector.observe({A: 7}, epoch=1, now=109.999) == {}
        assert detector.observe({A: 7}, epoch=1, now=110.0) == {A: 7}

    def test_begins_again_with_every_beat(self, detector: FailureDetector) -> None:
        for now, beat in [(100.0, 7), (109.0, 8), (118.0, 9), (127.0, 9)]:
            assert detector.observe({A: beat}, epoch=1, now=now) == {}
        assert detector.observe({A: 9}, epoch=1, now=128.0) == {A: 9}

    def test_takes_a_beat_that_went_back_for_a_sign_of_life(self, detector: FailureDetector) -> None:
        """After a failover to a standby that lags, a counter may go back: whoever writes it lives."""
        detector.observe({A: 7}, epoch=1, now=100.0)
        assert detector.observe({A: 6}, epoch=1, now=110.0) == {}

    def test_forgets_everything_when_its_session_broke(self, detector: FailureDetector) -> None:
        detector.observe({A: 7}, epoch=1, now=100.0)
        assert detector.observe({A: 7}, epoch=2, now=200.0) == {}
        assert detector.observe({A: 7}, epoch=2, now=209.9) == {}
        assert detector.observe({A: 7}, epoch=2, now=210.0) == {A: 7}

    def test_forgets_a_worker_that_was_not_live_for_a_moment(self, detector: FailureDetector) -> None:
        detector.observe({A: 7}, epoch=1, now=100.0)
        detector.observe({}, epoch=1, now=105.0)
        assert detector.watched == 0
        assert detector.observe({A: 7}, epoch=1, now=110.0) == {}

    def test_judges_each_worker_by_itself(self, detector: FailureDetector) -> None:
        detector.observe({A: 1}, epoch=1, now=100.0)
        detector.observe({A: 1, B: 1}, epoch=1, now=105.0)
        assert detector.observe({A: 1, B: 1}, epoch=1, now=110.0) == {A: 1}
        assert detector.observe({A: 1, B: 1}, epoch=1, now=115.0) == {A: 1, B: 1}

    def test_says_so_again_until_the_worker_is_gone(self, detector: FailureDetector) -> None:
        detector.observe({A: 1}, epoch=1, now=100.0)
        assert detector.observe({A: 1}, epoch=1, now=111.0) == {A: 1}
        assert detector.observe({A: 1}, epoch=1, now=112.0) == {A: 1}
        assert detector.observe({}, epoch=1, now=113.0) == {}

    def test_counts_from_what_it_saw_not_from_how_often_it_looked(self, detector: FailureDetector) -> None:
        """A scheduler that was frozen comes back with one old look; the look after that is what counts."""
        seen: dict[UUID, int] = {A: 5}
        detector.observe(seen, epoch=1, now=100.0)
        assert detector.observe({A: 6}, epoch=1, now=500.0) == {}
        assert detector.observe({A: 6}, epoch=1, now=509.0) == {}


class TestShortcut:
    """Three conditions at once: the session is a lease old, the lock was seen held over it, and it is free."""

    @pytest.fixture
    def detector(self) -> FailureDetector:
        return FailureDetector(timedelta(seconds=10), shortcut=timedelta(seconds=3))

    def test_is_taken_when_a_lock_seen_held_is_free(self, detector: FailureDetector) -> None:
        for now, beat in [(100.0, 1), (110.0, 2)]:
            detector.observe({A: beat, B: beat}, epoch=1, now=now, holders=[A, B])
        assert detector.observe({A: 2, B: 2}, epoch=1, now=112.9, holders=[B]) == {}
        assert detector.observe({A: 2, B: 2}, epoch=1, now=113.0, holders=[B]) == {A: 2}

    def test_is_not_taken_while_the_lock_is_held(self, detector: FailureDetector) -> None:
        for now in (100.0, 110.0):
            detector.observe({A: int(now)}, epoch=1, now=now, holders=[A])
        assert detector.observe({A: 110}, epoch=1, now=119.9, holders=[A]) == {}
        assert detector.observe({A: 110}, epoch=1, now=120.0, holders=[A]) == {A: 110}

    def test_is_not_taken_for_a_lock_that_was_never_seen(self, detector: FailureDetector) -> None:
        """Wake-ups may be off there, or its connection may lead through a pooler."""
        for now in (100.0, 110.0, 119.0):
            assert detector.observe({A: 1 if now < 110 else 2}, epoch=1, now=now) == {}

    def test_is_not_taken_over_a_session_younger_than_a_lease(self, detector: FailureDetector) -> None:
        """After a restart of the database every worker is without its lock for a while."""
        detector.observe({A: 1}, epoch=1, now=50.0, holders=[A])
        detector.observe({A: 1}, epoch=2, now=100.0, holders=[A])
        assert detector.observe({A: 1}, epoch=2, now=109.9) == {}

    def test_forgets_with_its_session_who_held_a_lock(self, detector: FailureDetector) -> None:
        detector.observe({A: 1}, epoch=1, now=50.0, holders=[A])
        detector.observe({A: 1}, epoch=2, now=100.0)
        detector.observe({A: 2}, epoch=2, now=115.0)
        assert detector.observe({A: 2}, epoch=2, now=119.0) == {}

    def test_is_off_unless_it_is_asked_for(self) -> None:
        detector = FailureDetector(timedelta(seconds=10))
        for now in (100.0, 110.0):
            detector.observe({A: int(now)}, epoch=1, now=now, holders=[A])
        assert detector.observe({A: 110}, epoch=1, now=119.9) == {}
