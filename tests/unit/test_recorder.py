"""What is written about an outcome, decided without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from tasks_app.executors.base import Outcome, StopReason
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode, ExecutionStatus
from workers_app import recorder
from workers_app.recorder import Ending, Recorder, ending_of
from workers_app.runner import LONGEST_RESULT

SECOND = timedelta(seconds=1)


def attempt(**fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "task_id": uuid4(), "attempt": 1, "type": "DUMMY", "payload": "{}", "timeout_ms": 1000, "correlation_id": "c",
        "max_retries": 3, "retry_count": 0, "retry": '{"backoff":"exponential","jitter":false}', "keyed": False,
        "started_at": datetime(2024, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Attempt(**defaults | fields)


def failure(**fields: Any) -> Outcome:
    return Outcome.failure(ErrorCode.TASK_FAILED, "it broke", **fields)


class TestEndingOf:
    def test_of_a_success_has_its_result_and_no_retry(self) -> None:
        ending = ending_of(attempt(), Outcome.success({"a": "ü"}), 0.25)
        assert (ending.status, ending.result, ending.delay) == ("SUCCESS", '{"a":"ü"}', None)
        assert (ending.error_code, ending.error_message, ending.duration_s) == (None, None, 0.25)

    def test_of_a_failure_has_a_retry_by_the_tasks_policy(self) -> None:
        policy = '{"backoff":"linear","baseDelayMs":200,"jitter":false}'
        assert ending_of(attempt(retry=policy, retry_count=2), failure(), 0).delay == pytest.approx(0.6)

    def test_of_a_failure_falls_back_on_the_installations_policy(self) -> None:
        base = settings.SCHEDULER.retry_base_delay / SECOND
        assert base / 2 <= (ending_of(attempt(retry=None), failure(), 0).delay or 0) <= base

    @pytest.mark.parametrize(
        ("outcome", "fields"),
        [
            (failure(retryable=False), {}),
            (failure(), {"retry_count": 3}),
            (failure(), {"max_retries": 0}),
            (Outcome.stopped(StopReason.CANCEL, timeout=SECOND), {}),
            (Outcome.stopped(StopReason.RELEASE, timeout=SECOND), {}),
        ],
        ids=["not retryable", "used up", "none granted", "cancelled", "released"],
    )
    def test_has_no_retry_when(self, outcome: Outcome, fields: dict[str, Any]) -> None:
        assert ending_of(attempt(**fields), outcome, 0).delay is None

    def test_of_a_time_out_has_a_retry(self) -> None:
        ending = ending_of(attempt(), Outcome.stopped(StopReason.DEADLINE, timeout=SECOND), 0)
        assert (ending.status, ending.error_code) == (ExecutionStatus.TIMED_OUT, ErrorCode.TIMED_OUT)
        assert ending.delay is not None

    def test_honours_a_retry_after(self) -> None:
        assert ending_of(attempt(), failure(retry_after=timedelta(seconds=77)), 0).delay == 77

    @pytest.mark.parametrize(
        "result",
        [{"a": float("nan")}, {"a": "\0"}, {"a": "\ud800"}, {"a": object()}],
        ids=["nan", "nul", "surrogate", "object"],
    )
    def test_of_a_result_that_is_not_json_is_an_internal_failure(self, result: dict[str, Any]) -> None:
        """The attempt has been made; a repeat would only answer the same."""
        ending = ending_of(attempt(), Outcome.success(result), 0)
        assert (ending.status, ending.error_code, ending.result, ending.delay) == ("FAILED", "INTERNAL", None, None)

    @pytest.mark.parametrize(
        "fields",
        [{"error_message": 7}, {"retry_after": "soon"}, {"result": {1: {2: object()}}}],
        ids=["message", "delay", "result"],
    )
    def test_of_an_outcome_that_cannot_be_read_is_an_internal_failure(self, fields: dict[str, Any]) -> None:
        """A third party's: were it to raise, the attempt would never end, and its slot never be free."""
        defaults: dict[str, Any] = {"error_code": ErrorCode.TASK_FAILED, "error_message": "it broke", "retryable": True}
        ending = ending_of(attempt(), Outcome(ExecutionStatus.FAILED, **defaults | fields), 0)
        assert (ending.status, ending.error_code, ending.result, ending.delay) == ("FAILED", "INTERNAL", None, None)

    @pytest.mark.parametrize("letter", ["x", "ü"], ids=["one byte", "two bytes"])
    def test_of_a_result_above_the_limit_is_an_internal_failure_that_says_so(self, letter: str) -> None:
        room = (LONGEST_RESULT - len('{"a":""}')) // len(letter.encode())
        most = ending_of(attempt(), Outcome.success({"a": letter * room}), 0)
        assert (most.status, len((most.result or "").encode())) == ("SUCCESS", LONGEST_RESULT)
        over = ending_of(attempt(), Outcome.success({"a": letter * (room + 1)}), 0)
        assert (over.status, over.error_code, over.result, over.delay) == ("FAILED", "INTERNAL", None, None)
        assert over.error_message == (
            f"the outcome cannot be recorded: the result is {LONGEST_RESULT + len(letter.encode()):,} bytes of JSON;"
            " at most 1,048,576 are recorded"
        )

    @pytest.mark.parametrize("message", ["nul\0", "\ud800", "x" * 1_000_000, "\ud800" * 20_000, "\0" * 20_000])
    def test_makes_a_message_one_the_database_takes(self, message: str) -> None:
        outcome = Outcome.failure(ErrorCode.TASK_FAILED, message)
        text = ending_of(attempt(), outcome, 0).error_message or ""
        assert 0 < len(text.encode()) <= 40_000
        assert "\0" not in text


class TestNextBatch:
    @pytest.fixture
    def recorder_(self) -> Recorder:
        return Recorder(None, uuid4(), lambda batch: None)  # type: ignore[arg-type]

    def endings(self, count: int) -> list[Ending]:
        return [ending_of(attempt(), Outcome.success(), 0) for _ in range(count)]

    def test_takes_all_that_waits_up_to_the_limit(self, recorder_: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorder, "MAX_BATCH", 4)
        endings = self.endings(6)
        for ending in endings:
            recorder_.put(ending)
        assert [recorder_._next_batch(), recorder_._next_batch()] == [endings[:4], endings[4:]]

    def test_is_empty_at_the_end_and_not_before(self, recorder_: Recorder) -> None:
        [ending] = self.endings(1)
        recorder_.put(ending)
        recorder_.close()
        assert recorder_._next_batch() == [ending]
        assert recorder_._next_batch() == []
