"""Deleting what ended long ago, with all that hangs on it and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import pytest
from django.conf import settings

from access_app.idempotency import Idempotency, take_idempotency_key
from access_app.models import AuditEvent, IdempotencyKey
from flow_app.queues import pause_queue
from tasks_app import services
from tasks_app.edges import TaskEdge, TaskJoin
from tasks_app.executors.base import Outcome
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution, TaskOutput
from tasks_app.retention import LOOK_AGAIN, Retention, delete_ended_tasks
from tasks_app.sessions import Session
from tests.factories import make_output
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, Engine
from tests.support.races import held_after_its_look, locked, looks_held, rival_on
from workflows_app.endings import settle_endings

OpenSession = Callable[[], Session]
#: A look at all successes that ended a week ago.
LOOK: Final = {
    "age": "7 days",
    "statuses": ["SUCCESS"],
    "success_age": "7 days",
    "failed_age": "30 days",
    "after": "-infinity",
    "after_id": UUID(int=0),
    "limit": 10,
}


def ended(engine: Engine, how: str, days: float, **fields: Any) -> UUID:
    """A task that ended some days ago."""
    if how == "CANCELLED":
        task_id = engine.create(**fields)
        services.cancel_task(task_id, actor="test")
    else:
        worker = engine.worker()
        attempt = engine.running(worker, **fields)
        task_id = attempt.task_id
        engine.finish(worker, attempt, SUCCEEDED if how == "SUCCESS" else FAILED_FOR_GOOD)
        engine.kill(worker)
    engine.move(task_id, finished_at=-timedelta(days=days))
    return task_id


def dependent(engine: Engine, parent: UUID) -> UUID:
    """A task that depends on an ended one, and knows of that."""
    child = engine.create(depends_on=[str(parent)])
    settle_endings(engine.session)
    return child


def end(engine: Engine, task_id: UUID, outcome: Outcome = SUCCEEDED) -> None:
    """The only due task runs."""
    worker = engine.worker()
    engine.assign()
    [attempt] = engine.start(worker)
    assert attempt.task_id == task_id
    engine.finish(worker, attempt, outcome)
    engine.kill(worker)


def remaining() -> set[UUID]:
    return set(Task.objects.values_list("pk", flat=True))


class TestDeleteEndedTasks:
    @pytest.mark.parametrize(
        ("status", "days", "kept"),
        [
            ("SUCCESS", 6.9, True), ("SUCCESS", 7.1, False),
            ("CANCELLED", 6.9, True), ("CANCELLED", 7.1, False),
            ("FAILED", 29.9, True), ("FAILED", 30.1, False),
        ],
    )  # fmt: skip
    def test_keeps_each_kind_as_long_as_its_setting_says(
        self, engine: Engine, status: str, days: float, kept: bool
    ) -> None:
        task_id = ended(engine, status, days)
        assert Retention().delete(engine.session) == (0 if kept else 1)
        assert (task_id in remaining()) is kept

    def test_keeps_for_ever_when_told_so(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        config = replace(settings.SCHEDULER, retention_success=None, retention_failed=None)
        monkeypatch.setattr(settings, "SCHEDULER", config)
        ended(engine, "SUCCESS", 36_500)
        ended(engine, "FAILED", 36_500)
        assert Retention().delete(engine.session) == 0

    def test_never_deletes_what_has_not_ended(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        running, scheduled, pending = engine.create_many(3)
        engine.assign()
        engine.start(worker, limit=1)
        old = "now() - interval '1 year'"
        engine.session.execute(f"UPDATE tasks SET created_at = {old}, updated_at = {old}, run_at = {old}")
        assert Retention().delete(engine.session) == 0
        assert remaining() == {running, scheduled, pending}

    def test_deletes_history_output_and_events_of_the_task_only(self, engine: Engine) -> None:
        old, young = ended(engine, "SUCCESS", 8), ended(engine, "SUCCESS", 1)
        for task_id in (old, young):
            make_output(Task.objects.get(pk=task_id), "a line\n")
            services.retry_task(task_id, actor="test")
            services.cancel_task(task_id, actor="test")
        engine.move(old, finished_at=-timedelta(days=8))
        pause_queue("q", actor="test")
        assert Retention().delete(engine.session) == 1
        assert set(TaskExecution.objects.values_list("task_id", flat=True)) == {young}
        assert set(TaskOutput.objects.values_list("task_id", flat=True)) == {young}
        assert set(AuditEvent.objects.values_list("task_id", flat=True)) == {young, None}

    def test_lets_an_idempotency_key_go_with_its_task(self, engine: Engine) -> None:
        keys = {}
        for name, days in (("old", 8), ("young", 1)):
            idempotency = Idempotency(name, b"f" * 32)
            created = services.create_task(NewTask(type="DUMMY"), created_by="test", idempotency=idempotency)
            services.cancel_task(created.task.pk, actor="test")
            engine.move(created.task.pk, finished_at=-timedelta(days=days))
            keys[name] = created.task.pk
        Retention().delete(engine.session)
        assert remaining() == {keys["young"]}
        assert set(IdempotencyKey.objects.values_list("key", flat=True)) == {"young"}

    def test_keeps_the_key_of_a_bulk_call_until_the_last_of_its_tasks(self, engine: Engine) -> None:
        idempotency = Idempotency("bulk", b"f" * 32)
        news = [NewTask(type="DUMMY") for _ in range(3)]
        with engine_transaction():
            ids = services.new_task_ids(3)
            take_idempotency_key("test", idempotency, ids)
            services.create_tasks(news, created_by="test", ids=ids, idempotency=idempotency)
        for task_id in ids:
            services.cancel_task(task_id, actor="test")
        for age, left, keys in ((ids[:1], 2, 1), (ids[1:], 0, 0)):
            for task_id in age:
                engine.move(task_id, finished_at=-timedelta(days=8))
            Retention().delete(engine.session)
            assert (Task.objects.count(), IdempotencyKey.objects.count()) == (left, keys)

    def test_works_in_batches_oldest_first(self, engine: Engine) -> None:
        tasks = [ended(engine, "CANCELLED", days) for days in (10, 12, 11)]
        look = partial(delete_ended_tasks, engine.session, timedelta(days=7), ("CANCELLED",), limit=2)
        first = look()
        assert (first.deleted, first.looked, first.id) == (2, 2, tasks[2])
        assert remaining() == {tasks[0]}
        assert look(after=first)[:2] == (1, 1)

    def test_keeps_what_others_wait_for_until_they_know_of_its_end(self, engine: Engine) -> None:
        parent = ended(engine, "SUCCESS", 100)
        child = engine.create(depends_on=[str(parent)])
        engine.session.execute("DELETE FROM task_edges")
        assert Retention().delete(engine.session) == 0
        settle_endings(engine.session)
        assert Retention().delete(engine.session) == 1
        assert remaining() == {child}

    def test_skips_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        """A person retries it at this moment: then it has not ended any more."""
        held, free = ended(engine, "SUCCESS", 8), ended(engine, "SUCCESS", 8)
        with locked(open_session(), "tasks", "id", held):
            assert Retention().delete(engine.session) == 1
        assert remaining() == {held}
        assert free not in remaining()

    @pytest.mark.parametrize(
        ("status", "days", "kept"),
        [("SUCCESS", 6.9, True), ("SUCCESS", 7.1, False), ("FAILED", 7.1, True), ("FAILED", 30.1, False)],
    )
    def test_keeps_a_task_as_long_as_one_that_depends_on_it(
        self, engine: Engine, status: str, days: float, kept: bool
    ) -> None:
        """It may be run again, and ask for the result. Its edges go with it."""
        parent = ended(engine, "SUCCESS", 100)
        child = dependent(engine, parent)
        assert Retention().delete(engine.session) == 0
        end(engine, child, SUCCEEDED if status == "SUCCESS" else FAILED_FOR_GOOD)
        engine.move(child, finished_at=-timedelta(days=days))
        Retention().delete(engine.session)
        assert remaining() == ({parent, child} if kept else set())
        assert TaskEdge.objects.count() == TaskJoin.objects.count() == len(remaining()) // 2

    def test_keeps_no_chain_for_its_last_task(self, engine: Engine) -> None:
        """What keeps a dependent beyond its own age is no reason to keep what that one depended on."""
        chain = [ended(engine, "SUCCESS", 100)]
        for days in (99, 98):
            chain.append(dependent(engine, chain[-1]))
            end(engine, chain[-1])
            engine.move(chain[-1], finished_at=-timedelta(days=days))
        chain.append(dependent(engine, chain[-1]))
        assert Retention().delete(engine.session) == 2
        assert remaining() == set(chain[2:])

    def test_keeps_for_ever_what_one_that_is_kept_for_ever_depends_on(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "SCHEDULER", replace(settings.SCHEDULER, retention_failed=None))
        parent = ended(engine, "SUCCESS", 36_500)
        child = dependent(engine, parent)
        end(engine, child, FAILED_FOR_GOOD)
        engine.move(child, finished_at=-timedelta(days=36_400))
        assert Retention().delete(engine.session) == 0

    def test_looks_again_now_and_then_at_what_was_kept(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        parent, retention = ended(engine, "SUCCESS", 100), Retention()
        child = dependent(engine, parent)
        assert retention.delete(engine.session) == 0
        services.cancel_task(child, actor="test")
        engine.move(child, finished_at=-timedelta(days=8))
        assert retention.delete(engine.session) == 1  # the child alone: the walk has passed the other
        now = time.monotonic()
        monkeypatch.setattr("tasks_app.retention.time.monotonic", lambda: now + LOOK_AGAIN)
        assert retention.delete(engine.session) == 1

    def test_leaves_what_got_a_dependent_while_it_was_looked_at(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Its snapshot has no edge yet, and the row that it comes to lock has no mark any more."""
        parent, other = ended(engine, "SUCCESS", 100), open_session()
        here = "   WHERE finished_at >= %(after)s::timestamptz"
        with looks_held(open_session()):
            deletes = rival_on(other, lambda it: held_after_its_look(it, "delete_ended_tasks", here, LOOK))
            deletes.waits(engine.session)
            child = dependent(engine, parent)
            assert not Task.objects.get(pk=parent).has_dependents
        assert deletes.answer()[0][:2] == (0, 1)
        assert remaining() == {parent, child}


def engine_transaction() -> Any:
    from django.db import transaction

    return transaction.atomic()
