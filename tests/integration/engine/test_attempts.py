"""What is done by the token of an attempt is done while the attempt runs, or not at all: whoever ends it and whoever
acts by it meet at the row of the task."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import transaction

from tasks_app.attempts import hold_attempt
from tasks_app.models import TaskProgress
from tasks_app.progress import REST, NotRunning, Report, progress_of, report_progress
from tasks_app.retention import Retention
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.task_tokens import AttemptOver, Fence
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine
from tests.support.races import locked, rival, rival_on

OpenSession = Callable[[], Session]
LONG_AGO = timedelta(days=8)


def fence_of(attempt: Attempt) -> Fence:
    return Fence(attempt.task_id, attempt.attempt, datetime.fromisoformat(attempt.started_at))


def holds(fence: Fence) -> bool:
    with transaction.atomic():
        try:
            hold_attempt(fence)
        except AttemptOver:
            return False
    return True


class TestHoldAttempt:
    def test_finds_what_runs(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker(), task_token=True)
        assert attempt.token_for == ""
        with transaction.atomic():
            assert hold_attempt(fence_of(attempt)) == (None, "DUMMY", "test")

    @pytest.mark.parametrize("end", ["success", "retry", "release", "lost", "next"])
    def test_refuses_an_attempt_that_is_over(self, engine: Engine, end: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, max_retries=3)
        if end == "lost":
            engine.lose(worker)
        else:
            outcome = {"success": SUCCEEDED, "retry": FAILED}.get(end, RELEASED)
            engine.finish(worker, attempt, outcome)
        if end == "next":
            engine.move(attempt.task_id, run_at=timedelta(0))
            engine.assign()
            [second] = engine.start(worker)
            assert second.attempt == 2
            assert holds(fence_of(second))
        assert not holds(fence_of(attempt))

    def test_refuses_one_whose_number_a_failover_gave_out_again(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker())
        engine.move(attempt.task_id, started_at=timedelta(0))
        assert not holds(fence_of(attempt))

    def test_waits_for_a_recovery_and_is_refused_by_what_it_made(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """A worker was frozen, its task is being moved on, and what it has started asks for something."""
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.kill(worker)
        other = open_session()
        other.execute("BEGIN")
        Engine(other).recover()
        child = rival(lambda: holds(fence_of(attempt)))
        child.waits(engine.session)
        other.execute("COMMIT")
        assert child.answer() is False

    def test_keeps_the_end_of_the_attempt_waiting(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        with transaction.atomic():
            hold_attempt(fence_of(attempt))
            end = rival_on(open_session(), lambda session: Engine(session).finish(worker, attempt, SUCCEEDED))
            end.waits(engine.session)
            assert holds(fence_of(attempt)), "others who ask share it"
        assert end.answer() == "SUCCESS"


class TestReportProgress:
    def test_keeps_the_latest_of_the_latest_attempt(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        report_progress(attempt.task_id, Report.of(done=1, total=3, note="a"), fence=fence_of(attempt))
        found = progress_of(attempt.task_id)
        assert found is not None
        assert (found.attempt, found.percent, found.done, found.total, found.note) == (1, 33, 1, 3, "a")
        engine.finish(worker, attempt, RELEASED)
        with pytest.raises(AttemptOver):
            report_progress(attempt.task_id, Report(percent=9), fence=fence_of(attempt))
        with pytest.raises(NotRunning):
            report_progress(attempt.task_id, Report(percent=9))
        engine.move(attempt.task_id, run_at=timedelta(0))
        engine.assign()
        engine.start(worker)
        with pytest.raises(AttemptOver):
            report_progress(attempt.task_id, Report(percent=9), fence=fence_of(attempt))
        report_progress(attempt.task_id, Report(percent=2))  # of another attempt: no rest before it
        assert [(each.attempt, each.percent) for each in TaskProgress.objects.all()] == [(2, 2)]

    def test_takes_so_many_in_a_time(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker())
        report_progress(attempt.task_id, Report(percent=1))
        TaskProgress.objects.update(reported_at=datetime.fromisoformat("2999-01-01T00:00:00Z"))
        assert report_progress(attempt.task_id, Report(percent=2)).percent == 1
        assert report_progress(attempt.task_id, Report(percent=100, note="a")).note == "a"
        TaskProgress.objects.update(reported_at=datetime.fromisoformat("2999-01-01T00:00:00Z"))
        assert report_progress(attempt.task_id, Report(percent=100, note="b")).note == "a"
        engine.session.execute("UPDATE task_progress SET reported_at = clock_timestamp() - %s", [REST])
        report_progress(attempt.task_id, Report(percent=3))
        assert TaskProgress.objects.get().percent == 3

    def test_waits_for_who_ends_the_attempt(self, engine: Engine, open_session: OpenSession) -> None:
        attempt = engine.running(engine.worker())
        with locked(open_session(), "tasks", "id", attempt.task_id) as holder:
            late = rival(lambda: report_progress(attempt.task_id, Report(percent=1), fence=fence_of(attempt)))
            late.waits(engine.session)
            holder.execute("UPDATE tasks SET attempt = attempt + 1 WHERE id = %s", [attempt.task_id])
        with pytest.raises(AttemptOver):
            late.answer()
        assert not TaskProgress.objects.exists()

    def test_goes_with_its_task(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        report_progress(attempt.task_id, Report(percent=1))
        engine.finish(worker, attempt, SUCCEEDED)
        engine.move(attempt.task_id, finished_at=-LONG_AGO)
        assert Retention().delete(engine.session) == 1
        assert not TaskProgress.objects.exists()
