"""The statements that change many tasks at once do to each what is done to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from flow_app.models import Queue
from tasks_app import services
from tasks_app.acts import BulkAction, Target
from tasks_app.edges import TaskEdge
from tasks_app.many import Deed, change_tasks, expire_now, retry_tasks
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import FAILED_FOR_GOOD, Engine, in_seconds
from tests.support.operations import begin, finish
from tests.support.races import transaction
from workflows_app.endings import settle_endings

OpenSession = Callable[[], Session]

#: What differs between two tasks to which the same was done.
OWN = {"_state", "id", "created_at", "updated_at", "run_at", "schedule_at", "finished_at", "correlation_id"}


def alike(one: Task, other: Task) -> dict[str, Any]:
    """Columns in which they differ, and that they do not have for themselves."""
    pairs = {name: (value, getattr(other, name)) for name, value in vars(one).items() if name not in OWN}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def events(task_id: UUID) -> list[dict[str, Any]]:
    rows = AuditEvent.objects.filter(task_id=task_id).order_by("id")
    return list(rows.values("action", "attempt", "from_status", "to_status"))


def failed(engine: Engine, worker: UUID, **fields: Any) -> UUID:
    attempt = engine.running(worker, **fields)
    engine.finish(worker, attempt, FAILED_FOR_GOOD)
    return attempt.task_id


def deed(action: BulkAction, **target: Any) -> Deed:
    return Deed(action, Target(**target), "x", "")


class TestGuards:
    @pytest.mark.parametrize(
        ("change", "given"),
        [
            (retry_tasks, deed(BulkAction.RETRY)),
            (change_tasks, deed(BulkAction.MOVE, queue="b")),
            (expire_now, deed(BulkAction.EXPIRE)),
        ],
    )
    def test_compare_the_status_themselves(
        self, engine: Engine, change: Callable[[Any, Deed, list[UUID]], int], given: Deed
    ) -> None:
        """Whatever their caller has looked at."""
        worker = engine.worker(slots=1)
        task_id = engine.running(worker).task_id
        version = engine.task(task_id).version
        assert change(engine.session.connection.cursor(), given, [task_id]) == 0
        assert (engine.task(task_id).status, engine.task(task_id).version) == ("RUNNING", version)
        assert events(task_id) == []


class TestRetryTasks:
    def test_does_what_a_retry_of_one_does(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        one, many = (failed(engine, worker, expires_at=in_seconds(60), priority=3) for _ in range(2))
        for task_id in (one, many):
            sets = "expires_at = created_at, end_reason = 'EXPIRED'"
            engine.session.execute(f"UPDATE tasks SET {sets} WHERE id = %s", [task_id])
        finish(engine.session, begin("retry", createdAfter=f"{engine.task(many).created_at:%Y-%m-%dT%H:%M:%S.%fZ}"))
        services.retry_task(one, actor="x")
        assert alike(engine.task(one), engine.task(many)) == {}
        assert events(one) == events(many)
        assert engine.task(many).status == "PENDING" and engine.task(many).expires_at is None
        assert engine.violations() == {}

    def test_skips_unique_keys_that_are_open_and_all_but_the_first_of_one(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        tasks = [failed(engine, worker, unique_key=key) for key in ("a", "a", "b")]
        opened = engine.create(unique_key="b")
        row = finish(engine.session, begin("retry", status="FAILED"))
        assert (row.touched, row.skips) == (1, {"DUPLICATE": 2})
        assert engine.statuses([*tasks, opened]) == ["PENDING", "FAILED", "FAILED", "PENDING"]

    def test_skips_what_finds_no_room(self, engine: Engine) -> None:
        tasks = engine.create_many(3, queue="small")
        finish(engine.session, begin(status="PENDING"))
        Queue.objects.create(name="small", max_waiting=2)
        row = finish(engine.session, begin("retry", status="CANCELLED"))
        assert (row.touched, row.skips) == (2, {"QUEUE_FULL": 1})
        assert engine.statuses(tasks).count("PENDING") == 2

    def test_meets_a_key_that_was_taken_behind_its_look(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = engine.worker(slots=1)
        tasks = [failed(engine, worker, unique_key=key) for key in ("a", None, None)]
        engine.create(unique_key="a")
        monkeypatch.setattr("tasks_app.many.holders_of", lambda cursor, keys: {})
        row = finish(engine.session, begin("retry", status="FAILED"))
        assert (row.touched, row.skips, row.failed) == (2, {"DUPLICATE": 1}, 0)
        assert engine.statuses(tasks) == ["FAILED", "PENDING", "PENDING"]


class TestChangeTasks:
    def test_does_what_an_edit_of_one_does(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        one, many = engine.create_many(2)
        engine.assign()
        assert engine.owner_of(one) == engine.owner_of(many) == worker
        since = f"{engine.task(many).created_at:%Y-%m-%dT%H:%M:%S.%fZ}"
        services.edit_task(one, {"priority": 7}, actor="x")
        finish(engine.session, begin("reprioritise", to_priority=7, createdAfter=since, status="SCHEDULED"))
        assert alike(engine.task(one), engine.task(many)) == {}
        assert events(one) == events(many)
        assert engine.task(many).status == "PENDING"
        assert engine.violations() == {}

    def test_opens_the_gate_of_what_waits_for_a_key_of_another_queue(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        holder = engine.running(worker, concurrency_key="k")
        parked = engine.create(concurrency_key="k")
        engine.assign()
        assert engine.task(parked).gate == 1
        finish(engine.session, begin("reprioritise", to_priority=5, status="PENDING"))
        assert (engine.task(parked).gate, engine.task(parked).priority) == (1, 5), "its key is held as before"
        row = finish(engine.session, begin("move", to_queue="elsewhere", status=["PENDING", "RUNNING"]))
        assert (row.touched, row.skips) == (1, {"RUNNING": 1})
        assert (engine.task(parked).gate, engine.task(parked).queue) == (0, "elsewhere")
        assert engine.task(holder.task_id).queue == "default"
        assert engine.violations() == {}

    def test_moves_no_second_task_of_a_unique_key_into_a_queue_and_none_into_a_full_one(self, engine: Engine) -> None:
        engine.create(queue="b", unique_key="k")
        engine.create(queue="a", unique_key="k")
        engine.create_many(2, queue="a")
        Queue.objects.create(name="b", max_waiting=2)
        row = finish(engine.session, begin("move", to_queue="b", status="PENDING"))
        assert (row.touched, row.skips) == (1, {"UNCHANGED": 1, "DUPLICATE": 1, "QUEUE_FULL": 1})


class TestExpireNow:
    def test_ends_what_waits_as_expired(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        assigned, waiting = engine.assigned(worker), engine.create()
        row = finish(engine.session, begin("expire", status=["PENDING", "SCHEDULED"], reason="too late"))
        assert row.touched == 2
        for task_id, was in ((assigned, "SCHEDULED"), (waiting, "PENDING")):
            task = engine.task(task_id)
            assert (task.status, task.end_reason) == ("FAILED", "EXPIRED")
            assert events(task_id)[-1] == {
                "action": "task.expired",
                "attempt": 0,
                "from_status": was,
                "to_status": "FAILED",
            }
        assert engine.violations() == {}

    def test_lets_dependents_know(self, engine: Engine) -> None:
        parent = engine.create(queue="a")
        child = engine.create(queue="b", depends_on=[str(parent)])
        finish(engine.session, begin("expire", queue="a"))
        settle_endings(engine.session)
        assert engine.task(child).status == "CANCELLED"
        assert TaskEdge.objects.get(child_id=child).outcome == "FAILED"
        with transaction(engine.session):
            assert engine.violations() == {}
