"""What an attempt shows the API: given to it when it runs, and found in nothing that it leaves."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from access_app.masking import MASK
from tasks_app.executors.base import Execution, Outcome
from tasks_app.states import ErrorCode
from tasks_app.task_tokens import caller_of
from tests.unit.test_held import held
from workers_app.processes import held as held_module
from workers_app.processes.held import Held

BATCH = str(UUID(int=7))


def run(made: Held, monkeypatch: pytest.MonkeyPatch) -> tuple[Execution, Outcome]:
    def echo(execution: Execution) -> Outcome:
        return Outcome.failure(ErrorCode.EXIT_CODE, f"said {execution.token}", result={"stdout": [execution.token]})

    monkeypatch.setattr(held_module, "run_attempt", echo)
    return made.execution, made.run()


class TestShow:
    @pytest.mark.parametrize(("token_for", "batch_id"), [("", None), (BATCH, BATCH)])
    def test_gives_a_token_of_this_attempt(
        self, token_for: str, batch_id: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = held(attempt=3, started_at="2030-01-31 08:00:00.5+02")
        made.attempt = made.attempt._replace(token_for=token_for)
        execution, outcome = run(made, monkeypatch)
        assert execution.token is not None
        caller = caller_of(execution.token)
        assert caller is not None
        assert (caller.fence.task_id, caller.fence.attempt) == (made.attempt.task_id, 3)
        assert caller.fence.started_at.isoformat() == "2030-01-31T06:00:00.500000+00:00"
        assert execution.batch_id == batch_id
        assert execution.token not in repr(execution)
        assert execution.token not in json.dumps(outcome.result) + str(outcome.error_message)
        assert (outcome.result, outcome.error_message) == ({"stdout": [MASK]}, f"said {MASK}")

    def test_gives_none_that_was_not_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        execution, outcome = run(held(), monkeypatch)
        assert (execution.token, execution.batch_id) == (None, None)
        assert outcome.error_message == "said None"
