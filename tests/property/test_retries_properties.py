"""Laws of retry delays that hold for every policy, however long a task has been failing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks_app.executors.base import Outcome
from tasks_app.fields import NewTask
from tasks_app.new_tasks import field_problems
from tasks_app.retries import MAX_DELAY_MS, Backoff, GiveUp, RetryAt, RetryPolicy, decide
from tasks_app.states import ErrorCode, ExecutionStatus

ZERO = timedelta(0)
delays = st.timedeltas(ZERO, timedelta(milliseconds=MAX_DELAY_MS))
formulas = st.sampled_from([each for each in Backoff if each != Backoff.SCHEDULE])
growing = st.builds(RetryPolicy, formulas, delays, delays, st.booleans())
schedules = st.builds(
    lambda each, jitter: RetryPolicy(Backoff.SCHEDULE, each[0], max(each), jitter, tuple(each)),
    st.lists(delays, min_size=1, max_size=9),
    st.booleans(),
)
policies = growing | schedules
counts = st.integers(1, 10**9)
chances = st.floats(0, 1, exclude_max=True)
floors = st.none() | st.timedeltas(timedelta(days=-999), timedelta(days=99_999))
MICROSECOND = timedelta(microseconds=1)


class TestFullDelay:
    @given(policies, counts)
    def test_stays_between_nothing_and_the_cap(self, policy: RetryPolicy, n: int) -> None:
        assert ZERO <= policy.full_delay(n) <= policy.max_delay

    @given(growing, counts)
    def test_never_shrinks(self, policy: RetryPolicy, n: int) -> None:
        assert policy.full_delay(n) <= policy.full_delay(n + 1)

    @given(policies)
    def test_begins_with_the_base_or_the_cap(self, policy: RetryPolicy) -> None:
        assert policy.full_delay(1) == min(policy.base_delay, policy.max_delay)

    @given(schedules, st.integers(1, 20))
    def test_is_the_one_of_its_place_and_then_the_last_of_all(self, policy: RetryPolicy, n: int) -> None:
        assert policy.full_delay(n) == [*policy.delays, *[policy.delays[-1]] * 20][n - 1]

    @given(growing, st.integers(1, 20))
    def test_is_the_formula_of_the_contract(self, policy: RetryPolicy, n: int) -> None:
        factor = {Backoff.EXPONENTIAL: 2 ** (n - 1), Backoff.LINEAR: n, Backoff.FIXED: 1}[policy.backoff]
        assert policy.full_delay(n) == min(policy.max_delay, policy.base_delay * factor)


class TestDelay:
    @given(policies, counts, chances)
    def test_lies_in_the_upper_half_of_the_full_delay(self, policy: RetryPolicy, n: int, chance: float) -> None:
        full, delay = policy.full_delay(n), policy.delay(n, chance=chance)
        if policy.jitter:
            assert full / 2 - MICROSECOND <= delay <= full + MICROSECOND
        else:
            assert delay == full

    @given(policies, counts, chances, floors)
    def test_never_exceeds_the_cap_whatever_a_server_asks_for(
        self, policy: RetryPolicy, n: int, chance: float, floor: timedelta | None
    ) -> None:
        assert ZERO <= policy.delay(n, chance=chance, floor=floor) <= policy.max_delay + MICROSECOND

    @given(policies, counts, chances, st.timedeltas(ZERO, timedelta(days=99_999)))
    def test_never_undercuts_what_a_server_asks_for_below_the_cap(
        self, policy: RetryPolicy, n: int, chance: float, floor: timedelta
    ) -> None:
        assert policy.delay(n, chance=chance, floor=floor) >= min(floor, policy.max_delay)

    @given(policies, counts, chances, chances)
    def test_grows_with_chance(self, policy: RetryPolicy, n: int, one: float, other: float) -> None:
        low, high = sorted((one, other))
        assert policy.delay(n, chance=low) <= policy.delay(n, chance=high)


class TestMerged:
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "backoff": formulas.map(str),
                "baseDelayMs": st.integers(0, MAX_DELAY_MS),
                "maxDelayMs": st.integers(0, MAX_DELAY_MS),
                "jitter": st.booleans(),
            },
        ),
        delays,
        delays,
        counts,
    )
    def test_makes_a_policy_of_everything_that_can_be_created(
        self, chosen: dict[str, Any], base: timedelta, cap: timedelta, n: int
    ) -> None:
        assert field_problems(NewTask(type="DUMMY", retry=chosen)) == {}
        policy = RetryPolicy.merged(chosen, base_delay=base, max_delay=cap)
        assert ZERO <= policy.delay(n, chance=0.5) <= policy.max_delay


outcomes = st.builds(
    Outcome,
    status=st.sampled_from(ExecutionStatus),
    error_code=st.just(ErrorCode.TASK_FAILED),
    retryable=st.booleans(),
    retry_after=floors,
)


class TestDecide:
    @given(outcomes, st.integers(0, 1000), st.integers(0, 1000), policies, chances)
    def test_grants_a_retry_exactly_to_retryable_failures_with_retries_left(
        self, outcome: Outcome, count: int, most: int, policy: RetryPolicy, chance: float
    ) -> None:
        decision = decide(outcome, retry_count=count, max_retries=most, policy=policy, chance=chance)
        failed = outcome.status in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT)
        if failed and outcome.retryable and count < most:
            assert decision == RetryAt(policy.delay(count + 1, chance=chance, floor=outcome.retry_after))
        else:
            assert decision == GiveUp()

    @given(st.integers(0, 40), policies)
    def test_ends_after_the_last_retry(self, most: int, policy: RetryPolicy) -> None:
        outcome, granted = Outcome.failure(ErrorCode.TASK_FAILED, "x"), 0
        while isinstance(decide(outcome, retry_count=granted, max_retries=most, policy=policy, chance=0), RetryAt):
            granted += 1
        assert granted == most
