"""A worker's row: what a beat returns to it, what ends it, and that nothing brings it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction as django_transaction

from access_app.models import AuditEvent
from tasks_app import services, wakeups
from tasks_app.sessions import Session
from tasks_app.states import WorkerState
from tests.support.engine import FAILED, SUCCEEDED, Engine, pass_over
from tests.support.races import rival, rival_on, transaction
from workers_app import heartbeats
from workers_app.heartbeats import BeatReply, Registration, WorkerNotFound
from workers_app.models import Worker

OpenSession = Callable[[], Session]


def registration(**changes: object) -> Registration:
    fields = {
        "worker_id": uuid4(), "host": "h", "pid": 10, "name": "n", "slots": 3, "queues": ["a", "b"],
        "labels": {"gpu": "1"}, "version": "v",
    }  # fmt: skip
    return Registration(**fields | changes)  # type: ignore[arg-type]


class TestRegisterWorker:
    def test_writes_who_the_worker_is(self, engine: Engine) -> None:
        wanted = registration()
        assert heartbeats.register_worker(engine.session, wanted) == engine.timeline
        worker = Worker.objects.get(pk=wanted.worker_id)
        assert (worker.state, worker.beat, worker.slots, worker.queues, worker.labels) == (
            "ACTIVE", 0, 3, ["a", "b"], {"gpu": "1"},
        )  # fmt: skip

    def test_may_be_sent_again(self, engine: Engine) -> None:
        wanted = registration()
        heartbeats.register_worker(engine.session, wanted)
        heartbeats.register_worker(engine.session, wanted)
        assert Worker.objects.count() == 1

    def test_sent_again_is_a_beat(self, engine: Engine) -> None:
        """The worker counts its lease from the second sending; whoever has watched since the first must see that."""
        wanted = registration()
        heartbeats.register_worker(engine.session, wanted)
        seen = Worker.objects.get(pk=wanted.worker_id).beat
        heartbeats.register_worker(engine.session, wanted)
        assert not heartbeats.mark_dead(engine.session, wanted.worker_id, beat=seen)
        assert engine.worker_state(wanted.worker_id) == "ACTIVE"

    @pytest.mark.parametrize("end", [heartbeats.mark_dead, heartbeats.mark_stopped])
    def test_brings_no_incarnation_back(self, engine: Engine, end: Callable[..., bool]) -> None:
        wanted = registration()
        heartbeats.register_worker(engine.session, wanted)
        assert end(engine.session, wanted.worker_id)
        heartbeats.register_worker(engine.session, wanted)
        assert engine.worker_state(wanted.worker_id) in ("DEAD", "STOPPED")
        assert heartbeats.beat(engine.session, wanted.worker_id, held={}, prefetch=0) is None


class TestCompareHeld:
    def test_returns_what_is_not_this_workers_on_this_timeline(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        other = engine.worker()
        held = {attempt.task_id: attempt.attempt}
        assert heartbeats.compare_held(engine.session, worker, held=held)[1] == []
        assert heartbeats.compare_held(engine.session, other, held=held)[1] == [attempt.task_id]
        assert heartbeats.compare_held(engine.session, worker, held={attempt.task_id: 2})[1] == [attempt.task_id]

    def test_does_not_take_another_workers_attempt_for_its_own_when_the_task_comes_back(self, engine: Engine) -> None:
        """What is held was started on the old timeline; here somebody else had the same attempt, and it is over."""
        other = engine.worker()
        attempt = engine.running(other)
        worker = engine.worker()
        assert heartbeats.begin_drain(engine.session, other)
        engine.finish(other, attempt, FAILED)
        engine.move(attempt.task_id, run_at=-timedelta(seconds=1))
        engine.assign()
        assert engine.owner_of(attempt.task_id) == worker
        held = {attempt.task_id: attempt.attempt}
        assert heartbeats.compare_held(engine.session, worker, held=held)[1] == [attempt.task_id]


class TestBeat:
    def beat(self, engine: Engine, worker: object, **held: object) -> BeatReply | None:
        return heartbeats.beat(engine.session, worker, held=held.get("held") or {}, prefetch=0)  # type: ignore[arg-type]

    def test_raises_the_counter_and_tells_what_the_worker_reports(self, engine: Engine) -> None:
        worker = engine.worker()
        for _ in range(3):
            answer = heartbeats.beat(engine.session, worker, held={uuid4(): 1}, prefetch=4)
        row = Worker.objects.get(pk=worker)
        assert (row.beat, row.prefetch, row.running) == (3, 4, 1)
        assert answer is not None
        assert (answer.state, answer.timeline) == (WorkerState.ACTIVE, engine.timeline)

    def test_returns_how_much_is_assigned_and_running(self, engine: Engine) -> None:
        worker = engine.worker(slots=5)
        engine.create_many(5)
        engine.assign()
        attempts = engine.start(worker, limit=3)
        engine.finish(worker, attempts[0], SUCCEEDED)
        answer = self.beat(engine, worker)
        assert answer is not None
        assert (answer.assigned, answer.running, answer.cancels, answer.drops) == (2, 2, [], [])

    def test_says_where_a_start_has_to_begin_to_look(self, engine: Engine) -> None:
        """A second below the oldest assignment that has not started, if there is one."""
        worker = engine.worker(slots=5)
        engine.create_many(3)
        engine.assign()
        engine.move(engine.start(worker, limit=1)[0].task_id, assigned_at=timedelta(minutes=-9))
        reply = self.beat(engine, worker)
        assert reply is not None
        query = "SELECT min(assigned_at) - %s::timestamptz FROM tasks WHERE status = 'SCHEDULED'"
        assert engine.session.fetch(query, [reply.unstarted]) == [(timedelta(seconds=1),)]
        engine.start(worker)
        reply = self.beat(engine, worker)
        assert reply is not None
        assert reply.unstarted is None

    def test_tells_which_held_tasks_to_stop(self, engine: Engine) -> None:
        worker = engine.worker(slots=3)
        engine.create_many(3)
        engine.assign()
        attempts = engine.start(worker)
        services.cancel_task(attempts[1].task_id, actor="test")
        held = {attempt.task_id: attempt.attempt for attempt in attempts}
        answer = self.beat(engine, worker, held=held)
        assert answer is not None
        assert (answer.cancels, answer.drops) == ([attempts[1].task_id], [])

    @pytest.mark.parametrize("how", ["another worker", "a new attempt", "given back", "deleted"])
    def test_tells_which_held_attempts_are_lost_to(self, engine: Engine, how: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        task_id, held = attempt.task_id, {attempt.task_id: 1}
        match how:
            case "another worker":
                engine.session.execute("UPDATE tasks SET worker_id = %s", [uuid4()])
            case "a new attempt":
                held = {task_id: 0}
            case "given back":
                engine.session.execute("UPDATE tasks SET worker_id = NULL, status = 'PENDING'")
            case "deleted":
                engine.session.execute("DELETE FROM tasks")
        answer = self.beat(engine, worker, held=held)
        assert answer is not None
        assert (answer.cancels, answer.drops) == ([], [task_id])

    def test_does_not_take_the_workers_own_finish_for_a_loss(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        services.cancel_task(attempt.task_id, actor="test")
        engine.finish(worker, attempt, FAILED)
        answer = self.beat(engine, worker, held={attempt.task_id: 1})
        assert answer is not None
        assert (answer.cancels, answer.drops) == ([], [])

    @pytest.mark.parametrize("state", ["DEAD", "STOPPED"])
    def test_returns_nothing_to_who_is(self, engine: Engine, state: str) -> None:
        worker = engine.worker()
        engine.session.execute("UPDATE worker_heartbeats SET state = %s", [state])
        assert self.beat(engine, worker) is None
        assert Worker.objects.get(pk=worker).beat == 0

    def test_returns_nothing_to_who_was_pruned(self, engine: Engine) -> None:
        assert self.beat(engine, uuid4()) is None

    def test_tells_a_worker_that_it_is_to_drain(self, engine: Engine) -> None:
        worker = engine.worker()
        heartbeats.request_drain(worker, actor="test")
        answer = self.beat(engine, worker)
        assert answer is not None
        assert answer.state is WorkerState.DRAINING

    @pytest.mark.usefixtures("new_tables")
    def test_touches_no_index(self, engine: Engine) -> None:
        """A HOT update, or failure detection would cost more than the work: pages stay few and nothing bloats."""
        worker = engine.worker()
        with transaction(engine.session):
            for _ in range(20):
                heartbeats.beat(engine.session, worker, held={}, prefetch=0)
            [counts] = engine.session.fetch(
                "SELECT pg_stat_get_xact_tuples_updated(t), pg_stat_get_xact_tuples_hot_updated(t)"
                "  FROM (SELECT 'worker_heartbeats'::regclass::oid) AS x(t)"
            )
        assert counts == (20, 20)


class TestChangeWorkerState:
    def test_of_a_draining_worker_take_no_way_back(self, engine: Engine) -> None:
        worker = engine.worker()
        assert heartbeats.begin_drain(engine.session, worker)
        assert not heartbeats.begin_drain(engine.session, worker)
        assert engine.worker_state(worker) == "DRAINING"

    def test_of_one_that_leaves_in_good_order_end_with_stopped(self, engine: Engine) -> None:
        worker = engine.worker()
        assert heartbeats.mark_stopped(engine.session, worker)
        assert engine.worker_state(worker) == "STOPPED"

    @pytest.mark.parametrize("started", [True, False])
    def test_of_one_that_leaves_tasks_behind_end_with_dead(self, engine: Engine, started: bool) -> None:
        """So that everybody looks for what it owned."""
        worker = engine.worker()
        engine.assigned(worker)
        if started:
            engine.start(worker)
        assert heartbeats.mark_stopped(engine.session, worker)
        assert engine.worker_state(worker) == "DEAD"

    @pytest.mark.parametrize("final", ["STOPPED", "DEAD"])
    def test_are_final_once_it_is(self, engine: Engine, final: str) -> None:
        worker = engine.worker()
        engine.session.execute("UPDATE worker_heartbeats SET state = %s", [final])
        changes = (heartbeats.begin_drain, heartbeats.mark_stopped, heartbeats.mark_dead)
        assert not any(change(engine.session, worker) for change in changes)
        assert engine.worker_state(worker) == final

    def test_marked_by_a_beat_that_is_outdated_do_not_change(self, engine: Engine) -> None:
        worker = engine.worker()
        heartbeats.beat(engine.session, worker, held={}, prefetch=0)
        assert not heartbeats.mark_dead(engine.session, worker, beat=0)
        assert heartbeats.mark_dead(engine.session, worker, beat=1)

    def test_changed_by_two_at_once_change_once(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        first, second = open_session(), open_session()
        with transaction(first):
            assert heartbeats.mark_dead(first, worker)
            other = rival_on(second, lambda session: heartbeats.mark_stopped(session, worker))
            other.waits(engine.session)
        assert other.answer() is False
        assert engine.worker_state(worker) == "DEAD"


class TestRequestDrain:
    def test_is_audited_once(self, engine: Engine) -> None:
        worker = engine.worker()
        heartbeats.request_drain(worker, actor="ops")
        heartbeats.request_drain(worker, actor="ops")
        assert list(AuditEvent.objects.values_list("actor", "action", "target")) == [
            ("ops", "worker.drain_requested", f"worker:{worker}")
        ]

    def test_wakes_the_worker_after_the_commit(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """An idle worker would otherwise hear of it with its next beat, seconds later."""
        worker, woken = engine.worker(), list[UUID]()
        monkeypatch.setattr(wakeups, "notify_stop", woken.append)
        with django_transaction.atomic():
            heartbeats.request_drain(worker, actor="ops")
            assert woken == []
        assert woken == [worker]

    def test_stops_assignments_but_not_what_is_running(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        heartbeats.request_drain(worker, actor="ops")
        engine.create()
        assert not engine.assign().moved
        assert engine.finish(worker, attempt, SUCCEEDED) == "SUCCESS"

    @pytest.mark.parametrize("state", ["DEAD", "STOPPED", "unknown"])
    def test_refuses_a_worker_that_is(self, engine: Engine, state: str) -> None:
        worker = engine.worker()
        if state == "unknown":
            worker = uuid4()
        else:
            engine.session.execute("UPDATE worker_heartbeats SET state = %s", [state])
        with pytest.raises(WorkerNotFound):
            heartbeats.request_drain(worker, actor="ops")

    def test_waits_for_whoever_assigns_to_the_worker(self, engine: Engine, open_session: OpenSession) -> None:
        """So that the hand-back after it sees every assignment."""
        worker = engine.worker()
        engine.create()
        passing = open_session()
        with transaction(passing):
            passing.rows("take_pass")
            pass_over(passing, ["default"])
            drain = rival(lambda: heartbeats.request_drain(worker, actor="ops"))
            drain.waits(engine.session)
        drain.answer()
        assert engine.worker_state(worker) == "DRAINING"
