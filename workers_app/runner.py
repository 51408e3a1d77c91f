"""One attempt, as a pipeline: parse, find the executor, execute, and answer an `Outcome` whatever happened.

No database and no thread handling: the pool calls `run_attempt`, the recorder writes what it answers.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Final

import structlog

from tasks_app.executors.base import Execution, Outcome, PayloadError
from tasks_app.executors.registry import executor_for
from tasks_app.new_tasks import json_text
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode

log = structlog.get_logger(__name__)

#: Bytes of a result as JSON. PostgreSQL takes no message above 1 GiB, and a batch of 500 must stay well below it: one
#: that is refused as a whole looks like a database that is away, and would be sent again for ever.
LONGEST_RESULT: Final = 2**20


def execution_of(attempt: Attempt) -> Execution:
    """The attempt as its executor sees it; its deadline runs from now."""
    return Execution(
        task_id=attempt.task_id,
        attempt=attempt.attempt,
        type=attempt.type,
        payload={} if attempt.payload == "{}" else json.loads(attempt.payload),
        timeout=timedelta(milliseconds=attempt.timeout_ms),
        correlation_id=attempt.correlation_id,
        deadline=time.monotonic() + attempt.timeout_ms / 1000,
        scheduled_for=attempt.scheduled_for,
    )


def run_attempt(execution: Execution) -> Outcome:
    """Execute and answer how it ended. Never raises: an exception of the executor is a failure of the task."""
    executor = executor_for(execution.type)
    if executor is None:
        text = f"no executor for type {execution.type} on this worker"
        return Outcome.failure(ErrorCode.INTERNAL, text, retryable=True)
    if execution.stop_reason is not None:  # told before it began: nothing was done
        return Outcome.not_begun(execution.stop_reason, timeout=execution.timeout)
    try:
        outcome = executor.execute(execution)
    except PayloadError as error:
        return Outcome.failure(ErrorCode.TASK_FAILED, str(error), retryable=False)
    except BaseException as error:
        if execution.stop_reason is not None:
            return Outcome.stopped(execution.stop_reason, timeout=execution.timeout)
        log.exception("executor_raised", task_id=str(execution.task_id), attempt=execution.attempt)
        return Outcome.failure(ErrorCode.TASK_FAILED, f"{type(error).__name__}: {error}", retryable=True)
    if not isinstance(outcome, Outcome):  # a third party's, not held by any type checker
        text = f"the executor answered {type(outcome).__name__} instead of an Outcome"
        return Outcome.failure(ErrorCode.INTERNAL, text, retryable=False)
    return outcome


def result_text(outcome: Outcome) -> str | None:
    """The outcome's result as JSON text that PostgreSQL takes; None when there is none. Raises ValueError: why not."""
    if outcome.result is None:
        return None
    text = json_text(outcome.result)
    if len(text) > LONGEST_RESULT // 4 and (size := len(text.encode())) > LONGEST_RESULT:
        raise ValueError(f"the result is {size:,} bytes of JSON; at most {LONGEST_RESULT:,} are recorded")
    return text
