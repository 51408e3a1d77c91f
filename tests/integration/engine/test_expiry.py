"""The end of tasks that were not started in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tasks_app.expiry import expire_tasks
from tasks_app.sessions import Session
from tests.support.engine import SUCCEEDED, Engine, in_seconds
from tests.support.races import held_after_its_look, locked, looks_held, rival_on

OpenSession = Callable[[], Session]


class TestExpireTasks:
    def test_fails_waiting_tasks_past_their_expiry(self, engine: Engine) -> None:
        pending = engine.create(expires_at=in_seconds(60))
        scheduled = engine.create(expires_at=in_seconds(60))
        kept = engine.create(expires_at=in_seconds(60))
        engine.session.execute("UPDATE tasks SET run_at = now() - interval '1 minute' WHERE id = %s", [scheduled])
        engine.worker(slots=1)
        engine.assign()
        for task_id in (pending, scheduled):
            engine.move(task_id, expires_at=-timedelta(milliseconds=1))
        assert engine.statuses([pending, scheduled]) == ["PENDING", "SCHEDULED"]
        versions = {task_id: engine.task(task_id).version for task_id in (pending, scheduled)}
        assert expire_tasks(engine.session) == 2
        for task_id in (pending, scheduled):
            task = engine.task(task_id)
            assert (task.status, task.end_reason, task.attempt) == ("FAILED", "EXPIRED", 0)
            assert task.version == versions[task_id] + 1
            assert task.finished_at is not None
            assert engine.actions(task_id) == ["task.expired"]
        assert engine.task(kept).status == "PENDING"
        assert engine.executions(pending) == []
        assert engine.violations() == {}

    def test_leaves_a_running_attempt_alone(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, expires_at=in_seconds(60))
        engine.move(attempt.task_id, expires_at=-timedelta(seconds=1))
        assert expire_tasks(engine.session) == 0
        assert engine.finish(worker, attempt, SUCCEEDED) == "SUCCESS"

    def test_gives_the_room_of_an_assigned_task_back(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        expiring = engine.assigned(worker, expires_at=in_seconds(60))
        waiting = engine.create()
        assert engine.assign().assigned == 0
        engine.move(expiring, expires_at=-timedelta(seconds=1))
        expire_tasks(engine.session)
        engine.assign()
        assert engine.task(waiting).worker_id == worker

    def test_works_in_batches(self, engine: Engine) -> None:
        for task_id in engine.create_many(5, expires_at=in_seconds(60)):
            engine.move(task_id, expires_at=-timedelta(seconds=1))
        assert [expire_tasks(engine.session, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_skips_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        task_id = engine.create(expires_at=in_seconds(60))
        engine.move(task_id, expires_at=-timedelta(seconds=1))
        with locked(open_session(), "tasks", "id", task_id):
            assert expire_tasks(engine.session) == 0
        assert expire_tasks(engine.session) == 1

    def test_leaves_what_changed_between_its_look_and_its_lock(self, engine: Engine, open_session: OpenSession) -> None:
        """One task is started in time after all, another is given more time."""
        worker = engine.worker()
        started, prolonged, kept = engine.create_many(3)
        engine.assign()
        expiring = open_session()
        engine.move(started, expires_at=timedelta(hours=1))
        engine.session.execute(
            "UPDATE tasks SET expires_at = now() - interval '1 s' WHERE id = ANY(%s)", [[prolonged, kept]]
        )
        with looks_held(open_session()):
            engine.session.execute("UPDATE tasks SET expires_at = now() WHERE id = %s", [started])
            late = rival_on(
                expiring,
                lambda session: held_after_its_look(session, "expire_tasks", "WHERE expires_at <= now()", {"limit": 9}),
            )
            late.waits(engine.session)
            engine.session.execute(
                "UPDATE tasks SET expires_at = now() + interval '1 hour' WHERE id = ANY(%s)", [[started, prolonged]]
            )
            assert [attempt.task_id for attempt in engine.start(worker, limit=1)] == [started]
            engine.move(started, expires_at=-timedelta(hours=1))
        assert [row[0] for row in late.answer()] == [kept]
        assert engine.statuses([started, prolonged, kept]) == ["RUNNING", "SCHEDULED", "FAILED"]
