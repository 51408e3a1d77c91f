"""Every reason why a task is not running now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from flow_app.queues import edit_queue, pause_queue
from flow_app.why import why
from tasks_app import services
from tests.support.engine import Engine
from workers_app import heartbeats
from workers_app.models import Scheduler

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def codes(engine: Engine, task_id: UUID) -> list[str]:
    return [reason.code for reason in why(engine.task(task_id))]


class TestWhyWaiting:
    @pytest.fixture(autouse=True)
    def _a_scheduler_is_alive(self, engine: Engine) -> None:
        Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host="h")

    def test_names_the_want_of_a_scheduler(self, engine: Engine) -> None:
        engine.worker()
        Scheduler.objects.update(last_heartbeat_at=datetime.now(UTC) - timedelta(hours=1))
        assert codes(engine, engine.create()) == ["NO_LIVE_SCHEDULER"]

    def test_names_nothing_for_a_task_that_is_about_to_start(self, engine: Engine) -> None:
        engine.worker()
        assert codes(engine, engine.create()) == []

    def test_names_nothing_for_a_task_that_runs(self, engine: Engine) -> None:
        assert codes(engine, engine.running(engine.worker()).task_id) == []

    def test_names_the_worker_it_is_assigned_to(self, engine: Engine) -> None:
        worker = engine.worker()
        [reason] = why(engine.task(engine.assigned(worker)))
        assert reason.code == "ASSIGNED"
        assert str(worker) in reason.detail

    def test_names_the_end_of_a_task_that_has_ended(self, engine: Engine) -> None:
        task_id = engine.create()
        services.cancel_task(task_id, actor="me")
        [reason] = why(engine.task(task_id))
        assert (reason.code, reason.detail) == ("ENDED", "it ended as CANCELLED")

    def test_names_the_due_time(self, engine: Engine) -> None:
        engine.worker()
        [reason] = why(engine.task(engine.create(schedule_at=FUTURE)))
        assert (reason.code, reason.until) == ("NOT_DUE", FUTURE)

    def test_names_the_limit_of_its_queue(self, engine: Engine) -> None:
        engine.worker()
        first, second = engine.create_many(2)
        edit_queue("default", {"maxConcurrency": 0}, actor="ops")
        assert codes(engine, first) == ["QUEUE_CLOSED"]
        edit_queue("default", {"maxConcurrency": 1}, actor="ops")
        assert codes(engine, first) == []
        engine.assign()
        [reason] = [r for r in why(engine.task(second)) if r.code != "AHEAD_IN_QUEUE"]
        assert (reason.code, reason.detail) == (
            "QUEUE_LIMIT",
            "1 tasks of queue default are assigned or running; its maxConcurrency is 1",
        )

    def test_names_the_rate_of_its_queue_and_the_next_token(self, engine: Engine) -> None:
        engine.worker()
        first, second = engine.create_many(2)
        rule = {"limit": 2, "periodSeconds": 100, "burst": 0}
        edit_queue("default", {"rateLimit": rule}, actor="ops")
        assert codes(engine, first) == []
        engine.assign()
        [reason] = why(engine.task(second))
        assert (reason.code, reason.detail) == (
            "RATE_LIMIT",
            "the rateLimit of queue default is 2 in 100 s, and has no token left",
        )
        assert reason.until is not None
        assert timedelta(seconds=40) < reason.until - datetime.now(UTC) <= timedelta(seconds=50)

    def test_names_the_pause_and_its_end(self, engine: Engine) -> None:
        engine.worker()
        pause_queue("default", actor="ops", reason="upgrade", until=FUTURE)
        [reason] = why(engine.task(engine.create()))
        assert (reason.code, reason.until) == ("QUEUE_PAUSED", FUTURE)
        assert "upgrade" in reason.detail

    def test_does_not_name_a_pause_that_is_over(self, engine: Engine) -> None:
        engine.worker()
        pause_queue("default", actor="ops", until=FUTURE)
        engine.session.execute("UPDATE queues SET paused_until = now()")
        assert codes(engine, engine.create()) == []

    def test_names_the_holder_of_its_key(self, engine: Engine) -> None:
        engine.worker()
        holder, waiting = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [reason] = why(engine.task(waiting))
        assert reason.code == "KEY_LIMIT"
        assert str(holder) in reason.detail

    @pytest.mark.parametrize("workers", ["none", "other queue", "draining", "dead"])
    def test_names_the_want_of_a_worker(self, engine: Engine, workers: str) -> None:
        if workers == "other queue":
            engine.worker(queues=["other"])
        elif workers == "draining":
            heartbeats.begin_drain(engine.session, engine.worker())
        elif workers == "dead":
            engine.kill(engine.worker())
        assert codes(engine, engine.create()) == ["NO_LIVE_WORKER"]

    def test_names_busy_workers(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        engine.assigned(worker)
        assert codes(engine, engine.create()) == ["WORKERS_BUSY"]

    def test_names_how_many_come_first(self, engine: Engine) -> None:
        engine.worker()
        engine.create_many(3)
        engine.create(priority=1)
        engine.create(priority=-1)
        engine.create(schedule_at=FUTURE, priority=50)
        engine.create(queue="other")
        last = engine.create()
        [reason] = why(engine.task(last))
        assert (reason.code, reason.detail) == ("AHEAD_IN_QUEUE", "4 due tasks of the queue come first")

    def test_names_every_reason_at_once(self, engine: Engine) -> None:
        pause_queue("default", actor="ops")
        assert codes(engine, engine.create(schedule_at=FUTURE)) == ["NOT_DUE", "QUEUE_PAUSED", "NO_LIVE_WORKER"]

    def test_names_the_limit_of_suspects(self, engine: Engine) -> None:
        """Slots are free, nobody is ahead, and still it waits: each worker runs one suspect at a time."""
        victims = [engine.worker(slots=1), engine.worker(slots=1)]
        first, second = engine.create_many(2)
        engine.assign()
        for victim in victims:
            engine.start(victim)
            engine.kill(victim)
        engine.recover()
        engine.worker(slots=10)
        engine.assign()
        waiting = second if engine.task(first).status == "SCHEDULED" else first
        assert not engine.assign().moved
        assert codes(engine, waiting) != []

    def test_names_an_expiry_that_has_passed(self, engine: Engine) -> None:
        """Until the next round of housekeeping fails it; it will never run."""
        engine.worker()
        task_id = engine.create(expires_at=FUTURE)
        engine.move(task_id, expires_at=-timedelta(seconds=1))
        assert not engine.assign().moved
        assert codes(engine, task_id) != []

    def test_names_nothing_when_the_task_moved_on_meanwhile(self, engine: Engine) -> None:
        engine.worker()
        stale = engine.task(engine.create())
        engine.assign()
        assert why(stale) == []


class TestLinks:
    def test_lead_to_the_queue_and_the_task_that_a_reason_names(self, engine: Engine) -> None:
        engine.worker()
        first, second = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [held] = [reason for reason in why(engine.task(second)) if reason.code == "KEY_LIMIT"]
        assert held.links == {"task": f"/tasks/{first}"}
        edit_queue("default", {"maxConcurrency": 0}, actor="ops")
        pause_queue("default", actor="ops")
        links = {reason.code: dict(reason.links) for reason in why(engine.task(second))}
        assert links["QUEUE_PAUSED"] == links["QUEUE_CLOSED"] == {"queue": "/queues/default"}


class TestEstimatedStart:
    def ended(self, engine: Engine, count: int, *, seconds: float, queue: str = "default") -> None:
        """Tasks that ended one after another, each so many seconds after the last, the newest now."""
        for n, task_id in enumerate(engine.create_many(count, queue=queue)):
            engine.session.execute(
                "UPDATE tasks SET status = 'SUCCESS', attempt = 1, worker_id = gen_random_uuid(),"
                " assigned_at = now(), started_at = now(), finished_at = now() - make_interval(secs => %s)"
                " WHERE id = %s",
                [n * seconds, task_id],
            )

    def estimate(self, engine: Engine, task_id: UUID) -> float | None:
        [reason] = [reason for reason in why(engine.task(task_id)) if reason.code == "AHEAD_IN_QUEUE"]
        return None if reason.until is None else (reason.until - datetime.now(UTC)).total_seconds()

    def test_is_what_is_ahead_at_the_pace_of_the_queue(self, engine: Engine) -> None:
        self.ended(engine, 30, seconds=4)
        self.ended(engine, 60, seconds=1, queue="other")
        *_, last = engine.create_many(11)
        found = self.estimate(engine, last)
        assert found is not None
        assert 22 < found < 88

    def test_is_not_known_of_a_queue_in_which_nothing_has_ended(self, engine: Engine) -> None:
        self.ended(engine, 30, seconds=1, queue="other")
        *_, last = engine.create_many(3)
        assert self.estimate(engine, last) is None


class TestWhyTurn:
    @pytest.fixture(autouse=True)
    def _tenants_share(self, engine: Engine) -> None:
        Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host="h")
        edit_queue("default", {"fairBy": "fairKey"}, actor="test")

    def test_names_the_share_of_its_tenant(self, engine: Engine) -> None:
        engine.worker(slots=3)
        tasks = [engine.create(fair_key=key) for key in ("acme", "acme", "acme", "bolt")]
        assert engine.assign().assigned == 3
        [waits] = [each for each in tasks if engine.owner_of(each) is None]
        shares, *_ = [reason for reason in why(engine.task(waits)) if reason.code == "FAIR_SHARE"]
        assert shares.detail == ("tenants share queue default: the share of acme is 1.5 of 3 slots, and it holds 2")
        assert codes(engine, waits) == ["WORKERS_BUSY", "FAIR_SHARE"]

    def test_names_what_comes_first_of_its_tenant_only(self, engine: Engine) -> None:
        engine.worker(slots=1)
        tasks = [engine.create(fair_key=key) for key in ("acme", "acme", "acme", "bolt")]
        engine.assign()
        assert codes(engine, tasks[2]) == ["WORKERS_BUSY", "FAIR_SHARE", "AHEAD_IN_QUEUE"]
        assert codes(engine, tasks[3]) == ["WORKERS_BUSY"]

    def test_names_nothing_for_a_task_that_is_about_to_start(self, engine: Engine) -> None:
        engine.worker(slots=1)
        tasks = [engine.create(fair_key=key) for key in ("acme", "acme")]
        engine.assign()
        engine.worker(slots=1)
        assert codes(engine, tasks[1]) == []
        assert engine.assign().assigned == 1
