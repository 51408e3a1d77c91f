"""For which tasks of several slots workers are kept, and which ones."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from flow_app.matching import Candidate, Key, Room, match
from flow_app.reserving import PATIENCE, reserve

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def task(number: int, **columns: object) -> Candidate:
    usual = Candidate(UUID(int=number), "default", 0, NOON, None, False, needs_id=7, slots=4, waited=PATIENCE + 1)
    return usual._replace(**columns)  # type: ignore[arg-type]


def rooms(*taken: int, slots: int = 4, queues: list[str] | None = None) -> list[Room]:
    return [Room(UUID(int=n), queues, slots, slots, each, 0, 1000, None, "") for n, each in enumerate(taken, 1)]


def kept(candidates: list[Candidate], workers: list[Room]) -> dict[int, int]:
    """Which workers are kept, and for which task."""
    found = reserve(candidates, workers, {each.worker_id: [7] for each in workers}).kept
    return {worker.int: each.task_id.int for worker, each in found.items()}


class TestReserve:
    def test_keeps_the_worker_with_the_fewest_slots_to_wait_for(self) -> None:
        assert kept([task(9)], rooms(4, 2, 3)) == {2: 9}

    def test_takes_the_one_that_is_free_rather_than_keep_another(self) -> None:
        assert kept([task(9, slots=2)], rooms(3, 2, 0)) == {2: 9}

    @pytest.mark.parametrize("waited", [0.0, 1.0, PATIENCE])
    def test_keeps_none_for_one_that_has_not_waited(self, waited: float) -> None:
        assert kept([task(9, waited=waited)], rooms(3, 2)) == {}

    def test_keeps_none_where_the_task_cannot_run(self) -> None:
        assert kept([task(9, queue="a")], rooms(3, queues=["b"])) == {}
        assert reserve([task(9)], rooms(3), {}).kept == {}
        busy = [rooms(3)[0]._replace(suspects=1)]
        assert kept([task(9, suspect=True)], busy) == {}
        assert kept([task(9)], busy) == {1: 9}

    def test_lets_those_choose_first_that_have_waited_longest(self) -> None:
        longest = task(8, waited=PATIENCE + 2)
        assert kept([task(9), longest], rooms(3, 2)) == {2: 8}
        assert kept([task(9), longest], rooms(3, 2, 4, 4)) == {2: 8, 1: 9}

    @pytest.mark.parametrize(("waited", "number"), [(1.9, 1), (2.1, 2), (4.1, 3), (1e9, 4)])
    def test_keeps_more_the_longer_one_waits_but_half_of_them_at_most(self, waited: float, number: int) -> None:
        assert len(kept([task(9, waited=waited * PATIENCE)], rooms(*[4] * 8))) == number


class TestAwaited:
    def test_are_workers_in_which_somebody_waits_to_fit(self) -> None:
        young, small = task(9, waited=1.0), [task(n, needs_id=None, slots=1, waited=0.0) for n in range(3)]
        workers = rooms(2, 1)
        met = {each.worker_id: [7] for each in workers}
        assert match(workers, [young, *small], {}, 9, met=met).awaited == [UUID(int=2)]
        assert match(workers, [young._replace(waited=9.0)], {}, 9, met=met).awaited == [UUID(int=2)]
        assert match(rooms(0), [young], {}, 9, met=met).awaited == []
        assert match(workers, small, {}, 9, met=met).awaited == []

    def test_are_workers_whose_suspect_keeps_others_waiting(self) -> None:
        first, second = (task(n, suspect=True, needs_id=None, slots=1, waited=0.0) for n in (8, 9))
        plain = task(7, needs_id=None, slots=1, waited=0.0)
        [free], [busy] = rooms(0), [each._replace(suspects=1) for each in rooms(1)]
        assert match([free], [first, plain], {}, 9).awaited == []
        assert match([free], [first, second], {}, 9).awaited == [free.worker_id]
        assert match([busy], [first, plain], {}, 9).awaited == [busy.worker_id]
        assert match([busy], [plain], {}, 9).awaited == []
        assert match([busy._replace(queues=["another"])], [first], {}, 9).awaited == []


class TestMatch:
    SMALL = task(5, needs_id=None, slots=1, waited=0.0)

    def _given(self, *candidates: Candidate, keys: dict[tuple[str, str], Key] | None = None, free: int = 4) -> set[int]:
        workers = rooms(4 - free)
        found = match(workers, candidates, keys or {}, 9, met={workers[0].worker_id: [7]})
        return {each.int for each in found.tasks}

    def test_lets_one_that_has_waited_come_before_what_is_due_longer(self) -> None:
        earlier = self.SMALL._replace(run_at=NOON.replace(hour=1))
        assert self._given(task(9), earlier) == {9}
        assert self._given(task(9, waited=1.0), earlier) == {5}
        assert self._given(task(9), earlier, free=3) == set()

    def test_lets_a_higher_priority_of_its_queue_come_first(self) -> None:
        assert self._given(task(9), self.SMALL._replace(priority=1)) == {5}
        assert self._given(task(9), self.SMALL._replace(priority=1, queue="other")) == {9}

    def test_keeps_nothing_for_one_whose_key_is_not_free(self) -> None:
        keyed = task(9, concurrency_key="k")
        taken, mine = Key(1, [UUID(int=3)], [0], []), Key(1, [], [], [keyed])
        assert self._given(keyed, self.SMALL, keys={("default", "k"): taken}, free=3) == {5}
        assert self._given(keyed, self.SMALL, keys={("default", "k"): mine}, free=3) == set()
