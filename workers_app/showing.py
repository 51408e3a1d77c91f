"""What an attempt shows the API, if its task asked for it: made at its start, taken out of what it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tasks_app.executors.base import Execution, Outcome
from tasks_app.starting import Attempt
from tasks_app.task_tokens import Fence, make_token, without


def show(attempt: Attempt, execution: Execution) -> None:
    """Give a started attempt its token, and the batch that it is good for; nothing to a task that wants none."""
    if attempt.token_for is not None:
        started_at = datetime.fromisoformat(attempt.started_at)
        execution.token = make_token(Fence(attempt.task_id, attempt.attempt, started_at))
        execution.batch_id = attempt.token_for or None


def silenced(outcome: Outcome, token: str | None) -> Outcome:
    """The outcome without the token: a command may print its environment, and a receiver send back what it was sent."""
    if token is None:
        return outcome
    message = outcome.error_message and without(outcome.error_message, token)
    return replace(outcome, result=without(outcome.result, token), error_message=message)
