"""What a pass counts and locks: each of its statements by itself. What comes of them is in ``test_assignment*.py``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from flow_app.locking import look_at_keys, park_behind_keys
from flow_app.matching import Candidate, Key, Match, Room
from flow_app.queue_keys import set_key
from flow_app.queues import pause_queue
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import Engine, in_seconds, places_of, room_of
from tests.support.races import locked, transaction

OpenSession = Callable[[], Session]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def shares(session: Session, queues: list[str], limit: int = 100) -> tuple[list[Room], str]:
    """What a pass counts, and what it may lock of each queue."""
    with transaction(session):
        session.rows("take_pass")
        rooms = session.rows("count_room", room_of(queues, limit=limit), of=Room)
        [(setting,)] = session.fetch("SELECT current_setting('scheduler.shares')")
    return rooms, setting


class TestCountRoom:
    def test_counts_what_each_live_worker_owns(self, engine: Engine) -> None:
        busy, idle, dead = engine.worker(slots=3, prefetch=2), engine.worker(slots=1), engine.worker()
        engine.kill(dead)
        engine.create_many(3)
        engine.assign()
        found = {room.worker_id: room for room in shares(engine.session, ["default"])[0]}
        assert found.keys() == {busy, idle}
        assert [(found[w].slots, found[w].capacity, found[w].taken) for w in (busy, idle)] == [(3, 5, 2), (1, 1, 1)]

    def test_finds_nobody_without_the_pass(self, engine: Engine) -> None:
        engine.worker()
        assert engine.session.rows("count_room", room_of(["default"]), of=Room) == []

    def test_counts_suspects(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        engine.assigned(worker)
        engine.session.execute("UPDATE tasks SET crash_count = 1")
        [room] = shares(engine.session, [])[0]
        assert (room.taken, room.suspects) == (1, 1)

    @pytest.mark.parametrize(
        ("queues", "limit", "setting"),
        [
            (["a", "b"], 100, "{5,5}"),
            (["a", "a", "b"], 100, "{5,5,5}"),
            (["a", "b", "c"], 100, "{4,4,4}"),
            (["a", "b"], 5, "{3,3}"),
            (["a", "paused"], 100, "{10,0}"),
            ([], 100, "{}"),
        ],
    )
    def test_shares_the_room_between_the_queues(
        self, engine: Engine, queues: list[str], limit: int, setting: str
    ) -> None:
        """A priority of a queue may use all of its share; turns are taken between queues."""
        pause_queue("paused", actor="test")
        engine.worker(slots=6)
        engine.worker(slots=4)
        assert shares(engine.session, queues, limit)[1] == setting

    def test_shares_the_room_of_each_class_of_workers_between_the_queues_it_serves(self, engine: Engine) -> None:
        engine.worker(slots=4)
        engine.worker(slots=3, queues=["a"])
        engine.worker(slots=9, queues=["elsewhere"])
        rooms, setting = shares(engine.session, ["a", "b"])
        assert setting == "{5,2}"
        assert {tuple(room.queues or ()): room.share for room in rooms} == {(): 2, ("a",): 3, ("elsewhere",): 9}

    def test_leaves_nothing_for_a_queue_whose_workers_are_full(self, engine: Engine) -> None:
        engine.worker(slots=1, queues=["a"])
        engine.worker(slots=1, queues=["b"])
        engine.create(queue="a")
        engine.assign()
        assert shares(engine.session, ["a", "b"])[1] == "{0,1}"


def candidates(session: Session, name: str, parameters: dict[str, Any], share: str = "{9}") -> list[UUID]:
    with transaction(session):
        session.rows("take_pass")
        session.fetch("SELECT set_config('scheduler.shares', %s, true)", [share])
        return [found.task_id for found in session.rows(name, parameters, of=Candidate)]


class TestLockCandidates:
    def test_locks_no_more_than_the_share_of_each_pair(self, engine: Engine) -> None:
        first, second, _ = engine.create_many(3)
        other = engine.create(queue="other")
        places = places_of(["default", "other"])
        assert candidates(engine.session, "lock_candidates", places, "{2,0}") == [first, second]
        assert candidates(engine.session, "lock_candidates", places, "{0,2}") == [other]

    def test_finds_nothing_where_no_room_was_counted(self, engine: Engine) -> None:
        engine.create()
        assert engine.session.rows("lock_candidates", places_of(["default"]), of=Candidate) == []

    def test_locks_the_heads_it_begins_behind_only_where_there_is_room(self, engine: Engine) -> None:
        head = engine.create()
        places = places_of(["default"]) | {"from": ["infinity"], "locked": [head]}
        assert candidates(engine.session, "lock_candidates", places) == [head]
        assert candidates(engine.session, "lock_candidates", places, "{0}") == []


class TestLockSuspects:
    @pytest.fixture
    def suspects(self, engine: Engine) -> list[UUID]:
        found = [engine.create(queue=queue) for queue in ("a", "b", "a")]
        engine.session.execute("UPDATE tasks SET crash_count = 1")
        return found

    def test_locks_as_many_as_each_class_has_workers_and_each_once(self, engine: Engine, suspects: list[UUID]) -> None:
        engine.worker()
        engine.worker(queues=["b"])
        assert candidates(engine.session, "lock_suspects", {"classes": [None], "patience": 5.0}) == suspects[:1]
        assert candidates(engine.session, "lock_suspects", {"classes": ['{"b"}'], "patience": 5.0}) == [suspects[1]]
        engine.worker()
        assert set(candidates(engine.session, "lock_suspects", {"classes": [None, '{"b"}'], "patience": 5.0})) == set(
            suspects[:2]
        )

    def test_passes_over_what_is_not_due(self, engine: Engine, suspects: list[UUID]) -> None:
        for _ in range(3):
            engine.worker()
        engine.move(suspects[0], run_at=timedelta(seconds=60))
        assert set(candidates(engine.session, "lock_suspects", {"classes": [None], "patience": 5.0})) == set(
            suspects[1:]
        )

    def test_finds_nothing_without_the_pass(self, engine: Engine, suspects: list[UUID]) -> None:
        engine.worker()
        assert engine.session.rows("lock_suspects", {"classes": [None], "patience": 5.0}, of=Candidate) == []


def shown(key: Key) -> tuple[list[UUID], list[UUID]]:
    """Who holds it, and who may have it next."""
    return list(key.holders), [each.task_id for each in key.firsts]


class TestLookAtKeys:
    def look(self, session: Session, *names: str, wanted: int = 1) -> dict[str, Key]:
        asked = [Candidate(UUID(int=0), "default", 0, NOON, name, False) for name in names for _ in range(wanted)]
        return {key: found for (_, key), found in look_at_keys(session, asked).items()}

    def test_finds_the_holder_or_the_first_that_waits(self, engine: Engine) -> None:
        holder = engine.running(engine.worker(), concurrency_key="held").task_id
        engine.create(concurrency_key="held")
        engine.create(concurrency_key="free")
        urgent = engine.create(concurrency_key="free", priority=1)
        found = {name: shown(key) for name, key in self.look(engine.session, "held", "free", "x").items()}
        assert found == {"held": ([holder], []), "free": ([], [urgent]), "x": ([], [])}

    def test_finds_a_parked_one_before_a_newcomer(self, engine: Engine) -> None:
        parked, _ = engine.create_many(2, concurrency_key="k")
        engine.session.execute("UPDATE tasks SET gate = 1 WHERE id = %s", [parked])
        assert shown(self.look(engine.session, "k")["k"]) == ([], [parked])

    def test_finds_nobody_while_the_first_is_in_other_hands(self, engine: Engine, open_session: OpenSession) -> None:
        first, _ = engine.create_many(2, concurrency_key="k")
        with locked(open_session(), "tasks", "id", first):
            assert shown(self.look(engine.session, "k")["k"]) == ([], [])

    def test_passes_over_what_is_not_due_or_has_expired(self, engine: Engine) -> None:
        engine.create(concurrency_key="k", schedule_at=in_seconds(60))
        expired, due = engine.create_many(2, concurrency_key="k", expires_at=in_seconds(60))
        engine.move(expired, expires_at=-timedelta(seconds=1))
        assert shown(self.look(engine.session, "k")["k"]) == ([], [due])

    def test_finds_as_many_as_are_wanted_and_have_room(self, engine: Engine) -> None:
        set_key("default", "k", {"maxConcurrency": 3}, actor="test")
        holder = engine.running(engine.worker(), concurrency_key="k").task_id
        first, second, third = engine.create_many(3, concurrency_key="k")
        assert shown(self.look(engine.session, "k", wanted=1)["k"]) == ([holder], [first])
        key = self.look(engine.session, "k", wanted=9)["k"]
        assert (*shown(key), key.most, list(key.slots)) == ([holder], [first, second], 3, [0])
        Task.objects.filter(pk=first).update(run_at=in_seconds(1), priority=9)
        assert shown(self.look(engine.session, "k", wanted=9)["k"]) == ([holder], [second, third])


class TestParkBehindKeys:
    def park(self, session: Session, given: Match, *holders: UUID, most: int = 1) -> int:
        keys = {name: Key(most, [], [], []) for name in given.keys}
        if holders:
            keys = {("default", "k"): Key(most, holders, range(len(holders)), [])}
        return int(park_behind_keys(session, given, keys).fetchall()[0][0])

    def test_parks_what_is_due_behind_a_holder(self, engine: Engine) -> None:
        holder = engine.running(engine.worker(), concurrency_key="k").task_id
        behind = engine.create(concurrency_key="k")
        later = engine.create(concurrency_key="k", schedule_at=in_seconds(60))
        assert self.park(engine.session, Match(), holder) == 1
        assert [engine.task(each).gate for each in (behind, later)] == [Gate.KEY, Gate.OPEN]

    def test_parks_nothing_behind_one_whose_row_somebody_has(self, engine: Engine, open_session: OpenSession) -> None:
        holder = engine.running(engine.worker(), concurrency_key="k").task_id
        engine.create(concurrency_key="k")
        with locked(open_session(), "tasks", "id", holder):
            assert self.park(engine.session, Match(), holder) == 0

    def test_parks_nothing_while_one_of_several_holders_may_be_ending(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Its end would find nothing to release, and its slot would stay empty."""
        set_key("default", "k", {"maxConcurrency": 2}, actor="test")
        worker = engine.worker()
        holders = [engine.running(worker, concurrency_key="k").task_id for _ in range(2)]
        engine.create(concurrency_key="k")
        with locked(open_session(), "tasks", "id", holders[1]):
            assert self.park(engine.session, Match(), *holders, most=2) == 0
        assert self.park(engine.session, Match(), *holders, most=2) == 1

    def test_parks_nothing_of_a_key_that_has_room(self, engine: Engine) -> None:
        holder = engine.running(engine.worker(), concurrency_key="k").task_id
        engine.create(concurrency_key="k")
        assert self.park(engine.session, Match(), holder, most=2) == 0

    def test_parks_nothing_of_the_same_key_in_another_queue(self, engine: Engine) -> None:
        elsewhere = engine.create(queue="elsewhere", concurrency_key="k")
        here = engine.create(concurrency_key="k")
        assert self.park(engine.session, Match(keys=[("default", "k")])) == 1
        assert [engine.task(each).gate for each in (elsewhere, here)] == [Gate.OPEN, Gate.KEY]
