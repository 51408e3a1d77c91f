"""What an end means for those that wait for it: nothing stalls, nothing runs too soon, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from tasks_app import services, wakeups
from tasks_app.edges import TaskEdge, TaskJoin, add_edges, hold_parents
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tasks_app.wakeups import ENDED, NEW, SCHEDULERS
from tests.support.clocks import ticking
from tests.support.ears import Ear
from tests.support.engine import FAILED, FAILED_FOR_GOOD, SUCCEEDED, UNRUN, Engine, in_seconds
from tests.support.races import locked, rival
from tests.support.races import transaction as begun
from tests.support.schedulers import stepped_scheduler
from workers_app.processes.scheduler import SETTLE_AGAIN, SETTLE_SOON, Scheduler
from workflows_app.endings import (
    Settled,
    clear_parents,
    lock_parents,
    look_at_joins,
    settle_edges,
    settle_endings,
)

OpenSession = Callable[[], Session]
DONE = Settled()


def depends(engine: Engine, *parents: UUID, **fields: Any) -> UUID:
    return engine.create(depends_on=[str(parent) for parent in parents], **fields)


def settle(engine: Engine) -> Settled:
    """Rounds until nothing moves; the sum of what they did."""
    total = DONE
    while True:
        report = settle_endings(engine.session)
        total = Settled(*(a + b for a, b in zip(total[:-1], report[:-1], strict=True)), report.left)
        if not report.moved:
            return total


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def waits(engine: Engine, task_id: UUID) -> bool:
    task = engine.task(task_id)
    return task.status == "PENDING" and task.gate == Gate.DEPENDENCY


class TestDependsOn:
    def test_a_task_does_not_start_before_those_it_depends_on_have_succeeded(self, engine: Engine) -> None:
        first, second = engine.create(), engine.create()
        child = depends(engine, first, second, max_retries=0)
        worker = engine.worker()
        engine.assign()
        attempts = engine.start(worker)
        assert {attempt.task_id for attempt in attempts} == {first, second}
        for attempt in attempts:
            assert waits(engine, child)
            engine.finish(worker, attempt, SUCCEEDED)
            report = settle(engine)
            assert engine.violations() == {}
        assert (report.opened, report.left) == (1, False)
        assert engine.assign().assigned == 1
        assert engine.task(child).status == "SCHEDULED"

    def test_is_due_from_then_on_and_not_from_before(self, engine: Engine) -> None:
        parent = engine.create()
        child = depends(engine, parent)
        engine.run(parent)
        engine.move(child, run_at=-minutes(10))
        before = engine.task(child)
        settle(engine)
        after = engine.task(child)
        assert after.run_at > before.run_at + minutes(9)
        assert after.version == before.version + 1

    def test_waits_for_its_time_too(self, engine: Engine) -> None:
        parent = engine.create()
        child = depends(engine, parent, schedule_at=in_seconds(3600))
        due = engine.task(child).run_at
        engine.run(parent)
        assert settle(engine).opened == 1
        assert engine.task(child).run_at == due

    def test_of_one_that_has_ended_is_seen_at_once(self, engine: Engine) -> None:
        parent = engine.create()
        engine.run(parent)
        child = depends(engine, parent)
        assert waits(engine, child)
        assert engine.violations() == {}
        assert settle(engine) == Settled(1, 1, 0, 1)

    def test_of_a_task_that_there_is_not_is_refused(self, engine: Engine) -> None:
        with pytest.raises(InvalidTask) as refused:
            depends(engine, UUID(int=7))
        assert refused.value.problems == {"dependsOn": f"there is no task {UUID(int=7)}"}
        assert not Task.objects.exists()

    def test_retries_of_a_task_are_not_its_end(self, engine: Engine) -> None:
        parent = engine.create(max_retries=1)
        child = depends(engine, parent)
        engine.run(parent, FAILED)
        assert (settle(engine), waits(engine, child)) == (DONE, True)
        engine.move(parent, run_at=-minutes(1))
        engine.run(parent, SUCCEEDED)
        assert settle(engine).opened == 1

    @pytest.mark.parametrize(
        ("otherwise", "status"), [("cancel", "CANCELLED"), ("fail", "FAILED")], ids=["cancel", "fail"]
    )
    def test_ends_a_task_that_never_runs_and_those_that_wait_for_it(
        self, engine: Engine, otherwise: str, status: str
    ) -> None:
        parent = engine.create()
        child = depends(engine, parent, otherwise=otherwise)
        grandchild = depends(engine, child)
        saga = depends(engine, child, run_if="all_done")
        engine.run(parent, FAILED_FOR_GOOD)
        report = settle(engine)
        assert (report.opened, report.ended, report.left) == (1, 2, False)
        task = engine.task(child)
        assert (task.status, task.end_reason) == (status, "DEPENDENCY_FAILED")
        assert engine.statuses([grandchild, saga]) == ["CANCELLED", "PENDING"]
        assert engine.task(saga).gate == Gate.OPEN
        assert engine.actions(child) == ["task.dependency_failed"]
        assert engine.violations() == {}

    def test_that_has_been_cancelled_is_no_failure(self, engine: Engine) -> None:
        parent = engine.create()
        children = {rule: depends(engine, parent, run_if=rule) for rule in ("none_failed", "any_failed", "all_done")}
        services.cancel_task(parent, actor="test")
        settle(engine)
        found = {rule: (engine.task(child).status, engine.task(child).gate) for rule, child in children.items()}
        assert found == {
            "none_failed": ("PENDING", Gate.OPEN),
            "any_failed": ("CANCELLED", Gate.DEPENDENCY),
            "all_done": ("PENDING", Gate.OPEN),
        }

    @pytest.mark.parametrize("how", UNRUN)
    def test_every_kind_of_end_counts(self, engine: Engine, how: str) -> None:
        parent = engine.create(on_worker_lost="fail")
        child = depends(engine, parent, run_if="all_done")
        engine.end_unrun(parent, how)
        assert engine.task(parent).finished_at is not None
        assert settle(engine).opened == 1
        assert not waits(engine, child)

    def test_a_child_that_is_cancelled_or_retried_meanwhile_is_left_alone(self, engine: Engine) -> None:
        parent, other = engine.create(), engine.create(schedule_at=in_seconds(3600))
        cancelled, again = depends(engine, parent), depends(engine, parent, other)
        services.cancel_task(cancelled, actor="test")
        services.cancel_task(again, actor="test")
        services.retry_task(again, actor="test")
        services.cancel_task(parent, actor="test")
        report = settle(engine)
        assert (report.edges, report.opened, report.ended, report.left) == (2, 0, 0, False)
        assert engine.statuses([cancelled, again]) == ["CANCELLED", "PENDING"]
        assert engine.violations() == {}


class TestHoldParents:
    def test_keeps_the_mark_of_an_ended_task_until_the_edges_are_there(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Else a round that runs at the same time could clear it, and the new task would wait for ever."""
        parent = engine.create()
        depends(engine, parent)
        services.cancel_task(parent, actor="test")
        with transaction.atomic():
            with connection.cursor() as cursor:
                assert hold_parents(cursor, [NewTask(type="DUMMY", depends_on=[str(parent)])])
            other = engine.create()
            report = settle_endings(open_session())
            assert (report.edges, report.cleared, report.left) == (1, 0, True)
            with connection.cursor() as cursor:
                add_edges(cursor, {other: NewTask(type="DUMMY", depends_on=[str(parent)])})
        assert engine.violations() == {}
        assert settle(engine).edges == 1

    def test_waits_for_whoever_holds_one_and_sees_what_it_became(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        parent, watcher = engine.create(), open_session()
        with begun(other := open_session()):
            other.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", [parent])
            made = rival(lambda: depends(engine, parent))
            made.waits(watcher)
        assert waits(engine, made.answer())


class TestAddEdges:
    def test_stores_each_parent_once_and_the_rule(self, engine: Engine) -> None:
        parent = engine.create()
        child = engine.create(depends_on=[str(parent), str(parent).upper()], run_if="any_failed", otherwise="fail")
        assert list(TaskEdge.objects.values_list("child_id", "parent_id", "outcome")) == [(child, parent, None)]
        assert TaskJoin.objects.get(pk=child).run_if == "any_failed"


class TestSettleEdges:
    def test_leaves_what_somebody_holds_for_the_next_round(self, engine: Engine, open_session: OpenSession) -> None:
        parent = engine.create()
        held, free = depends(engine, parent), depends(engine, parent)
        services.cancel_task(parent, actor="test")
        with locked(open_session(), "tasks", "id", held):
            report = settle(engine)
            assert (report.edges, report.ended, report.cleared, report.left) == (1, 1, 0, True)
        assert not waits(engine, free)
        assert waits(engine, held)
        assert settle(engine).ended == 1

    def test_takes_no_more_edges_than_it_may(self, engine: Engine) -> None:
        parents = engine.create_many(2)
        children = [depends(engine, parents[place % 2], run_if="all_done") for place in range(5)]
        for parent in parents:
            services.cancel_task(parent, actor="test")
        opened = []
        while (report := settle_endings(engine.session, edges=2)).edges:
            opened.append(report.opened)
        assert opened == [2, 2, 1]
        assert not any(waits(engine, child) for child in children)
        assert not report.left

    def test_takes_no_more_parents_than_it_may(self, engine: Engine) -> None:
        parents = engine.create_many(3)
        child = depends(engine, *parents, run_if="all_done")
        for parent in parents:
            services.cancel_task(parent, actor="test")
        found = [settle_endings(engine.session, parents=1) for _ in range(3)]
        assert [(report.edges, report.opened, report.left) for report in found] == [
            (1, 0, True),
            (1, 0, True),
            (1, 1, False),
        ]
        assert not waits(engine, child)


class TestLookAtJoins:
    def test_of_two_rounds_at_once_the_later_sees_what_the_earlier_settled(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Each settles the edge of one parent. If neither saw the other's, nobody would open the child."""
        first, second = engine.create(), engine.create()
        child = depends(engine, first, second, run_if="all_done")
        services.cancel_task(first, actor="test")
        with begun(other := open_session()):
            settle_edges(other, parents=1, edges=10)  # holds the child
            services.cancel_task(second, actor="test")
            blocked = settle_endings(engine.session)
            assert (blocked.edges, blocked.left) == (0, True)
        report = settle(engine)
        assert (report.edges, report.opened, report.left) == (1, 1, False)
        assert not waits(engine, child)

    def test_is_asked_of_those_that_are_locked_only(self, engine: Engine) -> None:
        parent = engine.create()
        child = depends(engine, parent)
        [join] = look_at_joins(engine.session, [child])
        assert (join.open, join.success, join.failed, join.cancelled) == (True, False, False, False)


class TestOpenDependents:
    def test_a_key_is_looked_at_by_the_pass_behind_it(self, engine: Engine) -> None:
        worker = engine.worker()
        engine.running(worker, concurrency_key="k")
        parent = engine.create()
        child = depends(engine, parent, concurrency_key="k")
        services.cancel_task(parent, actor="test")
        engine.session.execute("UPDATE task_joins SET run_if = 'all_done'")
        assert settle(engine).opened == 1
        engine.assign()
        assert engine.task(child).gate == Gate.KEY


class TestEndDependents:
    def test_names_the_one_that_has_failed(self, engine: Engine) -> None:
        good, bad = engine.create(), engine.create(schedule_at=in_seconds(3600))
        child = depends(engine, good, bad)
        engine.run(good)
        services.cancel_task(bad, actor="test")
        settle(engine)
        [[reason]] = engine.session.fetch("SELECT reason FROM audit_events WHERE task_id = %s", [child])
        assert reason == f"task {bad}, on which it depends, ended CANCELLED"


class TestLockParents:
    def test_passes_over_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        parents = engine.create_many(2)
        depends(engine, *parents)
        for parent in parents:
            services.cancel_task(parent, actor="test")
        with locked(open_session(), "tasks", "id", parents[0]), begun(engine.session):
            assert [row[0] for row in lock_parents(engine.session, parents).fetchall()] == [parents[1]]


class TestClearParents:
    def test_keeps_the_mark_of_one_with_an_open_edge(self, engine: Engine) -> None:
        parent = engine.create()
        depends(engine, parent)
        services.cancel_task(parent, actor="test")
        assert clear_parents(engine.session, [parent]) == (0, True)
        assert settle(engine).cleared == 1
        assert not Task.objects.filter(has_dependents=True).exists()


class TestHints:
    @pytest.fixture
    def ear(self, open_session: OpenSession) -> Ear:
        return Ear(open_session())

    @pytest.fixture
    def scheduler(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
        ticking(monkeypatch)
        with stepped_scheduler() as made:
            yield made

    @pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED_FOR_GOOD], ids=["success", "failure"])
    def test_of_an_end_reach_schedulers_when_others_wait_for_it(self, engine: Engine, ear: Ear, outcome: Any) -> None:
        parent = engine.create()
        depends(engine, parent)
        engine.run(parent, outcome)
        assert (SCHEDULERS, ENDED) in ear.hears(lambda heard: (SCHEDULERS, ENDED) in heard)

    def test_are_not_sent_of_a_retry_nor_when_nobody_waits(self, engine: Engine, ear: Ear) -> None:
        plain, again = engine.create(), engine.create(max_retries=1)
        depends(engine, again)
        engine.run(plain)
        engine.run(again, FAILED)
        wakeups.notify_schedulers(engine.session)
        heard = ear.hears(lambda heard: (SCHEDULERS, "") in heard)
        assert (SCHEDULERS, ENDED) not in heard

    def test_of_a_new_task_whose_parent_has_ended_say_to_look(self, engine: Engine, ear: Ear) -> None:
        parent = engine.create()
        engine.run(parent)
        depends(engine, parent)
        ear.hears(lambda heard: (SCHEDULERS, "") in heard)

    @pytest.mark.parametrize("message", [ENDED, "", "of another release"])
    def test_lead_to_a_round_and_a_pass_behind_it(self, engine: Engine, scheduler: Scheduler, message: str) -> None:
        engine.worker()
        parent = engine.create()
        child = depends(engine, parent, run_if="all_done")
        scheduler.tick()
        services.cancel_task(parent, actor="test")
        scheduler._hear(NEW)
        scheduler.tick()
        assert waits(engine, child)
        scheduler._hear(message)
        scheduler.tick()
        assert engine.task(child).status == "SCHEDULED"

    def test_whose_dependents_somebody_holds_are_followed_soon(
        self, engine: Engine, scheduler: Scheduler, open_session: OpenSession
    ) -> None:
        engine.worker()
        parent = engine.create()
        child = depends(engine, parent, run_if="all_done")
        services.cancel_task(parent, actor="test")
        with locked(open_session(), "tasks", "id", child):
            scheduler._hear(ENDED)
            assert scheduler.tick() == timedelta(seconds=SETTLE_SOON)
            assert scheduler.tick() == timedelta(seconds=SETTLE_AGAIN)
            assert waits(engine, child)
        scheduler.tick()
        assert engine.task(child).status == "SCHEDULED"

    def test_that_were_lost_are_made_up_for_by_the_housekeeper(self, engine: Engine, scheduler: Scheduler) -> None:
        parent = engine.create()
        child = depends(engine, parent, run_if="all_done")
        services.cancel_task(parent, actor="test")
        scheduler._housekeeper.round()
        assert not waits(engine, child)
