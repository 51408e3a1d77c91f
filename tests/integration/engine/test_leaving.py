"""How a worker leaves, and who may say that it is dead."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings

from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tests.support.engine import Engine
from workers_app.heartbeats import Registration
from workers_app.models import Worker as WorkerRow
from workers_app.processes.guardian_link import FENCED, UNFINISHED, GuardianLink
from workers_app.processes.held import Held
from workers_app.processes.worker import Worker, WorkerOptions
from workers_app.runner import execution_of

TIMEOUT, MARGIN = settings.SCHEDULER.heartbeat_timeout, settings.SCHEDULER.lease_margin


@pytest.fixture
def worker(session: Session) -> Iterator[Worker]:
    registration = Registration(
        worker_id=uuid4(), host=socket.gethostname(), pid=1, name="w", slots=2, queues=None, labels={}, version="test"
    )
    options = WorkerOptions(registration=registration, prefetch=0, grace=timedelta(seconds=1), burst=False)
    made = Worker(options, GuardianLink())
    yield made
    made._starter.session.close()


def state(worker: Worker) -> str:
    return WorkerRow.objects.get(pk=worker.id).state


def hold(worker: Worker, engine: Engine, *, ended: bool) -> Attempt:
    """A registered worker that holds an attempt, whose end is not recorded."""
    worker._register()
    attempt = engine.running(worker.id)
    worker._executing.held.add([Held(attempt, execution_of(attempt), ended)])
    return attempt


class TestLeave:
    def test_is_stopped_when_nothing_is_left(self, worker: Worker) -> None:
        worker._register()
        worker._leave()
        assert (state(worker), worker.exit_status) == ("STOPPED", 0)

    def test_is_dead_when_an_end_could_not_be_recorded(self, worker: Worker, engine: Engine) -> None:
        task_id = hold(worker, engine, ended=True).task_id
        worker._leave()
        assert (state(worker), worker.exit_status) == ("DEAD", 0)
        assert [row.task_id for row in engine.recover()] == [task_id]

    def test_does_not_call_itself_dead_while_its_work_runs(self, worker: Worker, engine: Engine) -> None:
        """Somebody else would begin the same task before this process has exited. Its guardian says so, after that."""
        task_id = hold(worker, engine, ended=False).task_id
        worker._leave()
        assert (state(worker), worker.exit_status) == ("ACTIVE", UNFINISHED)
        assert engine.recover() == []
        assert engine.task(task_id).status == "RUNNING"

    def test_fenced_is_dead_once_its_work_is(self, worker: Worker, engine: Engine) -> None:
        hold(worker, engine, ended=True)
        worker._fence()
        worker._leave()
        assert (state(worker), worker.exit_status) == ("DEAD", FENCED)
