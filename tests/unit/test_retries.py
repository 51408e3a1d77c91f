"""When an attempt is tried again and after how long; laws that hold for every value are in ``property``."""

from __future__ import annotations

from datetime import timedelta

import pytest

from access_app.refusals import InvalidInput
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.retries import Backoff, Decision, GiveUp, RetryAt, RetryPolicy, decide, read_options
from tasks_app.states import ErrorCode, ExecutionStatus

SECOND = timedelta(seconds=1)
#: A schedule without delays is not made by anybody, and does not grow.
_CONSTANT = {Backoff.FIXED, Backoff.SCHEDULE}
FAILURE = Outcome.failure(ErrorCode.TASK_FAILED, "it broke")


def policy(
    backoff: Backoff = Backoff.EXPONENTIAL, *, base: float = 1, cap: float = 10, jitter: bool = False
) -> RetryPolicy:
    return RetryPolicy(backoff, timedelta(seconds=base), timedelta(seconds=cap), jitter)


def decision(outcome: Outcome, *, count: int = 0, most: int = 3, by: RetryPolicy | None = None) -> Decision:
    return decide(outcome, retry_count=count, max_retries=most, policy=by or policy(), chance=0.5)


class TestFullDelay:
    @pytest.mark.parametrize(
        ("backoff", "seconds"),
        [
            (Backoff.EXPONENTIAL, [1, 2, 4, 8, 10, 10]),
            (Backoff.LINEAR, [1, 2, 3, 4, 5, 6]),
            (Backoff.FIXED, [1, 1, 1, 1, 1, 1]),
        ],
    )
    def test_grows_as_its_kind_says_up_to_the_cap(self, backoff: Backoff, seconds: list[int]) -> None:
        assert [policy(backoff).full_delay(n) for n in range(1, 7)] == [SECOND * s for s in seconds]

    @pytest.mark.parametrize("backoff", Backoff)
    @pytest.mark.parametrize("n", [41, 65, 1000, 1_000_000])
    def test_never_overflows(self, backoff: Backoff, n: int) -> None:
        widest = policy(backoff, base=86_400, cap=86_400 * 30)
        assert widest.full_delay(n) == (timedelta(days=1) if backoff in _CONSTANT else timedelta(days=30))

    @pytest.mark.parametrize("backoff", Backoff)
    def test_is_nothing_for_a_base_of_nothing(self, backoff: Backoff) -> None:
        assert policy(backoff, base=0).full_delay(1000) == timedelta(0)

    @pytest.mark.parametrize("backoff", Backoff)
    def test_is_the_cap_for_a_base_above_it(self, backoff: Backoff) -> None:
        assert policy(backoff, base=60, cap=10).full_delay(1) == 10 * SECOND

    def test_is_what_the_list_says_and_then_its_last(self) -> None:
        chosen = {"backoff": "schedule", "delaysMs": [5000, 0, 7000]}
        made = RetryPolicy.merged(chosen, base_delay=SECOND, max_delay=SECOND)
        assert [made.full_delay(n) / SECOND for n in range(1, 6)] == [5, 0, 7, 7, 7]
        assert made.delay(2, chance=0.5, floor=SECOND * 60) == SECOND * 7
        assert made.delay(1, chance=0.0) == SECOND * 2.5

    def test_is_nothing_for_a_cap_of_nothing(self) -> None:
        assert policy(cap=0).full_delay(3) == timedelta(0)


class TestDelay:
    @pytest.mark.parametrize(("chance", "seconds"), [(0.0, 2.0), (0.5, 3.0), (0.999999, 3.999998)])
    def test_is_drawn_from_the_upper_half(self, chance: float, seconds: float) -> None:
        assert policy(jitter=True).delay(3, chance=chance) == timedelta(seconds=seconds)

    def test_without_jitter_leaves_nothing_to_chance(self) -> None:
        assert policy().delay(3, chance=0.1) == policy().delay(3, chance=0.9) == 4 * SECOND

    def test_is_never_below_a_retry_after(self) -> None:
        assert policy(jitter=True).delay(1, chance=0, floor=7 * SECOND) == 7 * SECOND

    def test_is_not_shortened_by_a_retry_after(self) -> None:
        assert policy().delay(4, chance=0, floor=SECOND) == 8 * SECOND

    def test_caps_a_retry_after_too(self) -> None:
        assert policy(jitter=True).delay(1, chance=0, floor=timedelta(days=900)) == 10 * SECOND

    @pytest.mark.parametrize("floor", [timedelta(0), timedelta(seconds=-5)])
    def test_ignores_a_retry_after_that_asks_for_no_wait(self, floor: timedelta) -> None:
        assert policy().delay(1, chance=0, floor=floor) == SECOND


class TestMerged:
    def test_takes_what_the_task_names_and_defaults_for_the_rest(self) -> None:
        merged = RetryPolicy.merged({"backoff": "linear", "baseDelayMs": 250}, base_delay=SECOND, max_delay=9 * SECOND)
        assert merged == RetryPolicy(Backoff.LINEAR, timedelta(milliseconds=250), 9 * SECOND, jitter=True)

    @pytest.mark.parametrize("chosen", [None, {}])
    def test_is_exponential_with_jitter_when_nothing_is_named(self, chosen: dict[str, object] | None) -> None:
        merged = RetryPolicy.merged(chosen, base_delay=SECOND, max_delay=9 * SECOND)
        assert merged == RetryPolicy(Backoff.EXPONENTIAL, SECOND, 9 * SECOND, jitter=True)

    def test_keeps_a_zero_that_was_asked_for(self) -> None:
        merged = RetryPolicy.merged(
            {"baseDelayMs": 0, "maxDelayMs": 0, "jitter": False}, base_delay=SECOND, max_delay=SECOND
        )
        assert merged == RetryPolicy(Backoff.EXPONENTIAL, timedelta(0), timedelta(0), jitter=False)


class TestDecide:
    def test_grants_a_failure_its_retry_after_the_policys_delay(self) -> None:
        assert decision(FAILURE, count=1) == RetryAt(2 * SECOND)

    def test_grants_a_timeout_its_retry(self) -> None:
        assert decision(Outcome.stopped(StopReason.DEADLINE, timeout=SECOND)) == RetryAt(SECOND)

    def test_takes_the_outcomes_retry_after_as_a_floor(self) -> None:
        busy = Outcome.failure(ErrorCode.HTTP_STATUS, "503", retry_after=5 * SECOND)
        assert decision(busy) == RetryAt(5 * SECOND)

    @pytest.mark.parametrize(("count", "most"), [(3, 3), (4, 3), (0, 0)])
    def test_gives_up_when_the_retries_are_used_up(self, count: int, most: int) -> None:
        assert decision(FAILURE, count=count, most=most) == GiveUp()

    def test_gives_up_when_a_repeat_cannot_help(self) -> None:
        assert decision(Outcome.failure(ErrorCode.HTTP_STATUS, "404", retryable=False)) == GiveUp()

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome.success(),
            Outcome.stopped(StopReason.CANCEL, timeout=SECOND),
            Outcome.stopped(StopReason.RELEASE, timeout=SECOND),
            Outcome(ExecutionStatus.SUCCESS, retryable=True),
            Outcome(ExecutionStatus.CANCELLED, retryable=True),
            Outcome(ExecutionStatus.LOST, retryable=True),
        ],
        ids=lambda outcome: f"{outcome.status}-{outcome.retryable}",
    )
    def test_gives_up_on_what_is_no_failure(self, outcome: Outcome) -> None:
        assert decision(outcome) == GiveUp()


class TestReadOptions:
    """Of a schedule; the others are in ``test_api_inputs``."""

    @pytest.mark.parametrize(
        ("options", "fields"),
        [
            ({"backoff": "schedule"}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": []}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [0] * 101}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [1.5]}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [True]}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [-1]}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [2_592_000_001]}, {"delaysMs"}),
            ({"backoff": "schedule", "delaysMs": [1], "maxDelayMs": 5}, {"maxDelayMs"}),
            ({"backoff": "schedule", "delaysMs": [1], "baseDelayMs": 5}, {"baseDelayMs"}),
            ({"backoff": "fixed", "delaysMs": [1]}, {"delaysMs"}),
            ({"delaysMs": [1]}, {"delaysMs"}),
        ],
    )
    def test_name_what_is_wrong(self, options: dict[str, object], fields: set[str]) -> None:
        with pytest.raises(InvalidInput) as refused:
            read_options(options)
        assert refused.value.problems.keys() == fields

    def test_take_a_list_of_delays(self) -> None:
        options = {"backoff": "schedule", "delaysMs": [0, 2_592_000_000], "jitter": False}
        assert read_options(options) == options
