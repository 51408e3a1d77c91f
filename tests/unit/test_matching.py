"""Who gets what in a pass, decided without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from flow_app.matching import Candidate, Key, KeyName, Match, Room, match
from flow_app.rooms import room_for

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def task(number: int, **columns: object) -> Candidate:
    """A candidate that fell due ``number`` seconds after noon."""
    usual = Candidate(UUID(int=number), "default", 0, NOON + timedelta(seconds=number), None, False)
    return usual._replace(**columns)  # type: ignore[arg-type]


def free(*firsts: Candidate, most: int = 1, slots: Sequence[int] = ()) -> Key:
    """A key that these may have next, and that as many hold as it has slots taken."""
    return Key(most, [UUID(int=900 + slot) for slot in slots], list(slots), list(firsts))


def worker(number: int, **columns: object) -> Room:
    usual = Room(UUID(int=number), None, 4, 4, 0, 0, 1000, None, "-infinity")
    changed = usual._replace(**columns)  # type: ignore[arg-type]
    return changed if "capacity" in columns else changed._replace(capacity=changed.slots)


def matched(
    workers: Sequence[Room], candidates: Sequence[Candidate], k: Key | None = None, *, limit: int = 1000
) -> tuple[Match, list[tuple[int, int]]]:
    """What came of it, and who got what, by numbers. ``k`` is the key of that name, of every queue."""
    names: dict[KeyName, Key] = {(each.queue, "k"): k for each in candidates if each.concurrency_key and k}
    found = match(workers, candidates, names, limit)
    return found, [(t.int, w.int) for t, w in zip(found.tasks, found.workers, strict=True)]


class TestMatch:
    def test_of_nothing_is_nothing(self) -> None:
        assert matched([], [task(1)])[0] == Match()
        assert matched([worker(1)], [])[0] == Match(room=4)

    def test_goes_by_priority_then_due_time_then_id(self) -> None:
        same = task(5)
        late, twin, early, urgent = task(9), task(6, run_at=same.run_at), task(1), task(8, priority=1)
        _, given = matched([worker(1, slots=3)], [late, twin, same, early, urgent])
        assert [number for number, _ in given] == [8, 1, 5]

    def test_gives_no_worker_more_than_its_capacity(self) -> None:
        rooms = [worker(1, slots=2, taken=1), worker(2, slots=1, capacity=3, taken=1), worker(3, taken=4)]
        found, given = matched(rooms, [task(n) for n in range(9)])
        assert Counter(w for _, w in given) == {1: 1, 2: 2}
        assert found.room == 0

    def test_fills_free_slots_before_prefetch_level_by_level(self) -> None:
        rooms = [worker(1, slots=2, capacity=9, taken=1), worker(2, slots=3, capacity=9, taken=1)]
        _, given = matched(rooms, [task(n) for n in range(7)])
        assert [w for _, w in given] == [1, 2, 2, 1, 1, 2, 1]

    def test_stops_at_its_limit_and_reports_no_room(self) -> None:
        found, given = matched([worker(1, slots=9)], [task(n) for n in range(9)], limit=3)
        assert (len(given), found.room) == (3, 0)
        limited = worker(1, slots=9, limits='{"queue": {"default": 8}}')
        found, given = matched([limited], [task(n) for n in range(9)], limit=3)
        assert (len(given), found.room) == (3, 0)

    def test_reports_the_room_that_is_left(self) -> None:
        assert matched([worker(1, slots=9), worker(2, queues=["other"])], [task(1)])[0].room == 12

    def test_lets_queues_take_turns_and_the_one_that_waited_longest_begin(self) -> None:
        loud = [task(n, queue="loud", priority=100) for n in range(10, 20)]
        quiet = [task(n, queue="quiet") for n in (5, 30)]
        _, given = matched([worker(1)], loud + quiet)
        assert [number for number, _ in given] == [5, 10, 11, 30]

    def test_holds_a_queue_to_its_share(self) -> None:
        """Beyond it lies what was not locked: tasks of a higher priority, perhaps."""
        tasks = [task(n, queue="a", priority=n) for n in range(4)] + [task(9, queue="b")]
        found, given = matched([worker(1, slots=4, share=2)], tasks)
        assert {number for number, _ in given} == {3, 2, 9}
        assert found.room == 1

    def test_holds_also_the_only_queue_to_its_share(self) -> None:
        _, given = matched([worker(1, share=2)], [task(n) for n in range(3)])
        assert [number for number, _ in given] == [0, 1]

    def test_gives_a_worker_nothing_of_a_queue_it_does_not_serve(self) -> None:
        found, given = matched([worker(1, queues=["a"])], [task(1, queue="b"), task(2, queue="a")])
        assert given == [(2, 1)]
        assert found.room == 3

    def test_serves_workers_of_named_queues_first(self) -> None:
        rooms = [worker(1, slots=1), worker(2, slots=1, queues=["a", "b"]), worker(3, slots=1, queues=["a"])]
        _, given = matched(rooms, [task(1, queue="a"), task(2, queue="b"), task(3, queue="c")])
        assert given == [(1, 3), (2, 2), (3, 1)]

    def test_gives_nothing_twice_to_workers_of_different_queues(self) -> None:
        rooms = [worker(1), worker(2, queues=["a"])]
        keyed = task(7, queue="a", concurrency_key="k")
        _, given = matched(rooms, [task(1, queue="a"), keyed], free(keyed))
        assert given == [(1, 2), (7, 2)]

    def test_gives_a_suspect_to_a_worker_without_one_and_the_rest_to_others(self) -> None:
        rooms = [worker(1, slots=2, suspects=1, taken=1), worker(2, slots=2)]
        suspects = [task(n, suspect=True) for n in (1, 2, 3)]
        found, given = matched(rooms, [*suspects, task(8), task(9)])
        assert given == [(1, 2), (8, 1), (9, 2)]
        assert found.room == 0

    def test_gives_no_two_suspects_to_one_worker(self) -> None:
        _, given = matched([worker(1)], [task(n, suspect=True) for n in (1, 2)])
        assert given == [(1, 1)]

    def test_serves_suspects_in_one_line_of_their_own(self) -> None:
        rooms = [worker(1, slots=1)]
        _, given = matched(rooms, [task(2, suspect=True), task(1, suspect=True, queue="a"), task(0)])
        assert given == [(1, 1)]


class TestLimits:
    def test_hold_over_all_priorities_and_workers(self) -> None:
        rooms = [
            worker(1, limits='{"queue": {"default": 2}}'),
            worker(2, queues=["default"], limits='{"queue": {"default": 2}}'),
        ]
        found, given = matched(rooms, [task(1), task(2, priority=1), task(3, priority=2)])
        assert given == [(3, 2), (2, 2)]
        assert found.limits == {("queue", "default"): 0}

    def test_hold_for_suspects_and_others_together(self) -> None:
        tasks = [task(1, suspect=True), task(2, suspect=True), task(3), task(4)]
        _, given = matched([worker(1, limits='{"queue": {"default": 2}}'), worker(2)], tasks)
        assert given == [(1, 1), (2, 2)]

    def test_leave_openings_to_other_queues(self) -> None:
        _, given = matched([worker(1, limits='{"queue": {"a": 0}}')], [task(1, queue="a"), task(2, queue="b")])
        assert given == [(2, 1)]


class TestRates:
    RATE = '{"rate": {"a": 3}}'

    def test_are_for_free_slots_and_leave_prefetch_to_others(self) -> None:
        tasks = [*(task(number, queue="a") for number in range(1, 4)), task(4, queue="b")]
        found, given = matched([worker(1, slots=1, capacity=4, limits=self.RATE)], tasks)
        assert sorted(given) == [(1, 1), (4, 1)]
        assert found.charged == [(UUID(int=1), ("rate", "a"))]

    def test_give_suspects_no_prefetch_either(self) -> None:
        suspects = [task(1, queue="a", suspect=True)]
        assert matched([worker(1, slots=1, capacity=4, taken=1, limits=self.RATE)], suspects)[1] == []
        assert matched([worker(1, slots=1, capacity=4, taken=0, limits=self.RATE)], suspects)[1] == [(1, 1)]

    def test_charge_no_other_queue(self) -> None:
        assert matched([worker(1, limits=self.RATE)], [task(1, queue="b")])[0].charged == []


class TestKeys:
    KEYED = (task(1, concurrency_key="k"), task(2, concurrency_key="k"), task(3))

    def test_let_their_first_task_run_whichever_it_is(self) -> None:
        first = task(77, run_at=NOON, concurrency_key="k")
        found, given = matched([worker(1)], self.KEYED, free(first))
        assert given == [(77, 1), (3, 1)]
        assert (found.keys, found.key_slots) == ([("default", "k")], {first.task_id: 0})

    @pytest.mark.parametrize(
        "key",
        [free(slots=[0]), free(), free(most=0), free(most=2, slots=[0, 1, 5])],
        ids=["held", "its first in other hands", "paused", "held more often than its limit allows now"],
    )
    def test_let_nothing_run_while_they_are_not_free(self, key: Key) -> None:
        found, given = matched([worker(1)], self.KEYED, key)
        assert given == [(3, 1)]
        assert found.keys == []

    def test_that_are_gone_keep_no_turn_for_those_who_wait_for_them(self) -> None:
        first, other, plain = task(1, concurrency_key="k"), task(2, concurrency_key="k"), task(3)
        rooms = [worker(1, queues=["default"], slots=1), worker(2, share=1)]
        _, given = matched(rooms, [first, other, plain], free(first))
        assert given == [(1, 1), (3, 2)]

    def test_give_the_next_slot_to_whom_these_workers_can_run(self) -> None:
        first, other = task(1, concurrency_key="k", needs_id=7), task(2, concurrency_key="k")
        keys = {("default", "k"): free(first, other, most=2)}
        found = match([worker(1, slots=1), worker(2, slots=1)], [first, other], keys, 9, met={UUID(int=2): [7]})
        assert {t.int: w.int for t, w in zip(found.tasks, found.workers, strict=True)} == {1: 2, 2: 1}

    def test_are_given_once_to_workers_of_different_queues(self) -> None:
        rooms = [worker(1), worker(2, queues=["default"])]
        _, given = matched(rooms, self.KEYED, free(self.KEYED[0]))
        assert given == [(1, 2), (3, 2)]

    def test_keep_the_turns_of_those_that_wait(self) -> None:
        """Else those of a lower priority would overtake what lies behind them, out of sight."""
        waiting = [task(n, priority=5, concurrency_key="k") for n in (1, 2)]
        _, given = matched([worker(1, share=2)], [*waiting, task(3), task(4)], free(slots=[0]))
        assert given == []

    def test_take_the_turn_of_their_first_in_sight(self) -> None:
        candidates = [task(0), task(1, concurrency_key="k"), task(2)]
        _, given = matched([worker(1, slots=2)], candidates, free(candidates[1]))
        assert given == [(0, 1), (1, 1)]

    def test_let_as_many_run_as_come_next_each_in_the_lowest_slot_that_is_free(self) -> None:
        waiting = [task(n, concurrency_key="k") for n in range(4)]
        found, given = matched([worker(1)], waiting, free(*waiting[:3], most=5, slots=[1, 3]))
        assert [number for number, _ in given] == [0, 1, 2]
        assert [found.key_slots[each.task_id] for each in waiting[:3]] == [0, 2, 4]

    def test_give_each_of_several_once_to_workers_of_different_queues(self) -> None:
        waiting = [task(n, concurrency_key="k") for n in range(3)]
        rooms = [worker(1, slots=1), worker(2, slots=1, queues=["default"])]
        found, given = matched(rooms, waiting, free(*waiting, most=3))
        assert given == [(0, 2), (1, 1)]
        assert sorted(found.key_slots.values()) == [0, 1]


class TestRoomFor:
    def test_counts_what_workers_may_own_that_serve_a_queue(self) -> None:
        rooms = [worker(1, queues=["a"]), worker(2, queues=["b"], taken=4)]
        assert [room_for(queue, rooms) for queue in ("a", "b", "c")] == [4, 0, 0]
        assert room_for("c", [worker(1)])

    def test_is_no_more_than_its_limit_leaves(self) -> None:
        rooms = [worker(1, limits='{"queue": {"a": 0, "b": 3, "c": 9}}')]
        assert [room_for(queue, rooms) for queue in ("a", "b", "c", "d")] == [0, 3, 4, 4]
