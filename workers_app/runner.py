"""One attempt, as a pipeline: parse, find the executor, execute, and return an `Outcome` whatever happened.

No database and no thread handling: a pool thread calls `run_attempt`. What the outcome means for the rows is
``endings.py``'s matter.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta

import structlog

from tasks_app.executors.base import Execution, Outcome, PayloadError
from tasks_app.executors.registry import executor_for
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode

log = structlog.get_logger(__name__)


def execution_of(attempt: Attempt) -> Execution:
    """The attempt as its executor sees it; its deadline runs from now."""
    return Execution(
        task_id=attempt.task_id,
        attempt=attempt.attempt,
        type=attempt.type,
        payload={} if attempt.payload == "{}" else json.loads(attempt.payload),
        timeout=timedelta(milliseconds=attempt.timeout_ms),
        correlation_id=attempt.correlation_id or attempt.task_id.hex,
        deadline=time.monotonic() + attempt.timeout_ms / 1000,
        scheduled_for=attempt.scheduled_for,
    )


def run_attempt(execution: Execution) -> Outcome:
    """Execute and return how it ended. Never raises: an exception of the executor is a failure of the task."""
    executor = executor_for(execution.type)
    if executor is None:
        text = f"no executor for type {execution.type} on this worker"
        return Outcome.failure(ErrorCode.INTERNAL, text, retryable=True)
    if execution.stop_reason is not None:  # asked before it began: nothing was done
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
        text = f"the executor returned {type(outcome).__name__} instead of an Outcome"
        return Outcome.failure(ErrorCode.INTERNAL, text, retryable=False)
    return outcome
