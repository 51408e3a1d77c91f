"""A worker, step by step in this process: what it starts, hears, drops, gives back, and when it must not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from access_app.database_faults import DatabaseAway
from tasks_app import services
from tasks_app.executors.base import Execution, Outcome, StopReason
from tasks_app.sessions import Session
from tasks_app.starting import Attempt, start_assigned
from tests.support.engine import Engine
from tests.support.waiting import eventually
from workers_app import heartbeats, recovery, runner
from workers_app import lease as lease_module
from workers_app.heartbeats import Registration
from workers_app.processes import starting
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.held import Held
from workers_app.processes.vitals import OVERDUE
from workers_app.processes.worker import Worker, WorkerOptions
from workers_app.runner import execution_of

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


class Waiting:
    """An executor whose bodies last until they are told to stop. ``deaf``: they stop only for who will not wait."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.deaf = deaf
        self.begun: list[UUID] = []
        self.executions: list[Execution] = []

    def validate(self, payload: dict[str, Any]) -> None: ...

    def execute(self, execution: Execution) -> Outcome:
        self.begun.append(execution.task_id)
        self.executions.append(execution)
        told = threading.Event()
        execution.on_stop(lambda: told.set() if execution.immediate or not self.deaf else None)
        told.wait(30)
        assert execution.stop_reason
        return Outcome.stopped(execution.stop_reason, timeout=execution.timeout)


class Link(GuardianLink):
    """What the guardian would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.beats: list[float] = []
        self.fenced = False

    def beat(self, sent: float) -> None:
        self.beats.append(sent)

    def confirm_fenced(self) -> None:
        self.fenced = True


Incarnations = Callable[..., Worker]


@pytest.fixture
def incarnation(engine: Engine) -> Iterator[Incarnations]:
    """Makes workers that are registered and record what ends; nothing else happens in them by itself."""
    made: list[Worker] = []

    def make(*, slots: int = 2, grace: timedelta = MINUTE, register: bool = True) -> Worker:
        registration = Registration(
            worker_id=uuid4(), host="h", pid=1, name="w", slots=slots, queues=None, labels={}, version="test"
        )
        worker = Worker(WorkerOptions(registration=registration, prefetch=0, grace=grace, burst=False), Link())
        made.append(worker)
        worker._executing.recorder.start()
        if register:
            worker._register()
        return worker

    yield make
    for worker in made:
        worker._executing.held.stop_all(StopReason.RELEASE, immediate=True)
        eventually(lambda worker=worker: not worker._executing.held.running())  # type: ignore[misc]
        worker._executing.pool.close()
        worker._executing.recorder.close()
        worker._executing.recorder.join(5)
        worker._heartbeat.close()
        for session in (worker._starter.session, worker._executing.recorder.session, worker._heartbeat._session):
            session.close()
        worker.listener.close()
        worker.pipe.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    executor = Waiting()
    monkeypatch.setattr(runner, "executor_for", lambda _: executor)
    return executor


def link_of(worker: Worker) -> Link:
    assert isinstance(worker._guardian, Link)
    return worker._guardian


def running(engine: Engine, worker: Worker, waiting: Waiting, **fields: Any) -> UUID:
    """A task whose body runs on this worker."""
    task_id = engine.create(**fields)
    engine.assign()
    worker._heartbeat.step()  # which is how it hears of the assignment
    worker.tick()
    eventually(lambda: task_id in waiting.begun)
    return task_id


def becomes(engine: Engine, task_id: UUID, status: str) -> None:
    eventually(lambda: engine.task(task_id).status == status)


class TestTick:
    def test_starts_no_more_than_there_are_free_slots(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation(slots=2)
        heartbeats.beat(engine.session, worker.id, held={}, prefetch=3)
        tasks = engine.create_many(5)
        engine.assign()
        worker.tick()
        worker.tick()
        assert sorted(engine.statuses(tasks)) == ["RUNNING"] * 2 + ["SCHEDULED"] * 3
        eventually(lambda: len(waiting.begun) == 2)
        assert engine.violations() == {}

    def test_starts_nothing_when_its_lease_has_ended(self, engine: Engine, incarnation: Incarnations) -> None:
        worker = incarnation()
        task_id = engine.assigned(worker.id)
        worker.lease.end()
        worker.tick()
        assert engine.task(task_id).status == "SCHEDULED"

    def test_begins_nothing_whose_start_was_answered_after_the_end_of_the_lease(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes back unused, also when it may run at most once: nothing of it has happened."""
        worker = incarnation()
        task_id = engine.assigned(worker.id, on_worker_lost="fail")

        def slow(*args: Any, **options: Any) -> list[Attempt]:
            attempts = start_assigned(*args, **options)
            worker.lease.end()
            return attempts

        monkeypatch.setattr(starting, "start_assigned", slow)
        worker.tick()
        becomes(engine, task_id, "PENDING")
        assert waiting.begun == []
        assert [e.status for e in engine.executions(task_id)] == ["RELEASED"]
        assert (engine.task(task_id).retry_count, engine.task(task_id).crash_count) == (0, 0)

    def test_adopts_a_start_whose_reply_was_lost(
        self, engine: Engine, incarnation: Incarnations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = incarnation()
        task_id = engine.assigned(worker.id)

        def lost(*args: Any, **options: Any) -> list[Attempt]:
            assert start_assigned(*args, **options)
            raise DatabaseAway

        with monkeypatch.context() as away:
            away.setattr(starting, "start_assigned", lost)
            with pytest.raises(DatabaseAway):
                worker.tick()
        assert engine.task(task_id).status == "RUNNING"
        worker.tick()
        becomes(engine, task_id, "SUCCESS")
        assert [(e.attempt, e.status) for e in engine.executions(task_id)] == [(1, "SUCCESS")]

    def test_adopts_what_two_beats_say_it_runs_beyond_what_it_holds(
        self, engine: Engine, incarnation: Incarnations
    ) -> None:
        worker = incarnation()
        attempt = engine.running(worker.id)
        worker._heartbeat.step()
        worker.tick()
        assert engine.task(attempt.task_id).status == "RUNNING"  # once may be a start in flight
        worker._heartbeat.step()
        worker._heartbeat.step()
        worker.tick()
        becomes(engine, attempt.task_id, "SUCCESS")
        assert [e.attempt for e in engine.executions(attempt.task_id)] == [1]


class TestHeard:
    def test_stops_a_task_that_was_cancelled(self, engine: Engine, incarnation: Incarnations, waiting: Waiting) -> None:
        worker = incarnation()
        cancelled, kept = running(engine, worker, waiting), running(engine, worker, waiting)
        services.cancel_task(cancelled, actor="test")
        worker._heartbeat.step()
        becomes(engine, cancelled, "CANCELLED")
        assert engine.task(kept).status == "RUNNING"

    def test_drops_what_is_not_its_own_any_more(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation()
        task_id = running(engine, worker, waiting)
        other = engine.worker()
        engine.session.execute("UPDATE tasks SET worker_id = %s, attempt = 2", [other])
        worker._heartbeat.step()
        eventually(lambda: len(worker._executing.held) == 0)
        assert waiting.executions[0].stop_reason is StopReason.RELEASE
        assert (engine.task(task_id).status, engine.task(task_id).worker_id) == ("RUNNING", other)

    def test_tells_its_guardian_when_the_accepted_beat_was_sent(
        self, engine: Engine, incarnation: Incarnations
    ) -> None:
        worker = incarnation()
        link_of(worker).beats.clear()
        before = lease_module.now()
        worker._heartbeat.step()
        [sent] = link_of(worker).beats
        assert before <= sent <= lease_module.now()

    def test_tells_its_guardian_nothing_of_a_beat_that_came_after_the_end(
        self, engine: Engine, incarnation: Incarnations
    ) -> None:
        worker = incarnation()
        link_of(worker).beats.clear()
        worker.lease.end()
        worker._heartbeat.step()
        assert link_of(worker).beats == []

    def test_leaves_when_it_is_told_to_drain(self, engine: Engine, incarnation: Incarnations) -> None:
        worker = incarnation()
        heartbeats.request_drain(worker.id, actor="ops")
        assert not worker.stopping
        worker._heartbeat.step()
        assert worker.stopping

    def test_fences_itself_when_the_database_says_it_is_dead(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation()
        running(engine, worker, waiting)
        engine.kill(worker.id)
        worker._heartbeat.step()
        assert worker._leaving.fenced
        eventually(lambda: not worker._executing.held.running())

    def test_begins_to_look_for_what_waits_where_a_beat_saw_it(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        """Also while it goes on starting others: below its floor lies what was assigned by a clock since set back."""
        worker = incarnation(slots=4)
        running(engine, worker, waiting)
        early = engine.create(priority=-1)
        engine.assign()
        engine.move(early, assigned_at=timedelta(hours=-1))
        worker._starter._floors.note([(worker.id, engine.session.fetch("SELECT now()::text")[0][0])])
        worker._starter.look_again()
        worker.tick()
        assert engine.task(early).status == "SCHEDULED"
        running(engine, worker, waiting)
        worker._heartbeat.step()
        worker.tick()
        eventually(lambda: engine.task(early).status != "SCHEDULED")


class TestLock:
    def test_is_held_while_it_listens(self, engine: Engine, incarnation: Incarnations) -> None:
        worker, other = incarnation(), incarnation()
        worker.listener.wait(5)
        assert recovery.held_locks(engine.session, [worker.id, other.id]) == [worker.id]


class TestStuck:
    def test_is_nothing_while_all_parts_make_progress(self, incarnation: Incarnations) -> None:
        assert incarnation()._vitals.stuck() is None

    def test_is_a_starter_that_hangs_for_a_lease(self, incarnation: Incarnations) -> None:
        worker = incarnation()
        worker._starter.stepping_since = time.monotonic() - settings.SCHEDULER.heartbeat_timeout.total_seconds() - 1
        assert worker._vitals.stuck() == "starter"

    def test_is_a_recorder_that_has_died(self, incarnation: Incarnations) -> None:
        worker = incarnation()
        worker._executing.recorder.close()
        worker._executing.recorder.join(5)
        assert worker._vitals.stuck() == "recorder"

    @pytest.mark.parametrize(("late", "stuck"), [(1.0, None), (OVERDUE + 0.1, "executor")])
    def test_is_work_that_ignores_its_deadline(
        self, engine: Engine, incarnation: Incarnations, late: float, stuck: str | None
    ) -> None:
        worker = incarnation()
        attempt = engine.running(worker.id)
        execution = execution_of(attempt)
        execution.deadline = time.monotonic() - late
        worker._executing.held.add([Held(attempt, execution)])
        assert worker._vitals.stuck() == stuck
        worker._executing.held.remove([attempt])


class TestLease:
    def test_counts_from_when_the_registration_was_sent(
        self, incarnation: Incarnations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The scheduler may see the row long before the reply arrives, and count from then."""
        clock = [1000.0]

        def slow(session: Session, registration: Registration) -> str:
            clock[0] += 5
            return "system/00000001"

        monkeypatch.setattr(lease_module, "now", lambda: clock[0])
        monkeypatch.setattr(heartbeats, "register_worker", slow)
        worker = incarnation(register=False)
        clock[0] += 60  # the database was away
        worker._register()
        config = settings.SCHEDULER
        assert worker.lease.remaining == (config.heartbeat_timeout - config.lease_margin).total_seconds() - 5
        assert link_of(worker).beats == [1060.0]

    def test_drops_all_work_at_its_end_and_gives_it_back(
        self, engine: Engine, incarnation: Incarnations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deaf = Waiting(deaf=True)
        monkeypatch.setattr(runner, "executor_for", lambda _: deaf)
        worker = incarnation()
        task_id = running(engine, worker, deaf)
        worker._watch()
        assert not worker._leaving.fenced
        worker.lease.end()
        worker._watch()
        assert (worker._leaving.fenced, worker.stopping) == (True, True)
        becomes(engine, task_id, "PENDING")
        task, [execution] = engine.task(task_id), engine.executions(task_id)
        assert (execution.status, task.retry_count, task.crash_count) == ("RELEASED", 0, 0)

    def test_is_confirmed_to_the_guardian_only_when_no_work_is_alive(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation()
        attempt = engine.running(worker.id)
        body = Held(attempt, execution_of(attempt))
        worker._executing.held.add([body])
        worker.lease.end()
        worker._watch()
        assert not link_of(worker).fenced
        body.ended = True
        worker._watch()
        assert link_of(worker).fenced

    def test_over_means_no_further_beat(self, engine: Engine, incarnation: Incarnations) -> None:
        worker = incarnation()
        worker._heartbeat.start()
        eventually(lambda: len(link_of(worker).beats) > 1)
        worker.lease.end()
        worker._watch()
        worker._heartbeat.join(5)
        assert not worker._heartbeat.is_alive()


class TestWatch:
    def test_tells_work_that_its_time_is_over(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation()
        late = running(engine, worker, waiting, timeout_ms=1, max_retries=0)
        young = running(engine, worker, waiting)
        worker._watch()
        becomes(engine, late, "FAILED")
        assert [e.status for e in engine.executions(late)] == ["TIMED_OUT"]
        assert engine.task(young).status == "RUNNING"


class TestDrain:
    def test_gives_back_what_has_not_started_and_what_does_not_end(
        self, engine: Engine, incarnation: Incarnations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither counts as a retry or a crash, however deaf the work is."""
        deaf = Waiting(deaf=True)
        monkeypatch.setattr(runner, "executor_for", lambda _: deaf)
        worker = incarnation(slots=1, grace=SECOND)
        begun = running(engine, worker, deaf)
        heartbeats.beat(engine.session, worker.id, held={begun: 1}, prefetch=1)
        assigned = engine.create()
        engine.assign()
        assert engine.task(assigned).status == "SCHEDULED"
        worker.drain()
        becomes(engine, begun, "PENDING")
        assert engine.task(assigned).status == "PENDING"
        assert [engine.task(t).retry_count + engine.task(t).crash_count for t in (begun, assigned)] == [0, 0]
        assert (engine.task(begun).attempt, engine.task(assigned).attempt) == (1, 0)
        assert engine.worker_state(worker.id) == "DRAINING"

    def test_fails_what_may_run_at_most_once_when_it_breaks_it_off(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation(slots=1, grace=SECOND)
        task_id = running(engine, worker, waiting, on_worker_lost="fail")
        worker.drain()
        becomes(engine, task_id, "FAILED")
        assert engine.task(task_id).end_reason == "WORKER_LOST"

    def test_lets_work_end_that_ends_within_the_grace(
        self, engine: Engine, incarnation: Incarnations, waiting: Waiting
    ) -> None:
        worker = incarnation(slots=1)
        task_id = running(engine, worker, waiting)
        threading.Timer(0.2, lambda: worker._executing.held.stop(task_id, StopReason.CANCEL)).start()
        worker.drain()
        becomes(engine, task_id, "CANCELLED")

    def test_ends_at_once_when_it_is_asked_a_second_time(
        self, engine: Engine, incarnation: Incarnations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deaf = Waiting(deaf=True)
        monkeypatch.setattr(runner, "executor_for", lambda _: deaf)
        worker = incarnation(slots=1, grace=MINUTE)
        task_id = running(engine, worker, deaf)
        worker.pipe.stop_requests = 2
        began = time.monotonic()
        worker.drain()
        assert time.monotonic() - began < 10
        becomes(engine, task_id, "PENDING")
        assert [e.status for e in engine.executions(task_id)] == ["RELEASED"]
