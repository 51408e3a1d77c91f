"""What is decided of full queues without the database: who fits, how long a count holds, how long callers wait."""

from __future__ import annotations

import pytest

from tasks_app.bounds import HOLDS, LATEST, MOST_KEPT, Counts, Full, Room, Unbounded, retry_after

QUEUE = ("q", None)


class TestRoom:
    def test_takes_everything_where_nothing_is_bounded(self) -> None:
        room = Room({("other", None): 0}, {("other", None): 0})
        assert [room.take("q", key) for key in (None, "k")] == [None, None]

    def test_takes_as_many_as_there_is_room_for(self) -> None:
        room = Room({QUEUE: 2}, {QUEUE: 1})
        assert [room.take("q", None), room.take("q", "k")] == [None, Full("q", None, 2, 2)]

    def test_of_a_key_is_beside_that_of_its_queue(self) -> None:
        room = Room({QUEUE: 2, ("q", "k"): 1}, {QUEUE: 0, ("q", "k"): 0})
        took = [room.take("q", key) for key in ("k", "k", "l", None)]
        assert took == [None, Full("q", "k", 1, 1), None, Full("q", None, 2, 2)]

    def test_that_is_refused_by_one_bound_takes_nothing_of_the_other(self) -> None:
        room = Room({QUEUE: 1, ("q", "k"): 0}, {QUEUE: 0, ("q", "k"): 0})
        assert room.take("q", "k") == Full("q", "k", 0, 0)
        assert room.take("q", None) is None

    def test_is_none_where_more_wait_already(self) -> None:
        assert Room({QUEUE: 2}, {QUEUE: 3}).take("q", None) == Full("q", None, 2, 3)


class TestFull:
    @pytest.mark.parametrize(
        ("full", "text", "field"),
        [
            (Full("q", None, 1000, 1000), "queue q is full: 1,000 tasks wait, and its maxWaiting is 1,000", "queue"),
            (Full("q", None, 5, 6), "queue q is full: more than 5 tasks wait, and its maxWaiting is 5", "queue"),
            (
                Full("q", "k", 0, 0),
                "concurrency key k of queue q is full: 0 tasks wait, and its perKey.maxWaiting is 0",
                "concurrencyKey",
            ),
        ],
    )
    def test_says_what_is_full_and_by_which_field(self, full: Full, text: str, field: str) -> None:
        assert (str(full), full.field) == (text, field)


class TestCounts:
    def test_hold_as_many_times_as_long_as_they_took(self) -> None:
        counts = Counts()
        counts.note(QUEUE, 5000, 7, took=0.5, now=100.0)
        assert counts.known(QUEUE, 5000, 100.0 + HOLDS * 0.5 - 0.01) == 7
        assert counts.known(QUEUE, 5000, 100.0 + HOLDS * 0.5) is None
        assert counts.known(("q", "k"), 5000, 100.0) is None
        assert [counts.holds(QUEUE, now) for now in (100.0, 109.9, 110.0)] == [True, True, False]

    def test_grow_by_what_was_let_in(self) -> None:
        counts = Counts()
        counts.add(QUEUE, 3)
        assert counts.known(QUEUE, 5000, 0.0) is None
        counts.note(QUEUE, 5000, 7, took=1.0, now=0.0)
        counts.add(QUEUE, 3)
        assert counts.known(QUEUE, 5000, 1.0) == 10

    def test_that_stopped_at_a_bound_say_nothing_of_a_higher_one(self) -> None:
        counts = Counts()
        counts.note(QUEUE, 5000, 5001, took=1.0, now=0.0)
        assert counts.known(QUEUE, 4000, 1.0) == counts.known(QUEUE, 5000, 1.0) == 5001
        assert counts.known(QUEUE, 6000, 1.0) is None

    def test_are_not_kept_without_end(self) -> None:
        counts = Counts()
        for number in range(MOST_KEPT + 1):
            counts.note((f"q{number}", None), 1, 0, took=1.0, now=0.0)
        assert counts.known(("q0", None), 1, 0.0) is None
        assert counts.known((f"q{MOST_KEPT}", None), 1, 0.0) == 0


class TestUnbounded:
    def test_holds_for_a_second_from_when_somebody_asked(self) -> None:
        known = Unbounded()
        known.note("q", 100.0)
        assert (known.holds("q", 100.9), known.holds("q", 101.0), known.holds("r", 100.0)) == (True, False, False)
        known.forget("q")
        known.forget("r")
        assert not known.holds("q", 100.0)

    def test_is_not_kept_without_end(self) -> None:
        known = Unbounded()
        for number in range(MOST_KEPT + 1):
            known.note(f"q{number}", 0.0)
        assert (known.holds("q0", 0.0), known.holds(f"q{MOST_KEPT}", 0.0)) == (False, True)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("refused", "ended", "ended_in", "seconds"),
        [
            (1, 0, 60.0, LATEST),
            (1, 60, 60.0, 1),
            (5, 60, 60.0, 5),
            (1, 4, 60.0, 15),
            (10**9, 1, 60.0, LATEST),
            (1, 7, 60.0, 9),
            (1, 2000, 0.001, 1),
        ],
    )
    def test_is_when_as_many_have_ended_at_this_pace(
        self, refused: int, ended: int, ended_in: float, seconds: int
    ) -> None:
        assert retry_after(refused, ended, ended_in) == seconds
