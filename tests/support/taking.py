"""A worker that starts tasks which take something from the results of others, and lets them take it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tasks_app.executors.base import Execution, Outcome
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode
from tests.support.engine import Engine
from workers_app.inputs import Inputs
from workers_app.runner import execution_of
from workflows_app.endings import settle_endings

RESULT = {"statusCode": 200, "body": '{"rows": [{"id": 7}], "total": 17}', "headers": {}}


class Taking:
    """One worker; ``session`` is that of its inputs."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self.engine = engine
        self.worker = engine.worker(slots=9)
        self.inputs = Inputs(session, self.worker)

    def ended(self, outcome: Outcome | None = None) -> UUID:
        attempt = self.engine.running(self.worker)
        self.engine.finish(self.worker, attempt, outcome or Outcome.success(RESULT))
        return attempt.task_id

    def started(self, payload: Any, *parents: UUID, task_type: str = "HTTP", **fields: Any) -> Attempt:
        """An attempt of a task with references to ``parents``, whatever became of these."""
        fields = {"run_if": "all_done", "depends_on": [str(each) for each in parents]} | fields
        task_id = self.engine.create(type=task_type, payload=payload, **fields)
        settle_endings(self.engine.session)
        self.engine.assign()
        [attempt] = [each for each in self.engine.start(self.worker) if each.task_id == task_id]
        return attempt

    def take(self, attempt: Attempt) -> tuple[Outcome | None, Execution]:
        execution = execution_of(attempt)
        return self.inputs.take(attempt, execution), execution

    def failure(self, payload: Any, *parents: UUID, **fields: Any) -> tuple[ErrorCode | None, str | None]:
        outcome, _ = self.take(self.started(payload, *parents, **fields))
        assert outcome is not None and not outcome.retryable
        return outcome.error_code, outcome.error_message


def of(task_id: UUID, path: str = "", **more: Any) -> dict[str, Any]:
    return {"$from": str(task_id), "path": path, **more}


def http(body: Any = None, **headers: Any) -> dict[str, Any]:
    return {"url": "http://example.com/", "body": body, "headers": headers}


def argv(*words: Any) -> dict[str, Any]:
    return {"argv": ["echo", *words]}
