"""When a failed attempt is tried again, and when not. Pure: values in, value out, chance passed in.

The delay before retry n (counted from 1) is, with the task's base and cap:

    exponential   base, 2·base, 4·base, 8·base …      min(cap, base · 2^(n-1))
    linear        base, 2·base, 3·base, 4·base …      min(cap, base · n)
    fixed         base, base, base, base …            min(cap, base)
    schedule      the n-th of a list, then its last   the list's own: no base, no cap

With jitter (the default) the delay is drawn uniformly from the upper half of that value, so that tasks which failed
together do not come back together ("equal jitter": M. Brooker, Exponential Backoff and Jitter, 2015). A Retry-After
(RFC 9110 §10.2.3) is a floor, itself capped. How the decision is written, and that a cancel beats it, is
``sql/finish_attempts.sql``'s matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from access_app.http.fields import json_object
from access_app.refusals import InvalidInput, bounded
from tasks_app.executors.base import Outcome
from tasks_app.states import ExecutionStatus

MAX_DELAY_MS: Final = 2_592_000_000
MOST_DELAYS: Final = 100
_OPTIONS: Final = frozenset({"backoff", "baseDelayMs", "maxDelayMs", "jitter", "delaysMs"})
#: No `timedelta` sum may overflow however large n grows; 2^40 base units are beyond every cap.
_MOST_DOUBLINGS: Final = 40
_RETRIED: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT})


class Backoff(StrEnum):
    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    SCHEDULE = "schedule"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait before each retry."""

    backoff: Backoff
    base_delay: timedelta
    max_delay: timedelta
    jitter: bool
    #: Of a schedule: how long before the first retry, before the second …
    delays: tuple[timedelta, ...] = ()

    @classmethod
    def merged(cls, chosen: Mapping[str, Any] | None, *, base_delay: timedelta, max_delay: timedelta) -> RetryPolicy:
        """The policy of a task: what its ``retry`` object names, the installation's defaults for the rest.

        A base above the cap is legal and means the cap.
        """
        chosen = chosen or {}
        delays = tuple(timedelta(milliseconds=each) for each in chosen.get("delaysMs", ()))
        if delays:  # it is its own base and cap
            base_delay, max_delay = delays[0], max(delays)
        return cls(
            backoff=Backoff(chosen.get("backoff", Backoff.EXPONENTIAL)),
            base_delay=_milliseconds(chosen.get("baseDelayMs"), base_delay),
            max_delay=_milliseconds(chosen.get("maxDelayMs"), max_delay),
            jitter=bool(chosen.get("jitter", True)),
            delays=delays,
        )

    def full_delay(self, n: int) -> timedelta:
        """The delay before retry ``n`` (≥ 1) without jitter."""
        if self.delays:
            return self.delays[min(n, len(self.delays)) - 1]
        match self.backoff:
            case Backoff.EXPONENTIAL:
                factor: int = 2 ** min(n - 1, _MOST_DOUBLINGS)
            case Backoff.LINEAR:
                factor = n
            case _:
                factor = 1
        if self.base_delay and factor > self.max_delay / self.base_delay:
            return self.max_delay
        return min(self.max_delay, self.base_delay * factor)

    def delay(self, n: int, *, chance: float, floor: timedelta | None = None) -> timedelta:
        """The delay before retry ``n``; ``chance`` in [0, 1) places it in the upper half when jitter is on."""
        delay = self.full_delay(n)
        if self.jitter:
            delay = delay / 2 + delay / 2 * chance
        return max(delay, min(floor, self.max_delay)) if floor else delay


def read_options(value: Any) -> Any:
    """The options of a policy in JSON. Raises ValueError, or `InvalidInput` that names the bad ones."""
    options = json_object(value)
    problems = bounded((name, "unknown field") for name in sorted(options.keys() - _OPTIONS))
    if "backoff" in options and options["backoff"] not in list(Backoff):
        problems["backoff"] = f"must be one of {', '.join(Backoff)}"
    for name in ("baseDelayMs", "maxDelayMs"):
        delay = options.get(name, 0)
        if isinstance(delay, bool) or not isinstance(delay, int) or not 0 <= delay <= MAX_DELAY_MS:
            problems[name] = f"must be a whole number from 0 to {MAX_DELAY_MS}"
    if not isinstance(options.get("jitter", True), bool):
        problems["jitter"] = "must be true or false"
    problems |= _schedule_problems(options)
    if problems:
        raise InvalidInput(problems)
    return options


def _schedule_problems(options: Mapping[str, Any]) -> dict[str, str]:
    if options.get("backoff") != Backoff.SCHEDULE:
        return {"delaysMs": "is for backoff schedule"} if "delaysMs" in options else {}
    problems = {name: "is not taken with backoff schedule" for name in ("baseDelayMs", "maxDelayMs") if name in options}
    if "delaysMs" not in options:
        return problems | {"delaysMs": "is required with backoff schedule"}
    delays = options["delaysMs"]
    if type(delays) is not list or not 1 <= len(delays) <= MOST_DELAYS:
        return problems | {"delaysMs": f"must be a list of 1 to {MOST_DELAYS}"}
    if not all(type(each) is int and 0 <= each <= MAX_DELAY_MS for each in delays):
        return problems | {"delaysMs": f"must be whole numbers from 0 to {MAX_DELAY_MS}"}
    return problems


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Run the task again, ``delay`` after its end is recorded (by the database's clock)."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The attempt's end is the task's end."""


Decision = RetryAt | GiveUp


def decide(outcome: Outcome, *, retry_count: int, max_retries: int, policy: RetryPolicy, chance: float) -> Decision:
    """Decide what follows an attempt. ``retry_count`` retries were granted before this one.

    A success, a cancel and a failure that a repeat cannot mend give up; so does the failure after the last retry.
    """
    if outcome.status not in _RETRIED or not outcome.retryable or retry_count >= max_retries:
        return GiveUp()
    return RetryAt(policy.delay(retry_count + 1, chance=chance, floor=outcome.retry_after))


def _milliseconds(value: int | None, default: timedelta) -> timedelta:
    return default if value is None else timedelta(milliseconds=value)
