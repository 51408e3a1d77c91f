"""Queues that tenants share: sorted in, served by turns, sorted out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models import F

from flow_app import queue_keys, queues, turns
from flow_app.assignment import assign_due_tasks
from flow_app.matching import Room
from flow_app.models import Queue, Turn
from flow_app.outlook import Outlook
from flow_app.rules import FairBy
from flow_app.sharing import Sharer
from flow_app.survey import survey_due
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.states import Gate
from tests.support.engine import SUCCEEDED, Engine
from tests.support.scale import WHOLE

NOW = timedelta(0)


def share(queue: str = "default", fair_by: FairBy | None = FairBy.CREATED_BY) -> None:
    queues.edit_queue(queue, {"fairBy": fair_by and str(fair_by)}, actor="test")


@pytest.fixture
def shared(engine: Engine) -> Iterator[Engine]:
    share()
    yield engine
    assert engine.violations() == {}


def create(tenant: str, count: int = 1, **fields: object) -> list[UUID]:
    new = NewTask(type="DUMMY", **fields)  # type: ignore[arg-type]
    return services.create_tasks([new] * count, created_by=tenant)


def served(engine: Engine, passes: int = 9) -> str:
    """Whose tasks workers own, as the passes gave them."""
    before = set(_owned())
    for _ in range(passes):
        if not engine.assign().moved:
            break
    found = Task.objects.filter(pk__in=set(_owned()) - before).order_by("assigned_at", "tenant")
    return "".join(tenant or "?" for tenant in found.values_list("tenant", flat=True))


def _owned() -> list[UUID]:
    return list(Task.objects.filter(worker_id__isnull=False, finished_at__isnull=True).values_list("pk", flat=True))


def finish_all(engine: Engine, worker: UUID) -> list[str]:
    attempts = engine.start(worker)
    for attempt in attempts:
        engine.finish(worker, attempt, SUCCEEDED)
    names = dict(Task.objects.values_list("pk", "tenant"))
    return [names[attempt.task_id] or "" for attempt in attempts]


class TestPass:
    def test_lets_a_single_task_go_before_the_backlog_of_another_tenant(self, shared: Engine) -> None:
        create("loud", 50)
        worker = shared.worker(slots=2)
        assert Counter(served(shared)) == Counter("loud" * 2)
        [quiet] = create("quiet")
        assert len(finish_all(shared, worker)) == 2
        served(shared)
        assert shared.owner_of(quiet) == worker

    def test_goes_round_and_on_from_pass_to_pass(self, shared: Engine) -> None:
        for tenant in "abc":
            create(tenant, 3)
        worker = shared.worker(slots=1)
        order = ""
        for _ in range(9):
            served(shared)
            order += "".join(finish_all(shared, worker))
        assert order == "abcabcabc"
        assert Turn.objects.get().tenant == "c"

    def test_goes_by_priority_and_due_time_within_a_tenant(self, shared: Engine) -> None:
        [late], [urgent], [early] = create("a"), create("a", priority=5), create("a")
        shared.move(late, run_at=timedelta(seconds=-1))
        shared.move(early, run_at=timedelta(seconds=-2))
        worker = shared.worker(slots=1)
        found = []
        for _ in range(3):
            served(shared)
            [attempt] = shared.start(worker)
            shared.finish(worker, attempt, SUCCEEDED)
            found.append(attempt.task_id)
        assert found == [urgent, early, late]

    def test_tells_tenants_apart_by_their_fair_key(self, shared: Engine) -> None:
        share(fair_by=FairBy.FAIR_KEY)
        tasks = create("me", 3)
        Task.objects.filter(pk=tasks[2]).update(fair_key="x")
        shared.worker(slots=2)
        served(shared)
        assert [shared.task(each).tenant for each in tasks] == ["", "", "x"]
        assert shared.statuses(tasks) == ["SCHEDULED", "PENDING", "SCHEDULED"]

    def test_counts_what_a_tenant_holds(self, shared: Engine) -> None:
        worker = shared.worker(slots=4)
        create("a", 3)
        served(shared)
        shared.start(worker)
        shared.worker(slots=3)
        create("a", 5)
        create("b", 5)
        assert Counter(served(shared)) == {"b": 4}

    def test_lends_what_nobody_else_wants(self, shared: Engine) -> None:
        create("a", 9)
        create("b", 1)
        shared.worker(slots=8)
        assert Counter(served(shared)) == {"a": 7, "b": 1}

    def test_keeps_to_the_limit_of_the_queue(self, shared: Engine) -> None:
        queues.edit_queue("default", {"maxConcurrency": 3}, actor="test")
        create("a", 9)
        create("b", 9)
        shared.worker(slots=8)
        assert Counter(served(shared)) == {"a": 2, "b": 1}

    def test_gives_a_concurrency_key_once_and_parks_the_rest(self, shared: Engine) -> None:
        create("a", 4, concurrency_key="k")
        create("b", 1)
        worker = shared.worker(slots=8)
        assert Counter(served(shared)) == {"a": 1, "b": 1}
        assert set(Task.objects.filter(status="PENDING").values_list("gate", flat=True)) == {Gate.KEY}
        order = ""
        for _ in range(5):
            order += "".join(finish_all(shared, worker))
            served(shared)
        assert Counter(order) == {"a": 4, "b": 1}

    def test_leaves_other_queues_their_turns(self, shared: Engine) -> None:
        create("a", 9)
        create("me", 9, queue="plain")
        shared.worker(slots=6)
        served(shared)
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("queue", flat=True)) == {
            "default": 3,
            "plain": 3,
        }

    def test_stops_while_the_queue_is_paused(self, shared: Engine) -> None:
        create("a", 2)
        assert shared.assign().assigned == 0
        shared.worker(slots=1)
        assert len(served(shared)) == 1
        queues.pause_queue("default", actor="test")
        shared.worker(slots=4)
        assert not survey_due(shared.session).has_due
        assert shared.assign().assigned == 0
        queues.resume_queue("default", actor="test")
        assert len(served(shared)) == 2

    def test_gives_nothing_of_a_queue_that_was_paused_behind_the_survey(self, shared: Engine) -> None:
        create("a", 2)
        shared.worker(slots=1)
        assert len(served(shared)) == 1
        shared.worker(slots=4)
        survey = survey_due(shared.session)
        assert survey.has_due
        queues.pause_queue("default", actor="test")
        assert assign_due_tasks(shared.session, survey).assigned == 0

    def test_serves_what_comes_back(self, shared: Engine) -> None:
        [task] = create("a")
        worker = shared.worker(slots=1)
        served(shared)
        queues.pause_queue("default", actor="test")  # takes it back
        assert (shared.task(task).status, shared.task(task).gate) == ("PENDING", Gate.OPEN)
        queues.resume_queue("default", actor="test")
        served(shared)
        assert shared.owner_of(task) == worker

    def test_lets_an_edited_task_go_where_it_belongs(self, shared: Engine) -> None:
        create("a", 2)
        worker = shared.worker(slots=1)
        served(shared)
        [waits] = Task.objects.filter(gate=Gate.TURN)
        services.edit_task(waits.pk, {"queue": "plain"}, actor="test")
        shared.worker(slots=1, queues=["plain"])
        served(shared)
        assert shared.owner_of(waits.pk) not in (None, worker)

    def test_runs_suspects_as_ever(self, shared: Engine) -> None:
        [task] = shared.suspects({})
        worker = shared.worker(slots=1)
        served(shared)
        assert shared.owner_of(task) == worker

    def test_reads_little_however_much_one_has_queued(self, shared: Engine) -> None:
        create("loud", 3000)
        create("quiet")
        shared.worker(slots=2)
        served(shared, passes=1)
        assert sorted(Task.objects.filter(status="SCHEDULED").values_list("tenant", flat=True)) == ["loud", "quiet"]
        assert Task.objects.filter(gate=Gate.TURN).count() <= turns.MOST_SORTED * 5 // 4


class TestSurveyShared:
    def test_sees_what_waits_for_turns(self, shared: Engine) -> None:
        create("a")
        assert survey_due(shared.session).shared == {"default": True}
        shared.worker()
        shared.worker(queues=["other"])
        survey = survey_due(shared.session)
        Task.objects.update(gate=Gate.TURN, tenant="a")
        again = survey_due(shared.session)
        assert [head.queue for head in again.served] == [head.queue for head in survey.served] == ["default"]

    def test_finds_nothing_while_no_queue_is_shared(self, engine: Engine) -> None:
        engine.create()
        assert survey_due(engine.session).turns == []


class TestSortIn:
    def test_sees_the_newest_at_once_while_a_backlog_is_sorted(
        self, shared: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(turns, "MOST_SORTED", 4)
        create("loud", 20)
        [quiet] = create("quiet")
        shared.worker(slots=2)
        served(shared, passes=1)
        assert shared.task(quiet).status == "SCHEDULED"

    def test_leaves_what_is_locked_and_what_is_not_due(self, shared: Engine, open_session: object) -> None:
        [locked, free] = create("a", 2)
        later = shared.create(schedule_at=None)
        shared.move(later, run_at=timedelta(hours=1))
        other = open_session()  # type: ignore[operator]
        with other.connection.transaction():
            other.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", [locked])
            shared.worker(slots=1)
            served(shared)
        assert shared.statuses([locked, free, later]) == ["PENDING", "SCHEDULED", "PENDING"]
        assert [shared.task(each).gate for each in (locked, later)] == [Gate.OPEN] * 2

    def test_does_nothing_without_the_pass(self, shared: Engine) -> None:
        create("a")
        places = {"queues": ["default"], "priorities": [0], "from": ["-infinity"], "ids": [UUID(int=0)]}
        assert shared.session.rows("sort_in", places | {"most": 9}) == [(0,)]


class TestSortOut:
    def test_lets_all_go_when_a_queue_is_no_longer_shared(
        self, shared: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tasks = create("a", 9) + create("b", 9)
        worker = shared.worker(slots=1)
        served(shared)
        assert Task.objects.filter(gate=Gate.TURN).count() == 17
        monkeypatch.setattr(turns, "MOST_SORTED", 5)
        share(fair_by=None)
        shared.worker(slots=20)
        while shared.assign().moved:
            pass
        assert set(shared.statuses(tasks)) == {"SCHEDULED"}
        assert worker in {shared.owner_of(each) for each in tasks}
        create("a")
        shared.assign()
        assert not Queue.objects.get().has_turns


class TestLookAtSharers:
    def _look(self, engine: Engine, most: int = 9) -> list[tuple[str, int, int]]:
        engine.session.execute("BEGIN")
        engine.session.rows("take_pass")
        parameters = {"queues": ["default"], "most": most, "workers": [], "floors": []}
        rows = engine.session.rows("look_at_sharers", parameters)
        engine.session.execute("ROLLBACK")
        return [(tenant, held, used) for _, tenant, _, held, used in rows]

    def test_begins_at_the_one_that_was_served_last(self, shared: Engine) -> None:
        for tenant in "abcd":
            create(tenant)
        Task.objects.update(gate=Gate.TURN, tenant=F("created_by"))
        assert self._look(shared) == [(each, 0, 0) for each in "abcd"]
        Turn.objects.create(queue="default", tenant="c", used=2)
        assert self._look(shared) == [("c", 0, 2), ("d", 0, 0), ("a", 0, 0), ("b", 0, 0)]
        assert self._look(shared, most=3) == [("c", 0, 2), ("d", 0, 0), ("a", 0, 0)]
        assert self._look(shared, most=1) == [("c", 0, 2)]
        Turn.objects.update(tenant="x")
        assert self._look(shared, most=2) == [("a", 0, 0), ("b", 0, 0)]


class TestLockTurns:
    def test_leaves_what_is_locked_and_what_has_expired(self, shared: Engine, open_session: object) -> None:
        tasks = create("a", 3)
        Task.objects.update(gate=Gate.TURN, tenant="a")
        shared.session.execute(
            "UPDATE tasks SET schedule_at = now() - interval '2 s', expires_at = now() - interval '1 s' WHERE id = %s",
            [tasks[0]],
        )
        other = open_session()  # type: ignore[operator]
        with other.connection.transaction():
            other.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", [tasks[1]])
            rows = shared.session.rows(
                "lock_turns", {"queues": ["default"], "tenants": ["a"], "tasks": [2], "ages": [None]}
            )
        assert [row[0] for row in rows] == [tasks[2]]

    def test_locks_no_more_than_there_is_room_for(self, shared: Engine) -> None:
        create("a", 9)
        Task.objects.update(gate=Gate.TURN, tenant="a")
        room = Room(UUID(int=1), None, 2, 2, 0, 0, 2, None, "")
        turned, _ = turns.lock_turns(shared.session, [Sharer("default", "a", 1, 0, 0)], [room])
        assert len(turned) == 2


class TestNoteTurns:
    def test_is_undone_with_the_pass(self, shared: Engine) -> None:
        create("a")
        shared.worker(slots=1)
        survey = survey_due(shared.session)
        shared.session.execute("BEGIN")
        shared.session.send("note_turns", {"queues": ["default"], "tenants": ["z"], "used": [1]})
        shared.session.execute("ROLLBACK")
        assert not Turn.objects.exists()
        assign_due_tasks(shared.session, survey, outlook=Outlook())
        assert Turn.objects.get().tenant == "a"


class TestWeights:
    """End to end: the weights of keys decide who has how many of the slots, pass by pass, as tasks end."""

    @pytest.mark.parametrize("slots", [4, 16])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_are_the_shares_of_what_starts_and_no_slot_stays_empty(
        self, engine: Engine, slots: int, workers: int
    ) -> None:
        share(fair_by=FairBy.FAIR_KEY)
        queue_keys.set_key("default", "acme", {"weight": 3}, actor="test")
        for tenant in ("acme", "bolt"):
            engine.create_many(12 * slots, fair_key=tenant)
        nodes = [engine.worker(slots=slots // workers) for _ in range(workers)]
        started: Counter[str] = Counter()
        for _ in range(12):
            served(engine)
            batch = [name for node in nodes for name in finish_all(engine, node)]
            assert len(batch) == slots
            started.update(batch)
        assert started == {"acme": 9 * slots, "bolt": 3 * slots}

    def test_hold_while_tasks_end_one_by_one(self, engine: Engine) -> None:
        share(fair_by=FairBy.FAIR_KEY)
        queue_keys.set_key("default", "acme", {"weight": 3}, actor="test")
        for tenant in ("acme", "bolt"):
            engine.create_many(100, fair_key=tenant)
        worker = engine.worker(slots=8)
        served(engine)
        running, ended = engine.start(worker), Counter[str]()
        for number in range(48):
            attempt = running.pop(number * 5 % len(running))  # neither the oldest first nor the newest
            ended[engine.task(attempt.task_id).fair_key or ""] += 1
            engine.finish(worker, attempt, SUCCEEDED)
            served(engine)
            running += engine.start(worker)
            held = Counter(Task.objects.filter(status="RUNNING").values_list("tenant", flat=True))
            assert held == {"acme": 6, "bolt": 2}
        assert 34 <= ended["acme"] <= 38

    def test_that_change_count_from_the_next_pass_on(self, engine: Engine) -> None:
        share(fair_by=FairBy.FAIR_KEY)
        for tenant in ("acme", "bolt"):
            engine.create_many(50, fair_key=tenant)
        worker = engine.worker(slots=8)
        served(engine)
        assert Counter(finish_all(engine, worker)) == {"acme": 4, "bolt": 4}
        queue_keys.set_key("default", "acme", {"weight": 7}, actor="test")
        served(engine)
        assert Counter(finish_all(engine, worker)) == {"acme": 7, "bolt": 1}
        queue_keys.delete_key("default", "acme", actor="test")
        served(engine)
        assert Counter(finish_all(engine, worker)) == {"acme": 4, "bolt": 4}

    def test_serve_each_of_many_tenants_once_before_any_twice(self, engine: Engine) -> None:
        """More than one pass looks at; `make chaos` has ten thousand."""
        count, most = (10_000, 1000) if WHOLE else (1_200, 150)
        share(fair_by=FairBy.FAIR_KEY)
        new = NewTask(type="DUMMY")
        names = [f"{number:05}" for number in range(count)]
        services.create_tasks([replace(new, fair_key=name) for _ in range(2) for name in names], created_by="test")
        engine.running(engine.worker(slots=1, queues=["other"]), queue="other")
        engine.worker(slots=1)
        while engine.assign().sorted:  # all of them wait for their turns, and one has had its first
            pass
        for _ in range(count // most):
            engine.worker(slots=most)
        while engine.assign().assigned:
            pass
        owned = Counter(Task.objects.filter(queue="default", worker_id__isnull=False).values_list("tenant", flat=True))
        assert sum(owned.values()) == count + 1
        assert set(owned) == set(names)
        assert sorted(owned.values())[-2:] == [1, 2]
