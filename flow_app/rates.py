"""How many tasks may start now under a rate: the generic cell rate algorithm, in its virtual scheduling form.

A bucket remembers one instant, the theoretical arrival time of ITU-T I.371 and the ATM Forum's Traffic Management
Specification 4.0: when it would be full again, if nothing more were taken from it. Each token moves it on by the
interval between two tokens, and a token is there while it lies no more than ``burst`` intervals ahead. So no window
of a period, its end left out, sees more than ``limit + burst`` tokens taken, wherever it begins. A counter of fixed
windows lets twice as many through at their edges, and a counter that is filled by a timer leaks when the timer does.

Instants are those of the database's clock, in whole microseconds; what does not come out even is rounded against
whoever takes tokens. No database, no clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

#: The largest limit of a rate, and the longest period in seconds.
MOST_STARTS: Final = 1_000_000
LONGEST_PERIOD: Final = 86_400

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit + burst`` in every ``period`` seconds, and ``limit`` of them for good."""

    limit: int
    period: int
    burst: int

    @property
    def capacity(self) -> int:
        """How many tokens a full bucket holds."""
        return self.burst + 1

    def span(self, tokens: int) -> timedelta:
        """How long so many tokens take to come, rounded up."""
        return timedelta(microseconds=-(-tokens * self.micros // self.limit))

    @property
    def tolerance(self) -> timedelta:
        """How far ahead a bucket may be that has a token: ``burst`` intervals, rounded down."""
        return timedelta(microseconds=self.burst * self.micros // self.limit)

    @property
    def micros(self) -> int:
        """The period in microseconds."""
        return self.period * 1_000_000


def default_burst(limit: int, period: int) -> int:
    """What comes in a tenth of a second: none below ten a second.

    A limit then means what it says, to one in ten of what a second allows; and the way from a token to a start, some
    milliseconds of hints and commits, costs none of the rate, as it would without a burst.
    """
    return limit // (10 * period)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The tokens of a rate, as of its last charge. ``full_at`` is the theoretical arrival time."""

    rate: Rate
    full_at: datetime

    def tokens(self, now: datetime) -> int:
        """How many may be taken now."""
        missing = self._ahead(now) * self.rate.limit
        return max(0, (self.rate.capacity * self.rate.micros - missing) // self.rate.micros)

    def charge(self, tokens: int, now: datetime) -> Bucket:
        """Take tokens, whether or not they are there: what has started has started."""
        return replace(self, full_at=max(self.full_at, now) + self.rate.span(tokens))

    def next_token(self, now: datetime) -> datetime:
        """When there is a token, if nothing more is taken: now, or later."""
        return max(now, self.full_at - self.rate.tolerance)

    def settled(self, now: datetime) -> Bucket:
        """The same, empty at worst: after the clock was set back, it is not ahead by what nobody has taken."""
        return replace(self, full_at=min(self.full_at, now + self.rate.span(self.rate.capacity)))

    def under(self, rate: Rate, now: datetime) -> Bucket:
        """The same under another rate: what was taken stays taken, and what is more than it can hold is forgiven."""
        micros = -(-self._ahead(now) * self.rate.limit * rate.micros // (self.rate.micros * rate.limit))
        return Bucket(rate, now + timedelta(microseconds=micros)).settled(now)

    def _ahead(self, now: datetime) -> int:
        """Microseconds until it is full."""
        return max(0, (self.full_at - now) // _MICROSECOND)


def new_bucket(rate: Rate, now: datetime) -> Bucket:
    """The bucket of a rate that nobody had before: it holds one token, and its burst comes with time.

    So a rate that is taken away and set again gives one start, never another burst.
    """
    return Bucket(rate, now + rate.tolerance)
