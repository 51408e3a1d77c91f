"""Laws of rates that hold for every rule, and however it is asked: no window sees more than it may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flow_app.rates import LONGEST_PERIOD, MOST_STARTS, Bucket, Rate, default_burst, new_bucket

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def empty_bucket(rate: Rate, now: datetime) -> Bucket:
    """The bucket of a rate of which nothing is known, as mend_buckets.sql makes it: as if all had been taken."""
    return Bucket(rate, now + rate.span(rate.capacity))


def micros(most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(0, most).map(lambda count: timedelta(microseconds=count))


SMALL = st.builds(Rate, st.integers(1, 7), st.integers(1, 3), st.integers(0, 7))
ANY = st.builds(
    lambda limit, period, burst: Rate(limit, period, min(burst, limit)),
    st.integers(1, MOST_STARTS),
    st.integers(1, LONGEST_PERIOD),
    st.integers(0, MOST_STARTS),
)
#: How long after the one before somebody asks, and for how many. Many ask as soon as there may be a token.
ASKED = st.lists(st.tuples(st.none() | micros(1_500_000), st.integers(1, 9)), max_size=60)


def starts_of(bucket: Bucket, asked: list[tuple[timedelta | None, int]], now: datetime) -> list[datetime]:
    """When tokens are taken by somebody who takes what there is."""
    starts = []
    for later, wanted in asked:
        now = bucket.next_token(now) if later is None else now + later
        given_now = min(wanted, bucket.tokens(now))
        if given_now:
            bucket = bucket.charge(given_now, now)
        starts += [now] * given_now
    return starts


def most_within(starts: list[datetime], period: timedelta) -> int:
    """The most of them in a window of the period that leaves out its end."""
    return max((sum(first <= each < first + period for each in starts) for first in starts), default=0)


class TestBucket:
    @given(SMALL, st.integers(0, 8), ASKED)
    def test_lets_no_window_see_more_than_limit_and_burst(
        self, rate: Rate, used: int, asked: list[tuple[timedelta | None, int]]
    ) -> None:
        bucket = Bucket(rate, NOON + rate.span(used)).settled(NOON)
        starts = starts_of(bucket, asked, NOON)
        assert most_within(starts, timedelta(seconds=rate.period)) <= rate.limit + rate.burst

    @given(ANY, ASKED)
    def test_of_a_new_rate_gives_one_and_never_more_than_came_since(
        self, rate: Rate, asked: list[tuple[timedelta | None, int]]
    ) -> None:
        starts = starts_of(new_bucket(rate, NOON), [(timedelta(0), 9), *asked], NOON)
        assert starts.count(NOON) == 1
        for number, at in enumerate(starts):
            assert (at - NOON + MICROSECOND) * rate.limit >= number * timedelta(seconds=rate.period)

    @given(ANY, st.integers(0, MOST_STARTS), micros(10**12))
    def test_has_a_token_when_it_says_and_not_before(self, rate: Rate, used: int, later: timedelta) -> None:
        bucket = Bucket(rate, NOON + rate.span(used))
        at = bucket.next_token(NOON)
        assert bucket.tokens(at)
        if at > NOON:
            assert not bucket.tokens(at - MICROSECOND)
        assert bucket.tokens(at + later) >= bucket.tokens(at)

    @given(ANY, st.integers(0, 1000), st.integers(0, 1000), micros(10**9))
    def test_takes_what_is_taken_one_by_one_or_together(
        self, rate: Rate, some: int, more: int, later: timedelta
    ) -> None:
        bucket = empty_bucket(rate, NOON)
        at_once = bucket.charge(some + more, NOON)
        in_turn = bucket.charge(some, NOON).charge(more, NOON)
        assert MICROSECOND * 0 <= in_turn.full_at - at_once.full_at <= MICROSECOND
        assert bucket.charge(some, NOON).tokens(NOON + later) <= bucket.tokens(NOON + later)

    @given(ANY)
    def test_is_filled_within_a_period_by_its_limit(self, rate: Rate) -> None:
        bucket = empty_bucket(Rate(rate.limit, rate.period, rate.limit), NOON)
        assert bucket.tokens(NOON) == 0
        came = bucket.tokens(NOON + timedelta(seconds=rate.period) + MICROSECOND)
        assert rate.limit <= came <= rate.limit + 1 + rate.limit // rate.micros

    @given(ANY, st.integers(0, MOST_STARTS), micros(10**12))
    def test_of_a_clock_that_was_set_back_gives_nothing_away_and_waits_no_longer_than_to_be_filled(
        self, rate: Rate, used: int, back: timedelta
    ) -> None:
        bucket = Bucket(rate, NOON + rate.span(min(used, rate.capacity)))
        before = NOON - back
        settled = bucket.settled(before)
        assert settled.tokens(before) <= bucket.tokens(NOON)
        assert settled.tokens(before + rate.span(1) + MICROSECOND) >= 1

    def test_holds_no_more_than_it_can_however_long_nothing_was_taken(self) -> None:
        bucket = Bucket(Rate(10, 1, 2), NOON - timedelta(hours=1))
        assert bucket.tokens(NOON) == 3
        assert bucket.charge(1, NOON).tokens(NOON) == 2


class TestUnder:
    @given(ANY, ANY, st.integers(0, MOST_STARTS))
    def test_keeps_what_was_taken_as_far_as_the_bucket_reaches(self, rate: Rate, other: Rate, used: int) -> None:
        bucket = Bucket(rate, NOON + rate.span(min(used, rate.capacity)))
        taken = rate.capacity - bucket.tokens(NOON)
        left = bucket.under(other, NOON).tokens(NOON)
        # A rounded microsecond may be more than a token, and is on the side of whom the rate protects.
        lost = 1 + other.limit // (other.period * 1_000_000) + rate.limit // (rate.period * 1_000_000)
        assert max(0, other.capacity - taken - lost) <= left <= max(0, other.capacity - taken)

    @given(ANY, st.integers(0, MOST_STARTS), micros(10**9))
    def test_the_same_rate_changes_nothing(self, rate: Rate, used: int, later: timedelta) -> None:
        bucket = Bucket(rate, NOON + rate.span(used)).settled(NOON)
        changed = bucket.under(rate, NOON)
        assert changed.full_at == max(bucket.full_at, NOON)
        assert changed.tokens(NOON + later) == bucket.tokens(NOON + later)


class TestDefaultBurst:
    @given(st.integers(1, MOST_STARTS), st.integers(1, LONGEST_PERIOD))
    def test_is_within_what_may_be_asked_for(self, limit: int, period: int) -> None:
        assert 0 <= default_burst(limit, period) <= limit // 10
