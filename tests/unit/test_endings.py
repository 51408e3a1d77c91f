"""What an outcome means for the rows: decided without a database, a clock or chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tasks_app.executors.base import Outcome, StopReason
from tasks_app.retries import Backoff, RetryPolicy
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.logs import capture_logs
from workers_app import endings
from workers_app.endings import LONGEST_MESSAGE, LONGEST_RESULT, Ending

SECOND = timedelta(seconds=1)
POLICY = RetryPolicy(Backoff.EXPONENTIAL, 10 * SECOND, 100 * SECOND, jitter=True)


def attempt(**fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "task_id": uuid4(), "attempt": 1, "type": "DUMMY", "payload": "{}", "timeout_ms": 1000, "correlation_id": "c",
        "max_retries": 3, "retry_count": 0, "retry": None, "keyed": False,
        "started_at": datetime(2024, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Attempt(**defaults | fields)


def ending_of(outcome: Outcome, *, chance: float = 0.0, **fields: Any) -> Ending:
    return endings.ending_of(attempt(**fields), outcome, 0.25, default=POLICY, chance=chance)


def failure(**fields: Any) -> Outcome:
    return Outcome.failure(ErrorCode.TASK_FAILED, "it broke", **fields)


def written(ending: Ending) -> tuple[str, str | None, str | None, float | None]:
    return ending.status, ending.error_code, ending.result, ending.delay


class TestEndingOf:
    def test_a_success_has_its_result_and_no_retry(self) -> None:
        ending = ending_of(Outcome.success({"a": "ü"}))
        assert written(ending) == ("SUCCESS", None, '{"a":"ü"}', None)
        assert (ending.error_message, ending.duration_s) == (None, 0.25)

    def test_a_success_without_a_result_has_none(self) -> None:
        assert ending_of(Outcome.success()).result is None

    def test_a_failure_keeps_its_result_and_says_why(self) -> None:
        ending = ending_of(failure(result={"seen": [1, None]}))
        assert written(ending) == ("FAILED", "TASK_FAILED", '{"seen":[1,null]}', 5.0)
        assert ending.error_message == "it broke"

    def test_bears_the_names_of_its_attempt(self) -> None:
        started = attempt(attempt=7, correlation_id="x", type="HTTP")
        ending = endings.ending_of(started, failure(), 0, default=POLICY, chance=0)
        assert (ending.task_id, ending.attempt) == (started.task_id, 7)
        assert (ending.type, ending.correlation_id) == ("HTTP", "x")

    @pytest.mark.parametrize(("told", "begun"), [(Outcome.stopped, True), (Outcome.not_begun, False)])
    def test_tells_what_was_given_back_before_it_began(self, told: Any, begun: bool) -> None:
        """Only that may run again when the task is to run at most once."""
        assert ending_of(told(StopReason.RELEASE, timeout=SECOND)).begun is begun

    def test_counts_a_retryable_failure_as_begun(self) -> None:
        assert ending_of(failure()).begun


class TestDelay:
    @pytest.mark.parametrize(("chance", "seconds"), [(0.0, 5.0), (0.5, 7.5)])
    def test_is_by_the_installations_policy_and_the_chance(self, chance: float, seconds: float) -> None:
        assert ending_of(failure(), chance=chance).delay == pytest.approx(seconds)

    def test_is_by_the_tasks_own_policy_where_it_has_one(self) -> None:
        policy = '{"backoff":"linear","baseDelayMs":200,"jitter":false}'
        assert ending_of(failure(), retry=policy, retry_count=2).delay == pytest.approx(0.6)

    def test_takes_from_the_installation_what_the_task_leaves_open(self) -> None:
        assert ending_of(failure(), retry='{"jitter":false}', retry_count=1).delay == pytest.approx(20)

    def test_honours_a_retry_after(self) -> None:
        assert ending_of(failure(retry_after=timedelta(seconds=77))).delay == 77

    def test_of_a_time_out_is_as_of_a_failure(self) -> None:
        ending = ending_of(Outcome.stopped(StopReason.DEADLINE, timeout=SECOND))
        assert written(ending) == (ExecutionStatus.TIMED_OUT, ErrorCode.TIMED_OUT, None, 5.0)

    @pytest.mark.parametrize(
        ("outcome", "fields"),
        [
            (failure(retryable=False), {}),
            (failure(), {"retry_count": 3}),
            (failure(), {"max_retries": 0}),
            (Outcome.stopped(StopReason.CANCEL, timeout=SECOND), {}),
            (Outcome.stopped(StopReason.RELEASE, timeout=SECOND), {}),
            (Outcome.not_begun(StopReason.RELEASE, timeout=SECOND), {}),
        ],
        ids=["not retryable", "used up", "none granted", "cancelled", "released", "not begun"],
    )
    def test_is_none_when(self, outcome: Outcome, fields: dict[str, Any]) -> None:
        assert ending_of(outcome, **fields).delay is None


class TestUnreadable:
    """A third party's outcome: were it to raise, the attempt would never end, and its slot never be free."""

    @pytest.mark.parametrize(
        "result",
        [{"a": float("nan")}, {"a": "\0"}, {"a": "\ud800"}, {"a": object()}],
        ids=["nan", "nul", "surrogate", "object"],
    )
    def test_result_is_an_internal_failure_without_a_retry(self, result: dict[str, Any]) -> None:
        """The attempt has been made; a repeat would only return the same."""
        assert written(ending_of(Outcome.success(result))) == ("FAILED", "INTERNAL", None, None)

    @pytest.mark.parametrize(
        "fields",
        [{"error_message": 7}, {"retry_after": "soon"}, {"result": {1: {2: object()}}}],
        ids=["message", "delay", "result"],
    )
    def test_outcome_is_one_too(self, fields: dict[str, Any]) -> None:
        defaults: dict[str, Any] = {"error_code": ErrorCode.TASK_FAILED, "error_message": "it broke", "retryable": True}
        with capture_logs() as lines:
            ending = ending_of(Outcome(ExecutionStatus.FAILED, **defaults | fields))
        assert written(ending) == ("FAILED", "INTERNAL", None, None)
        assert [line["event"] for line in lines] == ["outcome_unreadable"]

    def test_policy_is_one_too(self) -> None:
        assert written(ending_of(failure(), retry='{"backoff":"of another release"}')) == (
            "FAILED", "INTERNAL", None, None,
        )  # fmt: skip


class TestTexts:
    @pytest.mark.parametrize("letter", ["x", "ü"], ids=["one byte", "two bytes"])
    def test_a_result_above_the_limit_is_an_internal_failure_that_says_so(self, letter: str) -> None:
        room = (LONGEST_RESULT - len('{"a":""}')) // len(letter.encode())
        most = ending_of(Outcome.success({"a": letter * room}))
        assert (most.status, len((most.result or "").encode())) == ("SUCCESS", LONGEST_RESULT)
        over = ending_of(Outcome.success({"a": letter * (room + 1)}))
        assert written(over) == ("FAILED", "INTERNAL", None, None)
        assert over.error_message == (
            f"the outcome cannot be recorded: the result is {LONGEST_RESULT + len(letter.encode()):,} bytes of JSON;"
            " at most 1,048,576 are recorded"
        )

    @pytest.mark.parametrize("message", ["nul\0", "\ud800", "x" * 1_000_000, "\ud800" * 20_000, "\0" * 20_000])
    def test_a_message_is_one_the_database_takes(self, message: str) -> None:
        text = ending_of(Outcome.failure(ErrorCode.TASK_FAILED, message)).error_message or ""
        assert 0 < len(text) <= LONGEST_MESSAGE
        assert len(text.encode()) <= 4 * LONGEST_MESSAGE
        assert "\0" not in text


class TestRefuse:
    def test_puts_a_failure_in_the_place_of_what_cannot_be_written(self) -> None:
        ending = ending_of(failure(result={"seen": 1}))
        ending.refuse("the database refused \0 it")
        assert written(ending) == ("FAILED", "INTERNAL", None, None)
        assert (ending.error_message, ending.refused) == ("the database refused \ufffd it", True)
