"""Taking back what should not have been given: from workers that drain or sleep, and from paused queues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from flow_app import assignment
from flow_app.queues import pause_queue
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import Engine, pass_over
from tests.support.races import held_after_its_look, looks_held, rival, rival_on, transaction
from workers_app import heartbeats

OpenSession = Callable[[], Session]


class TestHandBackAssigned:
    @pytest.mark.parametrize(
        ("change", "stale"), [("started", False), ("given to another", False), ("given to another", True)]
    )
    def test_leaves_what_changed_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession, change: str, stale: bool
    ) -> None:
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker)
        returning = open_session()
        parameters = {"worker_id": worker, "queue": None, "key": None, "target": None, "frozen": False}
        parameters |= {"older_than": None, "limit": 9, "actor": "a", "reason": "r"}
        if stale:
            engine.worker(slots=1, queues=["default"])
            engine.move(task_id, assigned_at=timedelta(seconds=-30))
            parameters |= {"worker_id": None, "older_than": 2.0}
        with looks_held(open_session()):
            late = rival_on(
                returning,
                lambda session: held_after_its_look(
                    session, "hand_back_assigned", "WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL", parameters
                ),
            )
            late.waits(engine.session)
            if change == "started":
                assert len(engine.start(worker)) == 1
            else:
                assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="r") == 1
                heartbeats.begin_drain(engine.session, worker)
                engine.worker(slots=1)
                engine.assign()
                assert engine.owner_of(task_id) not in (None, worker)
        assert late.answer() == []
        assert engine.task(task_id).status == ("RUNNING" if change == "started" else "SCHEDULED")

    def test_gives_back_what_a_draining_worker_has_not_started(self, engine: Engine) -> None:
        worker, other = engine.worker(slots=2), engine.worker(slots=1)
        tasks = engine.create_many(3)
        engine.assign()
        started = {attempt.task_id for attempt in engine.start(worker, limit=1)}
        heartbeats.begin_drain(engine.session, worker)
        assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="its worker drains") == 1
        [returned] = Task.objects.filter(status="PENDING")
        assert (returned.worker_id, returned.assigned_at, returned.attempt, returned.version) == (None, None, 0, 3)
        assert engine.actions(returned.pk) == ["task.handed_back"]
        assert {t for t in tasks if engine.task(t).status == "RUNNING"} == started
        assert Task.objects.filter(worker_id=other, status="SCHEDULED").count() == 1

    def test_moves_a_stale_assignment_to_where_a_slot_is_free(self, engine: Engine) -> None:
        sleepy = engine.worker(slots=1)
        task_id = engine.assigned(sleepy)
        idle = engine.worker(slots=1)
        assert assignment.hand_back_stale(engine.session) == 0
        engine.move(task_id, assigned_at=-assignment.STALE_AFTER - timedelta(milliseconds=1))
        assert assignment.hand_back_stale(engine.session) == 1
        assert engine.task(task_id).status == "PENDING"
        assert engine.worker_state(idle) == "ACTIVE"

    @pytest.mark.parametrize("case", ["nobody else", "itself", "no free slot", "other queue", "draining"])
    def test_leaves_a_stale_assignment_where_nobody_could_do_better(self, engine: Engine, case: str) -> None:
        worker = engine.worker(slots=3 if case == "itself" else 1, prefetch=1)
        if case == "no free slot":
            engine.worker(slots=1)
            engine.create_many(2)
            engine.assign()
        tasks = engine.create_many(1)
        engine.assign()
        if case == "other queue":
            engine.worker(queues=["other"])
        elif case == "draining":
            heartbeats.begin_drain(engine.session, engine.worker())
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '1 hour'")
        stale = assignment.hand_back_stale(engine.session)
        assert stale == 0, worker
        assert engine.statuses(tasks) == ["SCHEDULED"]

    def test_does_not_touch_what_is_running(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        attempt = engine.running(worker)
        engine.worker(slots=1)
        engine.move(attempt.task_id, assigned_at=-timedelta(hours=1))
        assert assignment.hand_back_stale(engine.session) == 0
        assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="x") == 0

    def test_loses_to_a_start_without_waiting_for_it(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker)
        starting = open_session()
        with transaction(starting):
            assert len(Engine(starting).start(worker)) == 1
            assert assignment.hand_back_assigned(engine.session, worker_id=worker, reason="x") == 0
        assert engine.task(task_id).status == "RUNNING"

    def test_of_a_paused_queue_waits_for_the_running_pass(self, engine: Engine, open_session: OpenSession) -> None:
        """No assignment that has not seen the pause can commit after the tasks were taken back."""
        engine.worker()
        tasks = engine.create_many(3)
        passing = open_session()
        with transaction(passing):
            passing.rows("take_pass")
            pass_over(passing, ["default"])
            pausing = rival(lambda: pause_queue("default", actor="test"))
            pausing.waits(engine.session)
        pausing.answer()
        assert engine.statuses(tasks) == ["PENDING"] * 3
        assert not engine.assign().moved
