"""Taking the tasks of workers that are gone: what each becomes, and that nobody who lives is robbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db.models.functions import Now

from access_app.sql import statement
from tasks_app import services, signals
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tasks_app.signals import RecoveredTask
from tests.factories import make_execution
from tests.support.engine import SUCCEEDED, Engine
from tests.support.races import locked, rival, rival_on, transaction
from workers_app import heartbeats, recovery
from workers_app.models import Worker
from workers_app.recovery import recover_lost_tasks

OpenSession = Callable[[], Session]

MAX_CRASHES = settings.SCHEDULER.max_crashes
#: Where a recovery that has its snapshot can be held: it looks who is gone, then waits for this lock.
HELD_KEY = 7_001
HELD_HERE = "FROM owners o\n   WHERE o.worker_id IS NOT NULL\n     AND NOT EXISTS"


def recover_held(session: Session) -> list[RecoveredTask]:
    """The statement as it is, but it waits between its snapshot and its locks."""
    text = statement("recover_lost_tasks")
    assert HELD_HERE in text
    pause = f"AND (SELECT true FROM pg_advisory_xact_lock_shared({HELD_KEY}))"
    text = text.replace(HELD_HERE, HELD_HERE.replace("AND NOT EXISTS", f"{pause}\n     AND NOT EXISTS"))
    rows = session.connection.execute(text, {"max_crashes": MAX_CRASHES, "limit": 500}).fetchall()  # type: ignore[call-overload]
    return [RecoveredTask._make(row) for row in rows]


class TestRecoverLostTasks:
    def test_retries_a_running_task_without_using_a_retry(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        before = engine.task(attempt.task_id)
        [row] = engine.lose(worker)
        task, [execution] = engine.task(attempt.task_id), engine.executions(attempt.task_id)
        assert (row.task_id, row.attempt, row.worker_id, row.was, row.next_status) == (
            attempt.task_id, 1, worker, "RUNNING", "PENDING",
        )  # fmt: skip
        assert (task.status, task.worker_id, task.assigned_at, task.started_at) == ("PENDING", None, None, None)
        assert (task.attempt, task.retry_count, task.crash_count, task.version) == (1, 0, 1, before.version + 1)
        assert task.run_at == before.run_at
        assert (execution.status, execution.task_status, execution.error_code) == ("LOST", "PENDING", "WORKER_LOST")
        assert (execution.worker_id, execution.started_at) == (worker, before.started_at)
        assert engine.violations() == {}

    def test_hands_an_assigned_task_back_unused(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker)
        [row] = engine.lose(worker)
        task = engine.task(task_id)
        assert (row.was, row.next_status) == ("SCHEDULED", "PENDING")
        assert (task.status, task.attempt, task.crash_count, task.worker_id) == ("PENDING", 0, 0, None)
        assert engine.executions(task_id) == []
        assert engine.actions(task_id) == ["task.handed_back"]

    def test_cancels_what_was_asked_to_stop(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        services.cancel_task(attempt.task_id, actor="test")
        engine.lose(worker)
        task, [execution] = engine.task(attempt.task_id), engine.executions(attempt.task_id)
        assert (task.status, task.end_reason, execution.status) == ("CANCELLED", None, "LOST")
        assert task.finished_at is not None

    def test_fails_what_may_run_at_most_once(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, on_worker_lost="fail")
        engine.lose(worker)
        task = engine.task(attempt.task_id)
        assert (task.status, task.end_reason, task.crash_count) == ("FAILED", "WORKER_LOST", 1)
        assert "task.lost" in engine.actions(task.pk)

    def test_hands_back_what_may_run_at_most_once_and_has_not_run(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker, on_worker_lost="fail")
        engine.lose(worker)
        assert engine.task(task_id).status == "PENDING"

    def test_quarantines_a_task_that_keeps_losing_its_workers(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        for crash in range(1, MAX_CRASHES):
            engine.lose(worker)
            task = engine.task(attempt.task_id)
            assert (task.status, task.crash_count) == ("PENDING", crash)
            worker = engine.worker()
            engine.assign()
            [attempt] = engine.start(worker)
        engine.lose(worker)
        task = engine.task(attempt.task_id)
        assert (task.status, task.end_reason, task.crash_count) == ("FAILED", "QUARANTINED", MAX_CRASHES)
        assert len(engine.executions(task.pk)) == MAX_CRASHES
        assert engine.actions(task.pk)[-1] == "task.quarantined"
        assert engine.violations() == {}

    def test_does_not_quarantine_the_neighbours_of_a_poison_task(self, engine: Engine) -> None:
        """They crash once with it; after that it runs alone among suspects, on one worker at a time."""
        worker = engine.worker(slots=4)
        poison, *neighbours = engine.create_many(4)
        for _ in range(MAX_CRASHES + 4):
            engine.assign()
            started = {attempt.task_id: attempt for attempt in engine.start(worker)}
            if poison in started:
                engine.lose(worker)
                worker = engine.worker(slots=4)
            else:
                for attempt in started.values():
                    engine.finish(worker, attempt, SUCCEEDED)
        assert engine.task(poison).end_reason == "QUARANTINED"
        assert engine.statuses(neighbours) == ["SUCCESS"] * 3

    @pytest.mark.parametrize("state", ["DEAD", "STOPPED", "pruned"])
    def test_takes_the_tasks_of_a_worker_that_is(self, engine: Engine, state: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        if state == "pruned":
            engine.session.execute("DELETE FROM worker_heartbeats")
        else:
            engine.session.execute("UPDATE worker_heartbeats SET state = %s", [state])
        assert [row.task_id for row in engine.recover()] == [attempt.task_id]

    @pytest.mark.parametrize("state", ["ACTIVE", "DRAINING"])
    def test_takes_nothing_from_a_worker_that_is(self, engine: Engine, state: str) -> None:
        """However old its last beat looks: who is dead is decided elsewhere, and marked."""
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.session.execute(
            "UPDATE worker_heartbeats SET state = %s, last_heartbeat_at = now() - interval '1 year'", [state]
        )
        assert engine.recover() == []
        assert engine.task(attempt.task_id).status == "RUNNING"

    def test_takes_nothing_from_the_living_among_the_dead(self, engine: Engine) -> None:
        workers = [engine.worker(slots=3) for _ in range(6)]
        engine.create_many(18)
        engine.assign()
        for worker in workers:
            engine.start(worker)
        for worker in workers[::2]:
            engine.kill(worker)
        assert {row.worker_id for row in engine.recover()} == set(workers[::2])
        assert Counter(Task.objects.filter(status="RUNNING").values_list("worker_id", flat=True)) == dict.fromkeys(
            workers[1::2], 3
        )

    def test_leaves_ended_tasks_of_the_dead(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        assert engine.lose(worker) == []
        assert engine.task(attempt.task_id).status == "SUCCESS"

    def test_is_not_held_up_by_a_history_row_that_is_there_already(self, engine: Engine) -> None:
        """Restored from a backup, say: one such row must not keep all lost tasks from moving on, for ever."""
        worker = engine.worker(slots=2)
        first, second = engine.create_many(2)
        engine.assign()
        engine.start(worker)
        make_execution(engine.task(first))
        engine.lose(worker)
        assert engine.statuses([first, second]) == ["PENDING", "PENDING"]

    def test_is_safe_to_repeat(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        assert engine.recover() == []
        assert engine.task(attempt.task_id).crash_count == 1

    def test_takes_more_than_one_batch(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recovery, "RECOVERY_BATCH", 4)
        worker = engine.worker(slots=10)
        engine.create_many(10)
        engine.assign()
        engine.start(worker, limit=5)
        rows = engine.lose(worker)
        assert Counter(row.was for row in rows) == {"RUNNING": 5, "SCHEDULED": 5}


class TestRecoverAgainstOthers:
    def test_takes_each_task_once_when_ten_recover_at_once(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=200)
        engine.create_many(200)
        engine.assign()
        engine.start(worker, limit=150)
        engine.kill(worker)
        sessions = [open_session() for _ in range(10)]
        with ThreadPoolExecutor(10) as pool:
            taken = [row for rows in pool.map(recover_lost_tasks, sessions) for row in rows]
        assert len(taken) == len({row.task_id for row in taken}) == 200
        assert set(Task.objects.values_list("status", flat=True)) == {"PENDING"}
        assert Counter(Task.objects.values_list("crash_count", flat=True)) == {1: 150, 0: 50}
        assert TaskExecution.objects.filter(status="LOST").count() == 150
        assert all(session.epoch == 1 for session in sessions), "a deadlock would have cost a session"

    def test_does_not_rob_who_was_given_the_task_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Measured elsewhere: a worker row joined in READ COMMITTED stays old, and the live worker is robbed."""
        lost = engine.worker()
        attempt = engine.running(lost)
        engine.kill(lost)
        holding, recovering = open_session(), open_session()
        with transaction(holding):
            holding.fetch("SELECT pg_advisory_xact_lock(%s)", [HELD_KEY])
            late = rival_on(recovering, recover_held)
            late.waits(engine.session)
            assert len(engine.recover()) == 1
            successor = engine.worker()
            engine.assign()
            [again] = engine.start(successor)
        assert late.answer() == []
        task = engine.task(attempt.task_id)
        assert (task.status, task.worker_id, task.attempt, task.crash_count) == ("RUNNING", successor, 2, 1)
        assert engine.finish(successor, again, SUCCEEDED) == "SUCCESS"

    def test_does_not_touch_what_ended_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The result of the lost worker was on its way and came in time."""
        lost = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        ended, left = engine.start(lost)
        engine.kill(lost)
        holding, recovering = open_session(), open_session()
        with transaction(holding):
            holding.fetch("SELECT pg_advisory_xact_lock(%s)", [HELD_KEY])
            late = rival_on(recovering, recover_held)
            late.waits(engine.session)
            assert engine.finish(lost, ended, SUCCEEDED) == "SUCCESS"
        assert [row.task_id for row in late.answer()] == [left.task_id]
        assert engine.task(ended.task_id).status == "SUCCESS"
        assert [e.status for e in engine.executions(ended.task_id)] == ["SUCCESS"]

    def test_sees_a_cancel_requested_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        lost = engine.worker()
        attempt = engine.running(lost)
        engine.kill(lost)
        holding, recovering = open_session(), open_session()
        with transaction(holding):
            holding.fetch("SELECT pg_advisory_xact_lock(%s)", [HELD_KEY])
            late = rival_on(recovering, recover_held)
            late.waits(engine.session)
            services.cancel_task(attempt.task_id, actor="test")
        assert [row.next_status for row in late.answer()] == ["CANCELLED"]

    def test_does_not_wait_for_rows_that_others_hold(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=3)
        engine.create_many(3)
        engine.assign()
        first, second, third = engine.start(worker)
        engine.kill(worker)
        with locked(open_session(), "tasks", "id", second.task_id):
            assert {row.task_id for row in engine.recover()} == {first.task_id, third.task_id}
        assert [row.task_id for row in engine.recover()] == [second.task_id]

    def test_tells_a_person_who_cancels_meanwhile_what_became_of_the_task(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.kill(worker)
        recovering = open_session()
        with transaction(recovering):
            assert len(Engine(recovering).recover()) == 1
            cancel = rival(lambda: services.cancel_task(attempt.task_id, actor="test"))
            cancel.waits(engine.session)
        assert cancel.answer().status == "CANCELLED"
        assert engine.task(attempt.task_id).status == "CANCELLED"


class TestLiveBeats:
    def test_are_those_of_workers_that_live(self, engine: Engine) -> None:
        alive, dead = engine.worker(), engine.worker()
        engine.kill(dead)
        [(worker_id, before)] = recovery._live_beats(engine.session, None)
        heartbeats.beat(engine.session, alive, held={}, prefetch=0)
        assert worker_id == alive
        assert recovery._live_beats(engine.session, None) == [(alive, before + 1)]

    def test_may_be_those_of_old_beats_only(self, engine: Engine) -> None:
        silent, _ = engine.worker(), engine.worker()
        Worker.objects.filter(pk=silent).update(last_heartbeat_at=Now() - timedelta(seconds=9))
        assert [worker_id for worker_id, _ in recovery._live_beats(engine.session, timedelta(seconds=5))] == [silent]


class TestMarkSilentWorkers:
    def test_marks_who_has_not_beaten_since(self, engine: Engine) -> None:
        silent, beating = engine.worker(), engine.worker()
        beats = dict(Worker.objects.values_list("worker_id", "beat"))
        heartbeats.beat(engine.session, beating, held={}, prefetch=0)
        assert recovery.mark_silent_workers(engine.session, beats) == [silent]
        assert [engine.worker_state(w) for w in (silent, beating)] == ["DEAD", "ACTIVE"]

    def test_reports_who_that_is(self, engine: Engine) -> None:
        heard: list[dict[str, object]] = []

        def listen(**facts: object) -> None:
            heard.append(facts)

        signals.worker_lost.connect(listen)
        try:
            silent = engine.worker(name="night-shift")
            recovery.mark_silent_workers(engine.session, {silent: 0})
        finally:
            signals.worker_lost.disconnect(listen)
        [facts] = heard
        assert (facts["worker_id"], facts["name"], facts["host"]) == (silent, "night-shift", "host")
        assert "no beat for" in str(facts["reason"])

    def test_loses_to_a_beat_that_was_first(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        beating, marking = open_session(), open_session()
        with transaction(beating):
            assert heartbeats.beat(beating, worker, held={}, prefetch=0)
            mark = rival_on(marking, lambda session: recovery.mark_silent_workers(session, {worker: 0}))
            mark.waits(engine.session)
        assert mark.answer() == []
        assert engine.worker_state(worker) == "ACTIVE"

    def test_is_told_to_a_beat_that_comes_second(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        marking, beating = open_session(), open_session()
        with transaction(marking):
            assert recovery.mark_silent_workers(marking, {worker: 0}) == [worker]
            beat = rival_on(beating, lambda session: heartbeats.beat(session, worker, held={}, prefetch=0))
            beat.waits(engine.session)
        assert beat.answer() is None


class TestRecoverSystem:
    def test_reports_what_it_found_and_repaired(self, engine: Engine) -> None:
        worker = engine.worker(slots=5)
        kinds: list[dict[str, object]] = [{}, {"on_worker_lost": "fail"}, {}]
        tasks = [engine.create(**kind) for kind in kinds]
        engine.assign()
        engine.start(worker)
        services.cancel_task(tasks[2], actor="test")
        engine.create(priority=-1)
        engine.assign()
        engine.kill(worker)
        report = recovery.recover_system(actor="test").to_json()
        assert report["tasksRecovered"] == {"handedBack": 1, "retried": 1, "failed": 1, "cancelled": 1}
        assert report["invariants"] == {"ok": True, "violations": {}}
        assert report["workersMarkedDead"] == []

    def test_declares_nobody_dead_whose_beat_is_young(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        report = recovery.recover_system(actor="test")
        assert report.workers_marked_dead == []
        assert engine.task(attempt.task_id).status == "RUNNING"

    def test_watches_an_old_beat_for_a_lease_of_its_own_clock(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker, spared = engine.worker(), engine.worker()
        engine.session.execute("UPDATE worker_heartbeats SET last_heartbeat_at = now() - interval '1 hour'")
        clock = [1000.0]

        def look() -> float:
            clock[0] += settings.SCHEDULER.heartbeat_timeout.total_seconds() / 3
            if clock[0] > 1010:
                heartbeats.beat(engine.session, spared, held={}, prefetch=0)
            return clock[0]

        monkeypatch.setattr(recovery.lease, "now", look)
        monkeypatch.setattr(recovery, "LOOK_EVERY", 0)
        report = recovery.recover_system(actor="test")
        assert report.workers_marked_dead == [str(worker)]
        assert engine.worker_state(spared) == "ACTIVE"
        assert clock[0] >= 1000 + settings.SCHEDULER.heartbeat_timeout.total_seconds()

    def test_may_run_in_parallel(self, engine: Engine) -> None:
        worker = engine.worker(slots=50)
        engine.create_many(50)
        engine.assign()
        engine.start(worker)
        engine.kill(worker)
        with ThreadPoolExecutor(10) as pool:
            reports = list(pool.map(lambda _: recovery.recover_system(actor="test"), range(10)))
        assert sum(report.retried for report in reports) == 50
        assert all(report.invariants == {} for report in reports)


class TestPruneProcesses:
    def test_are_those_that_ended_long_ago_and_own_nothing(self, engine: Engine) -> None:
        dead, owner, stopped, live = (engine.worker(slots=1) for _ in range(4))
        engine.create_many(4)
        engine.assign()
        [attempt] = engine.start(owner)
        for worker in (dead, stopped):
            engine.session.execute("UPDATE tasks SET worker_id = %s WHERE worker_id = %s", [live, worker])
        engine.kill(dead)
        engine.kill(owner)
        assert heartbeats.mark_stopped(engine.session, stopped)
        idle = engine.worker()
        engine.session.execute("UPDATE worker_heartbeats SET state_changed_at = now() - interval '2 days'")
        [(pruned,)] = engine.session.rows("prune_processes", {"age": 86_400.0})
        assert pruned == 2
        assert set(Worker.objects.values_list("worker_id", flat=True)) == {owner, live, idle}
        assert attempt.task_id in {row.task_id for row in engine.recover()}

    def test_stay_for_people_to_see_for_a_while(self, engine: Engine) -> None:
        engine.kill(engine.worker())
        assert engine.session.rows("prune_processes", {"age": 60.0}) == [(0,)]


def test_an_unknown_worker_cannot_be_marked(engine: Engine) -> None:
    assert not heartbeats.mark_dead(engine.session, uuid4())


def test_time_since_the_last_beat_marks_nobody(engine: Engine) -> None:
    worker = engine.worker()
    engine.session.execute(
        "UPDATE worker_heartbeats SET last_heartbeat_at = now() - %s::interval", [timedelta(days=365)]
    )
    assert recovery.FailureDetector(timedelta(seconds=1)).observe({worker: 0}, epoch=1, now=1e9) == {}
