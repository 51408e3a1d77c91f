"""A scheduler's part in bulk operations: who does the pieces, and when it rests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks_app import wakeups
from tasks_app.models import BulkOperation
from tasks_app.pieces import Pace
from tasks_app.sessions import Session
from tests.support.ears import Ear
from tests.support.engine import Engine, in_seconds
from tests.support.operations import begin, row_of
from tests.support.schedulers import stepped_scheduler
from tests.support.waiting import eventually
from workers_app.processes import bulk
from workers_app.processes.bulk import LATEST, BulkRunner, do_due, step

OpenSession = Callable[[], Session]


class TestStep:
    def test_rests_until_the_next_piece_is_due_and_ends_without_one(self, engine: Engine) -> None:
        assert step(engine.session, Pace()) is None
        engine.create_many(3)
        operation_id = begin(status="PENDING", rate=4)
        assert step(engine.session, Pace()) == 0.0
        rest = step(engine.session, Pace())
        assert rest is not None and 0 < rest <= 0.25
        BulkOperation.objects.filter(pk=operation_id).update(due_at=in_seconds(30))
        assert step(engine.session, Pace()) == LATEST

    def test_tells_workers_what_is_to_stop_and_schedulers_what_is_due(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        ear = Ear(open_session())
        worker = engine.worker(slots=1)
        engine.running(worker)
        begin(status="RUNNING")
        do_due(engine.session)
        assert (wakeups.WORKERS, f"!{worker}") in ear.hears(lambda heard: wakeups.WORKERS in dict(heard))
        engine.create()
        begin(status="PENDING")
        do_due(engine.session)
        begin("retry", status="CANCELLED")
        do_due(engine.session)
        assert (wakeups.SCHEDULERS, wakeups.NEW) in ear.hears(lambda heard: (wakeups.SCHEDULERS, wakeups.NEW) in heard)


class TestBulkRunner:
    def test_is_woken_by_the_housekeeper_and_ends_with_the_operation(self, engine: Engine) -> None:
        engine.create_many(5)
        operation_id = begin(status="PENDING")
        with stepped_scheduler() as scheduler:
            housekeeper = scheduler._housekeeper
            housekeeper.round()
            eventually(lambda: row_of(operation_id).state == "DONE")
            eventually(lambda: not housekeeper._bulk._thread.is_alive())  # type: ignore[union-attr]
        assert row_of(operation_id).touched == 5

    def test_does_nothing_once_it_is_closed(self, engine: Engine) -> None:
        begin(status="PENDING")
        runner = BulkRunner()
        runner.close()
        runner.wake()
        assert runner._thread is None

    def test_comes_back_after_whatever_went_wrong(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        engine.create()
        operation_id = begin(status="PENDING")
        runner = BulkRunner()
        with monkeypatch.context() as patch:
            patch.setattr(bulk, "do_piece", lambda session, *_: session.fetch("SELECT no_such_column"))
            runner.wake()
            eventually(lambda: not runner._thread.is_alive())  # type: ignore[union-attr]
        runner.wake()
        eventually(lambda: row_of(operation_id).state == "DONE")
        runner.close()
