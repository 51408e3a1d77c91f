"""``onBusy`` on real rows: which task is busy, and several callers that ask at the same time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_app.models import Queue, QueueKey
from tasks_app import services, wakeups
from tasks_app.busy import LOCK_KEY
from tasks_app.fields import NewTask
from tasks_app.meeting import Created
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import FAILED, SUCCEEDED, Engine
from tests.support.races import rival, transaction

OpenSession = Callable[[], Session]


def create(on_busy: str, key: str = "k", **fields: object) -> Created:
    new = NewTask(type="DUMMY", concurrency_key=key, on_busy=on_busy, **fields)  # type: ignore[arg-type]
    return services.create_task(new, created_by="me")


def open_tasks() -> int:
    return Task.objects.filter(finished_at=None).count()


class TestSkip:
    def test_returns_the_task_that_has_the_key(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker(), concurrency_key="k")
        engine.create(concurrency_key="k", priority=9)
        made = create("skip")
        assert (made.task.pk, made.existing) == (attempt.task_id, "skipped")
        assert Task.objects.count() == 2

    def test_returns_the_first_that_waits_when_none_runs(self, engine: Engine) -> None:
        engine.create(concurrency_key="k")
        first = engine.create(concurrency_key="k", priority=9)
        assert create("skip").task.pk == first

    def test_makes_one_of_a_free_key(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, concurrency_key="k")
        engine.create(concurrency_key="other")
        engine.create(concurrency_key="k", queue="elsewhere")
        engine.finish(worker, attempt, SUCCEEDED)
        assert create("skip").existing == ""

    def test_finds_a_retry_that_waits(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, concurrency_key="k")
        engine.finish(worker, attempt, FAILED)
        assert create("skip").task.pk == attempt.task_id


class TestQueueOne:
    def test_lets_one_wait_behind_the_one_that_runs(self, engine: Engine) -> None:
        engine.running(engine.worker(), concurrency_key="k")
        second, third = create("queue_one"), create("queue_one")
        assert (second.existing, third.existing) == ("", "queued")
        assert third.task.pk == second.task.pk
        assert open_tasks() == 2


class TestCancelRunning:
    def test_asks_what_runs_to_stop_and_ends_what_waits(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped: list[object] = []
        monkeypatch.setattr(wakeups, "notify_stop", stopped.append)
        worker = engine.worker()
        attempt = engine.running(worker, concurrency_key="k")
        waiting = engine.create(concurrency_key="k")
        made = create("cancel_running")
        assert made.existing == ""
        assert engine.statuses([attempt.task_id, waiting, made.task.pk]) == ["RUNNING", "CANCELLED", "PENDING"]
        assert engine.task(attempt.task_id).cancel_requested_at is not None
        assert stopped == [worker]
        assert engine.actions(attempt.task_id)[-1] == "task.cancel_requested"
        engine.assign()
        assert engine.task(made.task.pk).status == "PENDING"  # the key is still held

    def test_takes_back_what_is_assigned(self, engine: Engine) -> None:
        worker = engine.worker()
        assigned = engine.assigned(worker, concurrency_key="k")
        made = create("cancel_running")
        assert engine.task(assigned).status == "CANCELLED"
        engine.assign()
        assert [attempt.task_id for attempt in engine.start(worker)] == [made.task.pk]


class TestSlots:
    """A key that may have several at once is busy when all of them are taken, or spoken for."""

    @pytest.mark.parametrize("of", ["queue", "key"])
    def test_are_those_of_the_key_or_else_of_its_queue(self, engine: Engine, of: str) -> None:
        Queue.objects.create(name="default", key_max_concurrency=2 if of == "queue" else 9)
        if of == "key":
            QueueKey.objects.create(queue="default", key="k", max_concurrency=2)
        first, second, third = (create("skip") for _ in range(3))
        assert [made.existing for made in (first, second, third)] == ["", "", "skipped"]
        assert create("queue_one").existing == ""
        assert create("queue_one").existing == "queued"
        create("cancel_running")
        assert engine.statuses([first.task.pk, second.task.pk]) == ["CANCELLED", "CANCELLED"]
        assert open_tasks() == 2


class TestAtOnce:
    """The second caller waits for the first, and decides on what that one has committed."""

    @pytest.mark.parametrize(("on_busy", "existing"), [("skip", "skipped"), ("queue_one", ""), ("cancel_running", "")])
    def test_waits_for_who_looks_at_the_same_key(
        self, engine: Engine, open_session: OpenSession, on_busy: str, existing: str
    ) -> None:
        other = open_session()
        task_id = engine.create()
        with transaction(other):
            other.fetch(LOCK_KEY, ["default", "k"])
            second = rival(lambda: create(on_busy))
            second.waits(engine.session)
            other.execute("UPDATE tasks SET concurrency_key = 'k' WHERE id = %s", [task_id])
        made = second.answer()
        assert made.existing == existing
        assert (made.task.pk == task_id) is bool(existing)
        assert (engine.task(task_id).status == "CANCELLED") is (on_busy == "cancel_running")

    def test_waits_for_nobody_at_another_key(self, engine: Engine, open_session: OpenSession) -> None:
        other = open_session()
        with transaction(other):
            other.fetch(LOCK_KEY, ["default", "k"])
            assert not rival(lambda: create("skip", "other")).has_to_wait(engine.session)

    @pytest.mark.parametrize(("on_busy", "left"), [("skip", 1), ("queue_one", 2), ("cancel_running", 1)])
    def test_leaves_as_many_open_as_it_says(self, engine: Engine, on_busy: str, left: int) -> None:
        callers = [rival(lambda: create(on_busy)) for _ in range(8)]
        for caller in callers:
            caller.answer(30)
        assert open_tasks() == left
        assert engine.violations() == {}
