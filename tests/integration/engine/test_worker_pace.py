"""How a worker keeps going while it is full: bodies at once, whom it notifies of room and when, when it beats early."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tasks_app import wakeups
from tasks_app.executors.base import Execution, Outcome
from tests.support.engine import Engine
from tests.support.waiting import eventually
from workers_app import heartbeats, recorder, runner
from workers_app.heartbeats import Registration
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.worker import Worker, WorkerOptions

SLOTS, PREFETCH = 3, 12


class Counting:
    """An executor that counts how many of its bodies run at once; they last up to 4 ms."""

    def __init__(self) -> None:
        self.most = 0
        self.done = 0
        self._now = 0
        self._lock = threading.Lock()

    def execute(self, execution: Execution) -> Outcome:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        execution.wait(0.002 * (execution.task_id.int % 3))
        with self._lock:
            self._now -= 1
            self.done += 1
        return Outcome.success()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    executor = Counting()
    monkeypatch.setattr(runner, "executor_for", lambda _: executor)
    return executor


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that have notified schedulers of room."""
    found: list[str] = []
    monkeypatch.setattr(
        wakeups, "notify_schedulers", lambda *_args, **_options: found.append(threading.current_thread().name)
    )
    return found


@pytest.fixture
def worker(engine: Engine) -> Iterator[Worker]:
    """A registered worker that records what ends; its steps are the test's."""
    registration = Registration(
        worker_id=uuid4(), host="h", pid=1, name="w", slots=SLOTS, queues=None, labels={}, version="test"
    )
    options = WorkerOptions(registration=registration, prefetch=PREFETCH, grace=timedelta(minutes=1), burst=False)
    made = Worker(options, GuardianLink())
    made._executing.recorder.start()
    made._register()
    yield made
    made._executing.pool.close()
    made._executing.recorder.close()
    made._executing.recorder.join(5)
    for session in (made._starter.session, made._executing.recorder.session, made._heartbeat._session):
        session.close()
    made.listener.close()
    made.pipe.close()


def assigned(engine: Engine, worker: Worker, count: int) -> list[UUID]:
    """Tasks assigned to the worker, which has announced room for them."""
    heartbeats.beat(engine.session, worker.id, held={}, prefetch=PREFETCH)
    worker._executing.prefetch = PREFETCH
    tasks = engine.create_many(count)
    engine.assign()
    worker._starter.look_again()
    return tasks


def fill_up(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One start, and all that is done about the ends of it."""
    wake, settled = worker._executing._on_recorded, threading.Event()

    def on_recorded() -> None:
        wake()
        if not worker._executing.held:
            settled.set()

    monkeypatch.setattr(worker._executing, "_on_recorded", on_recorded)
    worker.tick()
    assert settled.wait(10)


class TestSlots:
    def test_are_never_exceeded_by_bodies_nor_by_rows_however_fast_they_end(
        self, engine: Engine, worker: Worker, counting: Counting
    ) -> None:
        tasks = assigned(engine, worker, SLOTS + PREFETCH)
        while counting.done < len(tasks):
            worker.tick()
            assert engine.violations() == {}
        assert 0 < counting.most <= SLOTS
        eventually(lambda: engine.statuses(tasks) == ["SUCCESS"] * len(tasks))

    def test_of_tasks_that_take_several_are_never_exceeded_either(
        self, engine: Engine, worker: Worker, counting: Counting
    ) -> None:
        tasks = assigned(engine, worker, SLOTS + PREFETCH)
        tasks += [engine.create(slots=1 + number % SLOTS, priority=1) for number in range(9)]
        while counting.done < len(tasks):
            engine.assign()
            worker._starter.look_again()
            worker.tick()
            assert worker._executing.held.slots <= SLOTS
            assert engine.violations() == {}
        eventually(lambda: engine.statuses(tasks) == ["SUCCESS"] * len(tasks))


class TestRoom:
    def test_that_somebody_waits_for_is_told_of_though_other_slots_are_free(
        self, engine: Engine, worker: Worker, counting: Counting, hints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assigned(engine, worker, 1)
        worker._executing.prefetch = 0
        hints.clear()
        assert not worker._concerns_us(f"+{worker.id}")
        fill_up(worker, monkeypatch)
        assert hints == ["recorder"]

    def test_is_told_of_once_for_several_starts_that_the_prefetch_provides_for(
        self, engine: Engine, worker: Worker, counting: Counting, hints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assigned(engine, worker, SLOTS + PREFETCH)
        hints.clear()
        fill_up(worker, monkeypatch)
        assert hints == []
        fill_up(worker, monkeypatch)  # half of the prefetch has been used up
        assert hints == ["recorder"]

    def test_is_told_of_at_once_when_nothing_is_prefetched(
        self, engine: Engine, worker: Worker, counting: Counting, hints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assigned(engine, worker, SLOTS)
        worker._executing.prefetch = 0
        hints.clear()
        fill_up(worker, monkeypatch)
        assert hints[:1] == ["recorder"]

    def test_is_told_of_at_once_when_nothing_more_is_known_to_be_assigned(
        self, engine: Engine, worker: Worker, counting: Counting, hints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assigned(engine, worker, SLOTS)
        monkeypatch.setattr(worker._executing, "_more_assigned", lambda: False)
        hints.clear()
        fill_up(worker, monkeypatch)
        assert hints[:1] == ["recorder"]

    def test_is_told_of_by_the_start_that_finds_nothing_of_what_was_prefetched(
        self, engine: Engine, worker: Worker, counting: Counting, hints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The recorder has left it at that, because more seemed to be assigned."""
        assigned(engine, worker, SLOTS)
        hints.clear()
        fill_up(worker, monkeypatch)
        assert hints == []
        worker.tick()
        assert hints == ["MainThread"]
        worker._starter.look_again()
        worker.tick()
        assert hints == ["MainThread"]  # once


class TestBeat:
    def test_comes_early_when_a_new_rate_would_raise_the_prefetch(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rate = worker._executing.rate
        monkeypatch.setattr(rate, "_at", time.monotonic() - 1)
        worker._room_made()
        assert not worker._heartbeat._wake.is_set()
        rate.add(1000)
        worker._room_made()
        assert worker._heartbeat._wake.is_set()
        worker._heartbeat._wake.clear()
        assert worker._vitals.measured_prefetch() == PREFETCH
        monkeypatch.setattr(rate, "_at", time.monotonic() - 1)
        rate.add(5000)
        worker._room_made()
        assert not worker._heartbeat._wake.is_set()  # more than that it may not ask for


class TestLinger:
    def test_ends_with_the_last_body(
        self, engine: Engine, worker: Worker, counting: Counting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorder, "LINGER", 60.0)
        worker._executing.rate.latest = 1e6
        tasks = assigned(engine, worker, SLOTS)
        worker.tick()
        eventually(lambda: engine.statuses(tasks) == ["SUCCESS"] * SLOTS)
