"""One step of a worker at a time, in this process: no heartbeat, no recorder, no guardian but those a test asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.engine import Engine
from workers_app.heartbeats import Registration
from workers_app.processes.guardian import GuardianLink
from workers_app.processes.worker import Worker, WorkerOptions

NOTHING = timedelta(0)


@pytest.fixture
def worker(engine: Engine) -> Iterator[Worker]:
    """Registered, with four slots, and not beating."""
    registration = Registration(
        worker_id=uuid4(), host="host", pid=1, name="w", slots=4, queues=None, labels={}, version="test"
    )
    options = WorkerOptions(registration=registration, prefetch=0, grace=timedelta(seconds=1), burst=False)
    made = Worker(options, GuardianLink())
    made._register()
    yield made
    made._pool.close()
    for session in (made._session, made._recorder.session, made._heartbeat._session, made.listener):
        session.close()
    made.pipe.close()


class TestStep:
    def test_outlives_a_statement_that_is_refused_and_starts_afterwards(self, engine: Engine, worker: Worker) -> None:
        task_id = engine.assigned(worker.id)
        engine.session.execute("ALTER TABLE tasks RENAME COLUMN retry TO retry_elsewhere")
        with capture_logs() as lines:
            rests = [worker.step() for _ in range(3)]
        engine.session.execute("ALTER TABLE tasks RENAME COLUMN retry_elsewhere TO retry")
        assert min(rests) > NOTHING
        assert [line["event"] for line in lines] == ["step_failed"]
        worker.step()
        assert engine.task(task_id).status == "RUNNING"
