"""Floors spare a pass and a start the entries of what has ended; what lies below one is found again in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from access_app.sql import statement
from flow_app import assignment
from flow_app.outlook import Head, KnownPairs, Outlook
from flow_app.survey import find_overlooked, survey_due
from tasks_app import wakeups
from tasks_app.floors import LOWERED_BY_BEATS, LOWEST, Floors
from tasks_app.sessions import Session
from tasks_app.starting import start_assigned
from tests.support.clocks import ticking
from tests.support.committed import begin_with_new_tables
from tests.support.engine import SUCCEEDED, Engine, places_of, room_of
from tests.support.races import transaction
from workers_app import heartbeats

OpenSession = Callable[[], Session]
INSERT_WORKER = """
INSERT INTO worker_heartbeats (worker_id, host, pid, name, slots, version, state)
VALUES (%s, 'h', 1, 'n', 1, 'v', %s)"""
ROUND = {
    "scheduler_id": UUID(int=1),
    "host": "h",
    "pid": 1,
    "version": "v",
    "stale_after": 2.0,
    "workers": [],
    "floors": [],
}

LATER = "2999-01-01 00:00:00+00"
HEAD = Head("default", 0, -1.0, "2026-01-01 00:00:00+00", UUID(int=1), LOWEST)


@pytest.fixture
def floors() -> Floors:
    return Floors()


def assign(engine: Engine, floors: Floors) -> assignment.PassReport:
    return assignment.assign_due_tasks(engine.session, survey_due(engine.session), outlook=Outlook(floors))


class TestFloors:
    def test_lie_a_second_below_the_oldest_assignment_a_worker_holds(self, engine: Engine, floors: Floors) -> None:
        worker = engine.worker(slots=1)
        [task_id] = engine.create_many(1)
        engine.assign()
        engine.move(task_id, assigned_at=timedelta(seconds=-30))
        engine.create()
        assign(engine, floors)
        [(age,)] = engine.session.fetch(
            "SELECT (SELECT assigned_at FROM tasks WHERE id = %s) - %s::timestamptz",
            [task_id, floors.current(engine.session)[worker]],
        )
        assert age == timedelta(seconds=1)

    def test_of_a_worker_that_holds_nothing_lie_a_second_ago(self, engine: Engine, floors: Floors) -> None:
        worker = engine.worker()
        engine.create()
        assign(engine, floors)
        [(age,)] = engine.session.fetch("SELECT now() - %s::timestamptz", [floors.current(engine.session)[worker]])
        assert timedelta(seconds=1) <= age < timedelta(seconds=30)

    def test_count_what_was_assigned_after_them(self, engine: Engine, floors: Floors) -> None:
        engine.worker(slots=3)
        engine.create_many(9)
        assert [assign(engine, floors).assigned for _ in range(2)] == [3, 0]

    def test_are_forgotten_when_the_connection_is_another(self, engine: Engine, floors: Floors) -> None:
        worker = engine.worker()
        floors.current(engine.session)
        floors.note([(worker, "infinity")])
        assert floors.current(engine.session) == {worker: "infinity"}
        engine.session.close()
        assert floors.current(engine.session) == {}

    def test_are_forgotten_after_a_while(self, engine: Engine, floors: Floors, monkeypatch: pytest.MonkeyPatch) -> None:
        worker, now = engine.worker(), [1000.0]
        monkeypatch.setattr("tasks_app.floors.time.monotonic", lambda: now[0])
        floors.current(engine.session)
        floors.note([(worker, "infinity")])
        now[0] += 9.9
        assert floors.current(engine.session)
        now[0] += 0.2
        assert floors.current(engine.session) == {}

    def test_of_starts_are_not_forgotten(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """All tasks of a worker would wait for a look at everything, beside a held snapshot."""
        clock, floors, worker = ticking(monkeypatch), Floors(LOWERED_BY_BEATS), engine.worker()
        floors.current(engine.session)
        floors.note([(worker, LATER)])
        clock.now += 1e6
        assert floors.current(engine.session) == {worker: LATER}

    def test_that_are_too_high_hide_a_start_until_a_beat_says_what_waits(self, engine: Engine) -> None:
        """As after the database's clock was set back. A start under way when the beat came notes a floor of its own."""
        floors, worker, task_id = Floors(LOWERED_BY_BEATS), engine.worker(), engine.create()
        engine.assign()
        floors.current(engine.session)

        def start() -> list[object]:
            found = start_assigned(engine.session, worker_id=worker, limit=9, timeline=engine.timeline, floors=floors)
            return [attempt.task_id for attempt in found]

        floors.note([(worker, LATER)])
        assert start() == []
        reply = heartbeats.beat(engine.session, worker, held={}, prefetch=0)
        assert reply is not None
        assert reply.unstarted is not None
        floors.lower(worker, reply.unstarted)
        floors.note([(worker, LATER)])
        assert start() == [task_id]

    def test_are_lowered_and_never_raised_by_a_beat(self, engine: Engine, floors: Floors) -> None:
        worker, other = engine.worker(), engine.worker()
        floors.current(engine.session)
        floors.note([(worker, "2026-01-02 00:00:00.5+00")])
        floors.lower(worker, "2026-01-03 00:00:00+00")
        floors.lower(other, "2026-01-03 00:00:00+00")
        assert floors.current(engine.session) == {worker: "2026-01-02 00:00:00.5+00"}

    def test_keep_a_held_snapshot_from_costing_more_with_every_task(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """What has ended is still in the index for the snapshot's sake: without a floor, all of it is looked at."""
        with tasks_kept_in_sight(engine, open_session()) as worker:
            [(floor,)] = engine.session.fetch("SELECT clock_timestamp()::text")
            engine.create()
            engine.assign()
            start = {"worker_id": worker, "limit": 9, "timeline": engine.timeline, "ask": False}
            room, places = room_of(["default"]), places_of(["default"])
            for name, everything, bounded in (
                ("start_assigned", start | {"floor": LOWEST}, start | {"floor": floor}),
                ("count_room", room, room | {"workers": [worker], "floors": [floor]}),
                ("lock_candidates", places, places | {"from": [floor]}),
            ):
                assert blocks_read(engine.session, name, bounded) < blocks_read(engine.session, name, everything) / 4


@contextmanager
def tasks_kept_in_sight(engine: Engine, holder: Session) -> Iterator[UUID]:
    """A worker that has ended 2,000 tasks, all of them still in the indexes for the sake of a session's snapshot."""
    begin_with_new_tables()
    worker = engine.worker(slots=100)
    with transaction(holder):
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.fetch("SELECT 1 FROM tasks")
        for _ in range(20):
            engine.create_many(100)
            engine.assign()
            for attempt in engine.start(worker):
                engine.finish(worker, attempt, SUCCEEDED)
        yield worker


def blocks_read(session: Session, name: str, parameters: dict[str, Any]) -> int:
    """Blocks a statement looks at, taken back."""
    connection = session.connection
    text = psycopg.ClientCursor(connection).mogrify(statement(name).replace(")b", ")s"), parameters)
    with connection.transaction(force_rollback=True):
        connection.execute(
            "SELECT set_config('scheduler.pass', 'held', true), set_config('scheduler.shares', '{9}', true)"
        )
        [plans] = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}".encode()).fetchone() or [None]
    return int(plans[0]["Plan"]["Shared Hit Blocks"])


class TestBeatsAndRounds:
    def beat(self, engine: Engine, worker: UUID, floors: Floors) -> heartbeats.BeatReply:
        answer = heartbeats.beat(engine.session, worker, held={}, prefetch=0, floors=floors)
        assert answer
        return answer

    def test_count_what_is_owned_from_the_oldest_on(self, engine: Engine, floors: Floors) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(2)
        engine.assign()
        engine.move(engine.start(worker, limit=1)[0].task_id, assigned_at=timedelta(hours=-1))
        for _ in range(2):
            answer = self.beat(engine, worker, floors)
            assert (answer.assigned, answer.running) == (1, 1)

    def test_of_a_worker_that_holds_nothing_begin_a_second_ago(self, engine: Engine, floors: Floors) -> None:
        worker = engine.worker()
        self.beat(engine, worker, floors)
        [(age,)] = engine.session.fetch("SELECT now() - %s::timestamptz", [floors.current(engine.session)[worker]])
        assert timedelta(seconds=1) <= age < timedelta(seconds=30)

    @pytest.mark.parametrize("live", [[], [1], [3], [1, 3], [1, 2, 3, 9]])
    def test_see_what_a_worker_left_wherever_it_stands(self, engine: Engine, live: list[int]) -> None:
        """Between two live ones, before the first, behind the last, or where none is."""
        for number in live:
            engine.session.execute(INSERT_WORKER, [UUID(int=number << 100), "ACTIVE"])
        assert not look_round(engine.session).has_lost
        gone, task_id = UUID(int=(2 if 2 not in live else 4) << 100), engine.create()
        engine.session.execute(INSERT_WORKER, [gone, "DEAD"])
        engine.session.execute(
            "UPDATE tasks SET status = 'SCHEDULED', worker_id = %s, assigned_at = now() WHERE id = %s", [gone, task_id]
        )
        assert look_round(engine.session).has_lost

    def test_see_an_assignment_nobody_starts_behind_the_floor_of_the_last_round(self, engine: Engine) -> None:
        worker, task_id = engine.worker(), engine.create()
        engine.assign()
        engine.move(task_id, assigned_at=timedelta(minutes=-1))
        first = look_round(engine.session)
        assert first.has_stale
        assert look_round(engine.session, {worker: first.floors[worker]}).has_stale
        assert not look_round(engine.session, {worker: "infinity"}).has_stale

    def test_keep_a_held_snapshot_from_costing_more_with_every_task(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        with tasks_kept_in_sight(engine, open_session()) as worker:
            floor = look_round(engine.session).floors[worker]
            beat = {"worker_id": worker, "running": 0, "prefetch": 0, "ids": [], "attempts": []}
            for name, everything, bounded in (
                ("beat", beat | {"floor": LOWEST}, beat | {"floor": "now"}),
                ("look_round", ROUND, ROUND | {"workers": [worker], "floors": ["now"]}),
            ):
                some = blocks_read(engine.session, name, bounded)
                assert some < blocks_read(engine.session, name, everything) / 4
            assert floor < engine.session.fetch("SELECT now()::text")[0][0]


@dataclass
class Round:
    floors: dict[UUID, str]
    has_lost: bool
    has_stale: bool


def look_round(session: Session, floors: dict[UUID, str] | None = None) -> Round:
    floors = floors or {}
    parameters = ROUND | {"workers": list(floors), "floors": list(floors.values())}
    [(workers, _, found, has_lost, _, has_stale, *_)] = session.rows("look_round", parameters)
    return Round(dict(zip(workers, found, strict=True)), has_lost, has_stale)


class TestKnownPairs:
    """After a slow look at everything, surveys begin at the floors of what is known, for as long as those hold."""

    @pytest.fixture
    def outlook(self, monkeypatch: pytest.MonkeyPatch) -> Outlook:
        """One to which every look seems slow, and good for hours."""
        monkeypatch.setattr("flow_app.outlook.SLOW", -1.0)
        monkeypatch.setattr("flow_app.outlook.HOLDS", 1_000_000_000)
        return Outlook()

    @pytest.fixture
    def beside(self, open_session: OpenSession) -> Session:
        return open_session()

    def heads(self, engine: Engine, outlook: Outlook) -> dict[tuple[str | None, int], UUID]:
        survey = survey_due(engine.session, outlook=outlook)
        return {(head.queue, head.priority): head.task_id for head in survey.heads}

    def test_return_what_a_survey_of_everything_returns(self, engine: Engine, outlook: Outlook) -> None:
        engine.worker()
        for queue, priority in [("a", 0), ("a", 5), ("a", -100), ("b", 100), ("c", 0)]:
            engine.create(queue=queue, priority=priority)
        everything = self.heads(engine, outlook)
        assert outlook.pairs.held()
        assert len(everything) == 5
        assert self.heads(engine, outlook) == everything

    def test_see_a_newcomer_behind_a_floor_and_forget_who_went(self, engine: Engine, outlook: Outlook) -> None:
        engine.worker(slots=1)
        first = engine.create()
        assert self.heads(engine, outlook) == {("default", 0): first}
        engine.assign()
        assert self.heads(engine, outlook) == {}
        second = engine.create()
        assert self.heads(engine, outlook) == {("default", 0): second}

    @pytest.mark.parametrize(
        ("queue", "priority"),
        [("a", 0), ("m", 100), ("m", 3), ("m", -100), ("n", 0), ("z", 0)],
        ids=lambda value: str(value),
    )
    def test_find_a_pair_that_is_not_among_them(
        self, engine: Engine, outlook: Outlook, queue: str, priority: int
    ) -> None:
        for known in [("m", 5), ("m", 1), ("p", 0)]:
            engine.create(queue=known[0], priority=known[1])
        self.heads(engine, outlook)
        newcomer = engine.create(queue=queue, priority=priority)
        assert self.heads(engine, outlook)[(queue, priority)] == newcomer

    def test_see_what_was_committed_a_little_late(self, engine: Engine, outlook: Outlook) -> None:
        """A task bears the moment its transaction began, and is seen when it has committed."""
        engine.create()
        for _ in range(2):
            self.heads(engine, outlook)
        late = engine.create()
        engine.session.execute(
            "UPDATE tasks SET run_at = (SELECT min(run_at) FROM tasks) - interval '0.5 s' WHERE id = %s", [late]
        )
        assert self.heads(engine, outlook) == {("default", 0): late}

    def test_say_when_what_they_know_falls_due(self, engine: Engine, outlook: Outlook) -> None:
        engine.worker()
        engine.move(engine.create(), run_at=timedelta(seconds=60))
        survey_due(engine.session, outlook=outlook)
        survey = survey_due(engine.session, outlook=outlook)
        assert not survey.has_due
        assert survey.next_due_in == pytest.approx(60, abs=30)
        sooner = engine.create()
        assert self.heads(engine, outlook) == {("default", 0): sooner}

    def test_hold_for_suspects_and_paused_queues_too(self, engine: Engine, outlook: Outlook) -> None:
        engine.worker()
        paused, suspect = engine.create(queue="paused"), engine.create()
        engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [suspect])
        engine.session.execute("INSERT INTO queues (name, paused_at) VALUES ('paused', now())")
        before = survey_due(engine.session, outlook=outlook)
        assert [head.queue for head in before.heads] == [None]
        after = survey_due(engine.session, outlook=outlook)
        assert [head.queue for head in after.heads] == [None]
        engine.session.execute("DELETE FROM queues")
        assert self.heads(engine, outlook)[("paused", 0)] == paused

    def test_are_looked_below_in_doubt(self, engine: Engine, outlook: Outlook) -> None:
        """What comes in sight may have been due long ago: handed back, or created in a long transaction."""
        first = engine.create()
        self.heads(engine, outlook)
        old = engine.create()
        engine.move(old, run_at=timedelta(hours=-1))
        assert self.heads(engine, outlook) == {("default", 0): first}
        outlook.pairs.doubt()
        assert self.heads(engine, outlook) == {("default", 0): old}
        older = engine.create()
        engine.move(older, run_at=timedelta(hours=-2))
        assert self.heads(engine, outlook) == {("default", 0): old}

    def test_are_looked_below_beside_the_surveys(self, engine: Engine, outlook: Outlook, beside: Session) -> None:
        """What nobody told of is found."""
        engine.create()
        self.heads(engine, outlook)
        assert not find_overlooked(beside, outlook)
        engine.create(queue="newcomer")
        old = engine.create()
        assert not find_overlooked(beside, outlook)
        self.heads(engine, outlook)
        engine.move(old, run_at=timedelta(minutes=-1))
        assert old not in self.heads(engine, outlook).values()
        assert find_overlooked(beside, outlook)
        assert self.heads(engine, outlook)[("default", 0)] == old
        assert not find_overlooked(beside, outlook)

    def test_hold_for_a_poll_interval_after_each_look(
        self, engine: Engine, outlook: Outlook, beside: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = ticking(monkeypatch)
        monkeypatch.setattr("flow_app.outlook.HOLDS", 0)
        interval = wakeups.longest_rest().total_seconds()
        engine.create()
        self.heads(engine, outlook)
        for _ in range(2):
            clock.now += interval * 0.9
            assert outlook.pairs.held()
            assert not find_overlooked(beside, outlook)
        clock.now += interval
        assert not outlook.pairs.held()
        assert not find_overlooked(beside, outlook)
        assert not outlook.pairs.held()

    def test_do_not_hold_when_the_doubt_is_younger_than_the_look(self, outlook: Outlook) -> None:
        """A look that was under way when the hint came may not have seen what it was about."""
        outlook.pairs.note([HEAD])
        began = time.monotonic()
        outlook.pairs.note_look(began, [HEAD])
        assert outlook.pairs.held()
        outlook.pairs.doubt()
        outlook.pairs.note_look(began, [HEAD])
        assert not outlook.pairs.held()

    def test_are_forgotten_when_the_connection_is_another(self, engine: Engine, outlook: Outlook) -> None:
        engine.create()
        self.heads(engine, outlook)
        assert outlook.pairs.current(engine.session)
        engine.session.close()
        assert outlook.pairs.current(engine.session) == {}

    def test_are_forgotten_when_they_are_too_many(self, outlook: Outlook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flow_app.outlook.MOST_PAIRS", 2)
        outlook.pairs.note_look(time.monotonic(), [])
        outlook.pairs.note(HEAD._replace(priority=n) for n in range(2))
        assert len(outlook.pairs.held()) == 2
        outlook.pairs.note([HEAD._replace(priority=2)])
        assert outlook.pairs.held() == {}

    @pytest.mark.parametrize(
        ("seconds", "heads", "rest"),
        [(0.009, 0, None), (0.011, 0, 0.5), (0.109, 1000, None), (0.111, 1000, 0.5), (0.7, 0, 0.7)],
    )
    def test_are_used_only_after_a_slow_look(
        self, monkeypatch: pytest.MonkeyPatch, seconds: float, heads: int, rest: float | None
    ) -> None:
        """One that found many heads may take long; after a slow one somebody else looks again in time."""
        clock, pairs = ticking(monkeypatch), KnownPairs()
        pairs.note([HEAD])
        assert pairs.held() == {}
        began = clock.now
        clock.now += seconds
        pairs.note_look(began, [HEAD] * heads)
        assert pairs.held() == ({} if rest is None else {("default", 0): LOWEST})
        assert pairs.rest == pytest.approx(float("inf") if rest is None else rest, abs=0.001)

    def test_keep_a_held_snapshot_from_costing_more_with_every_task(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        with tasks_kept_in_sight(engine, open_session()):
            [(floor,)] = engine.session.fetch("SELECT clock_timestamp()::text")
            engine.create()
            known = {"queues": ["default"], "priorities": [0], "floors": [floor]}
            everything = blocks_read(engine.session, "survey_due", {"start": "", "limit": 9})
            assert blocks_read(engine.session, "survey_known", known) < everything / 4


class TestLockedHeads:
    """Somebody holds the first of many due tasks; a pass that was slow over them begins behind them next time."""

    @pytest.fixture
    def outlook(self, monkeypatch: pytest.MonkeyPatch) -> Outlook:
        monkeypatch.setattr(assignment, "SLOW", 0.0)
        return Outlook()

    def assign(self, engine: Engine, outlook: Outlook) -> int:
        survey = survey_due(engine.session)
        return assignment.assign_due_tasks(engine.session, survey, limit=1, outlook=outlook).assigned

    def due(self, engine: Engine, *seconds: float) -> list[UUID]:
        """Tasks due so many seconds ago."""
        ids = engine.create_many(len(seconds))
        for task_id, age in zip(ids, seconds, strict=True):
            engine.move(task_id, run_at=timedelta(seconds=-age))
        return ids

    def test_are_begun_behind_and_tried_by_themselves(
        self, engine: Engine, open_session: OpenSession, outlook: Outlook
    ) -> None:
        engine.worker(slots=9)
        head, second, _ = self.due(engine, 30, 20, 10)
        holder = open_session()
        with transaction(holder):
            holder.fetch("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", [head])
            assert self.assign(engine, outlook) == 1
            assert engine.task(second).status == "SCHEDULED"
            assert outlook.locked.behind(("default", 0), head) is not None
            assert self.assign(engine, outlook) == 1
            assert self.assign(engine, outlook) == 0
        assert self.assign(engine, outlook) == 1
        assert engine.task(head).status == "SCHEDULED"

    def test_without_anything_lockable_behind_them_are_begun_behind_now(
        self, engine: Engine, open_session: OpenSession, outlook: Outlook
    ) -> None:
        engine.worker(slots=9)
        [head] = self.due(engine, 30)
        holder = open_session()
        with transaction(holder):
            holder.fetch("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", [head])
            assert self.assign(engine, outlook) == 0
            later = engine.create()
            assert self.assign(engine, outlook) == 1
            assert engine.task(later).status == "SCHEDULED"

    def test_are_not_taken_for_locked_where_nobody_has_room(self, engine: Engine, outlook: Outlook) -> None:
        """What is due behind them would stay out of sight for twenty seconds, with room for it or without."""
        engine.worker(slots=1, queues=["default"])
        engine.worker(queues=["other"])
        _, head, _ = self.due(engine, 30, 20, 10)
        engine.assign()
        engine.create(queue="other")
        survey = survey_due(engine.session)
        assert assignment.assign_due_tasks(engine.session, survey, outlook=outlook).assigned == 1
        assert outlook.locked.behind(("default", 0), head) is None

    def test_are_looked_behind_again_in_time(
        self, engine: Engine, open_session: OpenSession, outlook: Outlook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.worker(slots=9)
        head, second, _ = self.due(engine, 30, 20, 10)
        holder, other = open_session(), open_session()
        with transaction(holder):
            holder.fetch("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", [head])
            with transaction(other):
                other.fetch("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", [second])
                assert self.assign(engine, outlook) == 1
            assert self.assign(engine, outlook) == 0
            now = time.monotonic()
            monkeypatch.setattr("tasks_app.floors.time.monotonic", lambda: now + 21)
            assert self.assign(engine, outlook) == 1
        assert engine.task(second).status == "SCHEDULED"

    def test_of_a_pass_without_room_are_not_known(self, engine: Engine, outlook: Outlook) -> None:
        engine.worker(slots=1)
        first, second = self.due(engine, 30, 20)
        assert self.assign(engine, outlook) == 1
        assert engine.task(first).status == "SCHEDULED"
        assert self.assign(engine, outlook) == 0
        assert outlook.locked.behind(("default", 0), second) is None

    def test_are_those_that_were_looked_at_only(self, outlook: Outlook) -> None:
        first, next_one = UUID(int=1), UUID(int=2)
        outlook.locked.note(("default", 0), first, "2026-01-01 00:00:00+00")
        assert outlook.locked.behind(("default", 0), first) == "2026-01-01 00:00:00+00"
        assert outlook.locked.behind(("default", 0), next_one) is None
        assert outlook.locked.behind(("default", 1), first) is None
