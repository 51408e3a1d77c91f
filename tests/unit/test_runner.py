"""One attempt from payload to outcome: whatever an executor does, what comes back is an `Outcome`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tasks_app.executors.base import Execution, Outcome, PayloadError, StopReason
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode, ExecutionStatus
from workers_app import runner
from workers_app.runner import execution_of, run_attempt


def attempt(**fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "task_id": uuid4(), "attempt": 3, "type": "DUMMY", "payload": "{}", "timeout_ms": 2000, "correlation_id": "c",
        "max_retries": 3, "retry_count": 0, "retry": None, "keyed": False,
        "started_at": datetime(2024, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Attempt(**defaults | fields)


class Executing:
    """An executor that does as it is told."""

    type = "DUMMY"
    required_scope = None

    def __init__(self, act: Callable[[Execution], Any]) -> None:
        self._act = act

    def validate(self, payload: dict[str, Any]) -> None: ...

    def execute(self, execution: Execution) -> Any:
        return self._act(execution)


@pytest.fixture
def executing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Execution], Any]], Outcome]:
    def run(act: Callable[[Execution], Any]) -> Outcome:
        monkeypatch.setattr(runner, "executor_for", lambda task_type: Executing(act))
        return run_attempt(execution_of(attempt()))

    return run


class WantsOut(BaseException):
    """As some libraries stop their threads."""


def raising(error: BaseException) -> Callable[[Execution], Any]:
    def act(execution: Execution) -> Any:
        raise error

    return act


class TestExecutionOf:
    def test_carries_what_the_executor_needs(self) -> None:
        started = attempt(payload='{"sleepDurationMs": 7}')
        execution = execution_of(started)
        assert (execution.task_id, execution.attempt, execution.type) == (started.task_id, 3, "DUMMY")
        assert (execution.payload, execution.timeout) == ({"sleepDurationMs": 7}, timedelta(seconds=2))

    def test_counts_the_deadline_from_now(self) -> None:
        before = time.monotonic()
        assert before + 2 <= execution_of(attempt()).deadline <= time.monotonic() + 2

    def test_gives_each_attempt_a_payload_of_its_own(self) -> None:
        first, second = execution_of(attempt()), execution_of(attempt())
        first.payload["x"] = 1
        assert second.payload == {}


class TestRunAttempt:
    def test_returns_what_the_executor_returned(self, executing: Callable[..., Outcome]) -> None:
        outcome = Outcome.success({"a": 1})
        assert executing(lambda execution: outcome) is outcome

    def test_fails_the_task_when_the_executor_raises(self, executing: Callable[..., Outcome]) -> None:
        outcome = executing(raising(KeyError("x")))
        assert (outcome.status, outcome.error_code, outcome.retryable) == ("FAILED", ErrorCode.TASK_FAILED, True)
        assert outcome.error_message == "KeyError: 'x'"

    @pytest.mark.parametrize("error", [RecursionError(), MemoryError(), SystemExit(1), WantsOut()], ids=repr)
    def test_returns_even_when_the_executor_wants_out(
        self, executing: Callable[..., Outcome], error: BaseException
    ) -> None:
        """sys.exit() in a task must not end a pool thread: its attempt would never end and its slot never be free."""
        assert executing(raising(error)).status is ExecutionStatus.FAILED

    @pytest.mark.parametrize("answer", [None, True, "done", {"status": "SUCCESS"}])
    def test_fails_the_task_when_the_executor_returns_no_outcome(
        self, executing: Callable[..., Outcome], answer: Any
    ) -> None:
        outcome = executing(lambda execution: answer)
        assert isinstance(outcome, Outcome)
        assert outcome.status is ExecutionStatus.FAILED

    def test_does_not_retry_a_payload_the_executor_refuses(self, executing: Callable[..., Outcome]) -> None:
        outcome = executing(raising(PayloadError({"url": "must be a text"})))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, False)
        assert outcome.error_message == "url: must be a text"

    @pytest.mark.parametrize(
        ("reason", "status"),
        [
            (StopReason.CANCEL, ExecutionStatus.CANCELLED),
            (StopReason.DEADLINE, ExecutionStatus.TIMED_OUT),
            (StopReason.RELEASE, ExecutionStatus.RELEASED),
        ],
    )
    def test_takes_an_exception_after_a_stop_for_the_stop(
        self, executing: Callable[..., Outcome], reason: StopReason, status: ExecutionStatus
    ) -> None:
        """Its socket was closed under it, for example."""

        def act(execution: Execution) -> Any:
            execution.stop(reason)
            raise OSError("closed")

        assert executing(act).status is status

    def test_returns_a_retryable_failure_for_a_type_this_worker_does_not_know(self) -> None:
        outcome = run_attempt(execution_of(attempt(type="NEW")))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)
        assert "NEW" in (outcome.error_message or "")

    def test_does_nothing_when_it_was_told_to_stop_before_it_began(self, executing: Callable[..., Outcome]) -> None:
        begun = []
        execution = execution_of(attempt())
        execution.stop(StopReason.RELEASE)
        executing(begun.append)
        begun.clear()
        assert run_attempt(execution).status is ExecutionStatus.RELEASED
        assert begun == []

    def test_runs_a_real_executor(self) -> None:
        outcome = run_attempt(execution_of(attempt(payload='{"shouldFail": true}')))
        assert (outcome.status, outcome.result) == (ExecutionStatus.FAILED, {"sleptMs": 0})
