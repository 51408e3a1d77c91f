"""A worker, step by step, when the database refuses a statement or turns out to be on another timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from tasks_app.executors.base import StopReason
from tests.support.engine import Engine
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from workers_app import heartbeats, lease
from workers_app.heartbeats import Registration
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.held import Held
from workers_app.processes.worker import Worker, WorkerOptions
from workers_app.runner import execution_of

NOTHING = timedelta(0)


@pytest.fixture
def worker(engine: Engine) -> Iterator[Worker]:
    """Registered, with four slots, and not beating."""
    registration = Registration(
        worker_id=uuid4(), host="host", pid=1, name="w", slots=4, queues=None, labels={}, version="test"
    )
    options = WorkerOptions(registration=registration, prefetch=0, grace=timedelta(seconds=1), burst=False)
    made = Worker(options, GuardianLink())
    made._register()
    yield made
    made._executing.pool.close()
    for session in (made._starter.session, made._executing.recorder.session, made._heartbeat._session, made.listener):
        session.close()
    made.pipe.close()


class TestStep:
    def test_outlives_a_statement_that_is_refused_and_starts_afterwards(self, engine: Engine, worker: Worker) -> None:
        task_id = engine.assigned(worker.id)
        engine.session.execute("ALTER TABLE tasks RENAME COLUMN retry TO retry_elsewhere")
        with capture_logs() as lines:
            rests = [worker.step() for _ in range(3)]
        engine.session.execute("ALTER TABLE tasks RENAME COLUMN retry_elsewhere TO retry")
        assert min(rests) > NOTHING
        # Threads that earlier tests left behind may still tell something of their own.
        told = [line["event"] for line in lines if line["event"] in ("step_failed", "database_away")]
        assert told == ["step_failed"]
        worker.step()
        assert engine.task(task_id).status == "RUNNING"


class TestAdopt:
    def test_adopts_nothing_whose_end_is_not_recorded_yet(self, worker: Worker, engine: Engine) -> None:
        """Its reply was lost, the task was started again, and a failover forgot all that: it is RUNNING as before."""
        attempt = engine.running(worker.id)
        forgotten = attempt._replace(attempt=2, started_at="2100-01-01 00:00:00+00")
        for each in (attempt, forgotten):
            worker._executing.held.add([Held(each, execution_of(each), ended=True)])
        worker._executing.held.remove([forgotten])
        worker._starter._adopt()
        assert (worker._executing.held.running(), len(worker._executing.held)) == ([], 1)


class TestDisowned:
    @pytest.mark.parametrize("leaves", [False, True], ids=["at work", "leaving"])
    def test_drops_all_unless_it_left_while_the_beat_was_under_way(
        self, engine: Engine, worker: Worker, monkeypatch: pytest.MonkeyPatch, leaves: bool
    ) -> None:
        monkeypatch.setattr(worker._vitals, "stuck", lambda: None)
        if leaves:
            worker._heartbeat.close()
        heartbeats.mark_stopped(engine.session, worker.id)
        worker._heartbeat.step()
        assert worker._leaving.fenced != leaves


@pytest.fixture
def turn(engine: Engine) -> Iterator[Callable[[str], str]]:
    """Puts the database on another timeline, as a promotion does; returns its name."""
    [(definition,)] = engine.session.fetch("SELECT pg_get_functiondef('database_timeline'::regproc)")
    system, _, _ = engine.timeline.partition("/")

    def turn_to(number: str) -> str:
        engine.session.execute(
            "CREATE OR REPLACE FUNCTION database_timeline() RETURNS text LANGUAGE sql VOLATILE AS"
            f" $$SELECT '{system}/{number}'$$"
        )
        timeline = engine.timeline = f"{system}/{number}"
        return timeline

    yield turn_to
    engine.session.execute(definition)


class TestAnotherTimeline:
    """A standby was promoted. It may have lost what the worker was told: those rows are set back here."""

    def beat(self, worker: Worker) -> None:
        answer = heartbeats.beat(worker._starter.session, worker.id, held=worker._vitals.held_attempts(), prefetch=0)
        assert answer is not None
        worker._vitals.heard(answer, lease.now())

    def test_starts_nothing_before_it_has_compared_and_then_goes_on(
        self, engine: Engine, worker: Worker, turn: Callable[[str], str]
    ) -> None:
        old = engine.timeline
        task_id = engine.assigned(worker.id)
        new = turn("00000002")
        worker.tick()
        assert (engine.task(task_id).status, worker._starter.timeline) == ("SCHEDULED", old)
        self.beat(worker)
        worker.tick()
        assert worker._starter.timeline == new
        worker.tick()
        assert engine.task(task_id).status == "RUNNING"

    def test_goes_on_with_what_both_agree_on(self, engine: Engine, worker: Worker, turn: Callable[[str], str]) -> None:
        task_id = engine.assigned(worker.id, payload={"sleepDurationMs": 60_000})
        worker.tick()
        new = turn("00000002")
        self.beat(worker)
        worker.tick()
        [held] = worker._executing.held.running()
        assert (held.attempt.task_id, held.execution.stop_reason, worker._starter.timeline) == (task_id, None, new)
        assert not worker._leaving.fenced
        worker._executing.held.stop_all(StopReason.RELEASE, immediate=True)

    def test_drops_what_the_new_one_does_not_know_before_it_starts_anything(
        self, engine: Engine, worker: Worker, turn: Callable[[str], str]
    ) -> None:
        """The start was lost: the same fence is going to be given out again."""
        task_id = engine.assigned(worker.id, payload={"sleepDurationMs": 60_000})
        worker.tick()
        [held] = worker._executing.held.running()
        old = engine.timeline
        turn("00000002")
        self.beat(worker)  # so it is the starter that finds out, not the beat
        engine.session.execute("UPDATE tasks SET status = 'SCHEDULED', attempt = 0, started_at = NULL")
        worker.tick()
        assert (held.execution.stop_reason, held.execution.immediate) == (StopReason.RELEASE, True)
        eventually(lambda: held.ended)
        worker.tick()
        assert (engine.task(task_id).status, worker._starter.timeline) == ("SCHEDULED", old)
        worker._executing.recorder.record(worker._executing.recorder._next_batch())
        assert engine.executions(task_id) == []
        worker.tick()
        worker.tick()
        [again] = worker._executing.held.running()
        assert (again.attempt.attempt, again.execution.stop_reason) == (1, None)
        worker._executing.held.stop_all(StopReason.RELEASE, immediate=True)

    @pytest.mark.parametrize(("on_worker_lost", "status"), [("retry", "PENDING"), ("fail", "FAILED")])
    def test_gives_back_what_had_ended_without_running_it_under_the_same_fence(
        self, engine: Engine, worker: Worker, turn: Callable[[str], str], on_worker_lost: str, status: str
    ) -> None:
        """The end was lost: the new timeline says it is still running."""
        attempt = engine.running(worker.id, on_worker_lost=on_worker_lost)
        turn("00000002")
        self.beat(worker)
        worker.tick()
        assert (worker._executing.held.running(), worker._executing.held.fences()) == ([], {attempt.task_id: 1})
        worker._executing.recorder.record(worker._executing.recorder._next_batch())
        assert engine.task(attempt.task_id).status == status
        assert [execution.status for execution in engine.executions(attempt.task_id)] == ["RELEASED"]
        assert engine.violations() == {}

    def test_adopts_nothing_before_it_has_compared(
        self, engine: Engine, worker: Worker, turn: Callable[[str], str]
    ) -> None:
        engine.running(worker.id)
        turn("00000002")
        worker._starter._missing = 2
        worker.tick()
        assert len(worker._executing.held) == 0

    def test_drops_all_when_it_is_an_older_one(
        self, engine: Engine, worker: Worker, turn: Callable[[str], str]
    ) -> None:
        """A former primary came back and takes writes."""
        turn("00000002")
        self.beat(worker)
        worker.tick()
        turn("00000001")
        self.beat(worker)
        worker.tick()
        assert worker._leaving.fenced
