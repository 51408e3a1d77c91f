"""What has happened to a task, and how it ended: as people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app import selectors, services
from tasks_app.expiry import expire_tasks
from tasks_app.selectors import Event
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.engine import CANCELLED, FAILED, FAILED_FOR_GOOD, RELEASED, SUCCEEDED, TIMED_OUT, Engine

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def steps(engine: Engine, task_id: UUID) -> list[tuple[str | None, str]]:
    return [(event.from_status, event.to_status) for event in selectors.timeline(engine.task(task_id))]


def chained(events: list[Event]) -> bool:
    """Whether each change begins where the one before it ended."""
    return all(before.to_status == after.from_status for before, after in pairwise(events))


CREATED, ASSIGNED, STARTED = (None, "PENDING"), ("PENDING", "SCHEDULED"), ("SCHEDULED", "RUNNING")


class TestTimeline:
    def test_begins_with_the_creation(self, engine: Engine) -> None:
        [event] = selectors.timeline(engine.task(engine.create()))
        assert (event.from_status, event.to_status, event.actor, event.attempt) == (None, "PENDING", "test", 0)

    def test_follows_a_task_to_its_end(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        assert steps(engine, attempt.task_id) == [CREATED, ASSIGNED, STARTED]
        engine.finish(worker, attempt, SUCCEEDED)
        events = selectors.timeline(engine.task(attempt.task_id))
        assert steps(engine, attempt.task_id) == [CREATED, ASSIGNED, STARTED, ("RUNNING", "SUCCESS")]
        assert [event.actor for event in events] == ["test", "scheduler", f"worker:{worker}", f"worker:{worker}"]
        assert [event.attempt for event in events] == [0, 0, 1, 1]

    def test_shows_each_attempt_of_a_retried_task(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        for outcome in (FAILED, RELEASED, TIMED_OUT):
            engine.finish(worker, attempt, outcome)
            engine.move(attempt.task_id, run_at=-timedelta(seconds=1))
            engine.assign()
            [attempt] = engine.start(worker)
        services.cancel_task(attempt.task_id, actor="me")
        engine.finish(worker, attempt, CANCELLED)
        once = [ASSIGNED, STARTED, ("RUNNING", "PENDING")]
        assert steps(engine, attempt.task_id) == [
            CREATED, *once, *once, *once, ASSIGNED, STARTED, ("RUNNING", "RUNNING"), ("RUNNING", "CANCELLED"),
        ]  # fmt: skip

    def test_shows_a_lost_worker_once(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.lose(worker)
        assert steps(engine, attempt.task_id) == [CREATED, ASSIGNED, STARTED, ("RUNNING", "PENDING")]
        assert selectors.timeline(engine.task(attempt.task_id))[-1].actor == "scheduler"

    @pytest.mark.parametrize("why", ["fail", "quarantine"])
    def test_shows_once_that_a_lost_worker_ended_the_task(self, engine: Engine, why: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, on_worker_lost="fail" if why == "fail" else "retry")
        if why == "quarantine":
            engine.session.execute("UPDATE tasks SET crash_count = %s", [settings.SCHEDULER.max_crashes - 1])
        engine.lose(worker)
        assert steps(engine, attempt.task_id) == [CREATED, ASSIGNED, STARTED, ("RUNNING", "FAILED")]

    @pytest.mark.parametrize("how", ["cancel", "expire", "cancel assigned", "fail, retry, cancel"])
    def test_is_a_chain_without_gaps(self, engine: Engine, how: str) -> None:
        worker = engine.worker()
        task_id = engine.create(expires_at=FUTURE)
        match how:
            case "cancel":
                services.cancel_task(task_id, actor="me")
            case "expire":
                engine.move(task_id, expires_at=-timedelta(seconds=1))
                expire_tasks(engine.session)
            case "cancel assigned":
                engine.assign()
                services.cancel_task(task_id, actor="me")
            case _:
                engine.assign()
                [attempt] = engine.start(worker)
                engine.finish(worker, attempt, FAILED_FOR_GOOD)
                services.retry_task(task_id, actor="me")
                services.cancel_task(task_id, actor="me")
        events = selectors.timeline(engine.task(task_id))
        assert chained(events), steps(engine, task_id)
        assert events[-1].to_status == engine.task(task_id).status

    def test_shows_what_people_did_and_why(self, engine: Engine) -> None:
        task_id = engine.create()
        services.edit_task(task_id, {"priority": 2}, actor="ann")
        services.cancel_task(task_id, actor="bob", reason="not needed")
        told = [(event.actor, event.reason) for event in selectors.timeline(engine.task(task_id))]
        assert told == [("test", "created"), ("ann", "edited"), ("bob", "not needed")]


class TestCountInBatch:
    def test_counts_each_status_at_one_instant(self, engine: Engine) -> None:
        batch_id = uuid4()
        for number, status in enumerate(TaskStatus, 1):
            for _ in range(number):
                make_task(status=status, batch_id=batch_id)
        make_task(status="SUCCESS", batch_id=uuid4())
        with CaptureQueriesContext(connection) as sent:
            assert selectors.count_in_batch(batch_id) == {str(each): at for at, each in enumerate(TaskStatus, 1)}
        assert len(sent) == 1


class TestErrorOf:
    def error(self, engine: Engine, task_id: UUID) -> str | None:
        latest = selectors.latest_executions([task_id]).get(task_id)
        error = selectors.error_of(engine.task(task_id), latest)
        return error["code"] if error else None

    @pytest.mark.parametrize(
        ("outcome", "code"),
        [(SUCCEEDED, None), (FAILED, "TASK_FAILED"), (FAILED_FOR_GOOD, "HTTP_STATUS"), (CANCELLED, "CANCELLED")],
        ids=["success", "retry", "failure", "cancelled"],
    )
    def test_is_that_of_the_latest_ended_attempt(self, engine: Engine, outcome: Any, code: str | None) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, outcome)
        assert self.error(engine, attempt.task_id) == code

    def test_names_an_end_without_an_attempt(self, engine: Engine) -> None:
        cancelled, expired = engine.create(), engine.create(expires_at=FUTURE)
        services.cancel_task(cancelled, actor="me")
        engine.move(expired, expires_at=-timedelta(seconds=1))
        expire_tasks(engine.session)
        assert [self.error(engine, task_id) for task_id in (cancelled, expired)] == ["CANCELLED", "EXPIRED"]

    @pytest.mark.parametrize(("on_worker_lost", "code"), [("fail", "WORKER_LOST"), ("retry", "QUARANTINED")])
    def test_names_an_end_by_lost_workers(self, engine: Engine, on_worker_lost: str, code: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, on_worker_lost=on_worker_lost)
        engine.session.execute("UPDATE tasks SET crash_count = %s", [settings.SCHEDULER.max_crashes - 1])
        engine.lose(worker)
        assert self.error(engine, attempt.task_id) == code

    def test_says_cancelled_of_a_task_cancelled_between_two_attempts(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, FAILED)
        services.cancel_task(attempt.task_id, actor="me")
        assert self.error(engine, attempt.task_id) == "CANCELLED"

    def test_belongs_to_the_latest_of_many(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        attempts = [engine.running(worker), engine.running(worker)]
        for attempt in attempts:
            engine.finish(worker, attempt, FAILED)
        engine.session.execute("UPDATE tasks SET run_at = now()")
        engine.assign()
        for attempt in engine.start(worker):
            engine.finish(worker, attempt, SUCCEEDED)
        latest = selectors.latest_executions([attempt.task_id for attempt in attempts])
        assert {execution.attempt for execution in latest.values()} == {2}
