"""Starting what was assigned: the fence is granted here, and never to a worker that is not alive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.starting import adopt_running, start_assigned
from tests.support.engine import FAILED, SUCCEEDED, Engine
from tests.support.races import locked, rival_on, transaction
from workers_app import heartbeats
from workers_app.runner import execution_of

OpenSession = Callable[[], Session]


class TestStartAssigned:
    def test_turns_an_assignment_into_a_running_attempt_with_a_new_fence(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(
            worker,
            payload={"sleepDurationMs": 5},
            timeout_ms=1234,
            max_retries=7,
            retry={"backoff": "fixed"},
            correlation_id="c-1",
            concurrency_key="k",
        )
        [attempt] = engine.start(worker)
        task = engine.task(task_id)
        assert (task.status, task.worker_id, task.attempt, task.version) == ("RUNNING", worker, 1, 3)
        assert datetime.fromisoformat(attempt.started_at) == task.started_at
        assert attempt[:10] == (
            task_id, 1, "DUMMY", '{"sleepDurationMs": 5}', 1234, "c-1", 7, 0, '{"backoff": "fixed"}', True,
        )  # fmt: skip

    def test_raises_the_fence_with_every_start(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        fences = [attempt.attempt]
        for _ in range(3):
            engine.finish(worker, attempt, FAILED)
            engine.move(attempt.task_id, run_at=-timedelta(seconds=1))
            engine.assign()
            [attempt] = engine.start(worker)
            fences.append(attempt.attempt)
        assert fences == [1, 2, 3, 4]
        assert attempt.retry_count == 3

    def test_starts_no_more_than_it_was_asked_for(self, engine: Engine) -> None:
        worker = engine.worker(slots=5)
        engine.create_many(5)
        engine.assign()
        assert [len(engine.start(worker, limit=limit)) for limit in (0, 2, 100, 100)] == [0, 2, 3, 0]

    def test_answers_in_the_order_of_priority_then_due_time_then_id(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        low, urgent, second, first, early = engine.create_many(5)
        for task_id, priority, age in [(low, -1, 90), (urgent, 7, 1), (first, 0, 10), (second, 0, 10), (early, 0, 60)]:
            Task.objects.filter(pk=task_id).update(
                priority=priority, run_at=datetime(2024, 1, 1, tzinfo=UTC) - timedelta(seconds=age)
            )
        engine.assign()
        now = datetime.now(UTC)
        for task_id in (low, first, urgent, second, early):  # neither ids nor places on the page have the order wanted
            Task.objects.filter(pk=task_id).update(assigned_at=now)
        order = [urgent, early, second, first, low]  # of equals, the older id
        assert [attempt.task_id for attempt in engine.start(worker, limit=2)] == order[:2]
        assert [attempt.task_id for attempt in engine.start(worker)] == order[2:]

    def test_starts_what_was_assigned_first_before_what_fell_due_first(self, engine: Engine) -> None:
        worker = engine.worker()
        first, second = engine.assigned(worker), engine.assigned(worker)
        engine.move(second, run_at=timedelta(seconds=-9))
        assert [engine.start(worker, limit=1)[0].task_id for _ in range(2)] == [first, second]

    def test_starts_what_was_assigned_a_second_ago_before_what_is_urgent(self, engine: Engine) -> None:
        worker = engine.worker()
        waiting, urgent, other = (engine.assigned(worker, priority=priority) for priority in (0, 9, 0))
        engine.move(waiting, assigned_at=timedelta(seconds=-1))
        started = [engine.start(worker, limit=1)[0].task_id for _ in range(3)]
        assert started == [waiting, urgent, other]

    def test_does_not_start_before_its_time(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker)
        engine.move(task_id, run_at=timedelta(seconds=30))
        assert engine.start(worker) == []
        engine.move(task_id, run_at=timedelta(0))
        assert len(engine.start(worker)) == 1

    def test_does_not_start_what_has_expired(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker)
        engine.move(task_id, expires_at=timedelta(0))
        assert engine.start(worker) == []
        assert engine.task(task_id).attempt == 0

    def test_starts_only_what_is_assigned_to_this_worker(self, engine: Engine) -> None:
        one, other = engine.worker(slots=1), engine.worker(slots=1)
        engine.create_many(2)
        engine.assign()
        [attempt] = engine.start(one)
        assert engine.task(attempt.task_id).worker_id == one
        assert [engine.task(a.task_id).worker_id for a in engine.start(other)] == [other]
        assert engine.start(uuid4()) == []

    @pytest.mark.parametrize("state", ["DRAINING", "STOPPED", "DEAD"])
    def test_starts_nothing_for_a_worker_that_is(self, engine: Engine, state: str) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker)
        engine.session.execute("UPDATE worker_heartbeats SET state = %s WHERE worker_id = %s", [state, worker])
        assert engine.start(worker) == []
        assert engine.task(task_id).status == "SCHEDULED"

    def test_starts_nothing_for_a_worker_without_a_row(self, engine: Engine) -> None:
        worker = engine.worker()
        engine.assigned(worker)
        engine.session.execute("DELETE FROM worker_heartbeats")
        assert engine.start(worker) == []

    def test_starts_nothing_that_was_cancelled(self, engine: Engine) -> None:
        worker = engine.worker()
        services.cancel_task(engine.assigned(worker), actor="test")
        assert engine.start(worker) == []

    @pytest.mark.parametrize("timeline", ["1/00000001", ""])
    def test_starts_and_adopts_nothing_on_another_timeline(self, engine: Engine, timeline: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        task_id = engine.assigned(worker)
        assert start_assigned(engine.session, worker_id=worker, limit=9, timeline=timeline) == []
        assert adopt_running(engine.session, worker_id=worker, held=[], timeline=timeline) == []
        assert engine.task(task_id).status == "SCHEDULED"
        assert adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline) == [attempt]


class TestStartAgainstDeath:
    def test_loses_to_a_mark_that_was_first(self, engine: Engine, open_session: OpenSession) -> None:
        """Its snapshot still shows an ACTIVE row; it waits for the mark and looks again."""
        worker = engine.worker()
        task_id = engine.assigned(worker)
        marking, starting = open_session(), open_session()
        with transaction(marking):
            assert heartbeats.mark_dead(marking, worker)
            start = rival_on(
                starting, lambda session: start_assigned(session, worker_id=worker, limit=9, timeline=engine.timeline)
            )
            start.waits(engine.session)
        assert start.answer() == []
        assert engine.task(task_id).attempt == 0
        assert [row.next_status for row in engine.recover()] == ["PENDING"]

    def test_is_seen_by_the_recovery_after_a_mark_that_came_second(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker()
        engine.assigned(worker)
        marking, starting = open_session(), open_session()
        with transaction(starting):
            [attempt] = start_assigned(starting, worker_id=worker, limit=9, timeline=engine.timeline)
            mark = rival_on(marking, lambda session: heartbeats.mark_dead(session, worker))
            mark.waits(engine.session)
        assert mark.answer()
        assert [(row.task_id, row.attempt, row.was) for row in engine.recover()] == [(attempt.task_id, 1, "RUNNING")]

    def test_does_not_wait_for_a_beat(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        engine.assigned(worker)
        beating = open_session()
        with transaction(beating):
            heartbeats.beat(beating, worker, held={}, prefetch=0)
            assert len(engine.start(worker)) == 1


class TestStartAgainstPeople:
    def test_skips_what_is_being_cancelled_and_starts_the_rest(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=2)
        first, second = engine.create_many(2)
        engine.assign()
        with locked(open_session(), "tasks", "id", first):
            assert [attempt.task_id for attempt in engine.start(worker)] == [second]
        assert [attempt.task_id for attempt in engine.start(worker)] == [first]

    def test_does_not_start_what_changed_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The start waits for its worker's row with its snapshot taken; meanwhile people change its tasks."""
        worker = engine.worker(slots=4)
        cancelled, edited, expired, kept = engine.create_many(4)
        engine.assign()
        marking, starting = open_session(), open_session()
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            start = rival_on(
                starting, lambda session: start_assigned(session, worker_id=worker, limit=9, timeline=engine.timeline)
            )
            start.waits(engine.session)
            services.cancel_task(cancelled, actor="test")
            services.edit_task(edited, {"priority": 3}, actor="test")
            engine.move(expired, expires_at=-timedelta(minutes=1))
        assert [attempt.task_id for attempt in start.answer()] == [kept]
        assert engine.statuses([cancelled, edited, expired]) == ["CANCELLED", "PENDING", "SCHEDULED"]


class TestAdoptRunning:
    def held(self, engine: Engine, worker: UUID, count: int) -> list[UUID]:
        engine.create_many(count)
        engine.assign()
        return [attempt.task_id for attempt in engine.start(worker)]

    def test_answers_starts_whose_reply_was_lost_under_the_fence_they_carry(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        [attempt] = [engine.running(worker)]
        assert adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline) == [attempt]
        assert engine.finish(worker, attempt, SUCCEEDED) == "SUCCESS"
        assert adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline) == []

    def test_carries_the_time_of_the_schedule_like_the_start(self, engine: Engine) -> None:
        worker, task_id, at = engine.worker(), engine.create(), datetime(2026, 1, 1, tzinfo=UTC)
        Task.objects.filter(pk=task_id).update(schedule_id=uuid4(), scheduled_for=at)
        engine.assign()
        [started] = engine.start(worker)
        [adopted] = adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline)
        assert (started.scheduled_for, adopted.scheduled_for) == (at, at)
        assert execution_of(started).scheduled_for == at

    def test_leaves_out_what_is_held(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        first, second, third = self.held(engine, worker, 3)
        adopted = adopt_running(engine.session, worker_id=worker, held=[first, third], timeline=engine.timeline)
        assert [attempt.task_id for attempt in adopted] == [second]

    def test_changes_nothing(self, engine: Engine) -> None:
        worker = engine.worker()
        [task_id] = self.held(engine, worker, 1)
        before = engine.task(task_id).version
        adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline)
        assert engine.task(task_id).version == before

    def test_leaves_what_is_assigned_and_what_others_run(self, engine: Engine) -> None:
        worker, other = engine.worker(slots=2), engine.worker(slots=2)
        engine.create_many(4)
        engine.assign()
        engine.start(worker, limit=1)
        engine.start(other)
        assert len(adopt_running(engine.session, worker_id=worker, held=[], timeline=engine.timeline)) == 1
