"""What an outcome means for the rows: status, delay of the retry, and texts as PostgreSQL takes them. Pure.

No database and no clock; chance and the installation's retry policy are passed in. How an outcome comes about is
``runner.py``'s matter, how an ending is written ``recorder.py``'s, when a retry is granted ``tasks_app/retries.py``'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from tasks_app.executors.base import Outcome
from tasks_app.new_tasks import json_text
from tasks_app.retries import RetryAt, RetryPolicy, decide
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode, ExecutionStatus

log = structlog.get_logger(__name__)

#: Characters of an error message.
LONGEST_MESSAGE: Final = 10_000
#: Bytes of a result as JSON. PostgreSQL takes no message above 1 GiB, and a batch of 500 must stay well below it: one
#: that is refused as a whole looks like a database that is away, and would be sent again for ever.
LONGEST_RESULT: Final = 2**20
_SECOND: Final = timedelta(seconds=1)


@dataclass(slots=True, eq=False)
class Ending:
    """How one attempt ended, and what follows by the retry policy; ``next_status`` is what the database made of it."""

    started: Attempt
    status: str
    #: Seconds from the record of this end to the next attempt; None: it is the task's end.
    delay: float | None
    error_code: str | None
    error_message: str | None
    result: str | None
    duration_s: float
    next_status: str | None = None
    #: A host that is too busy, and the seconds for which it asked all its callers to stay away.
    back_off: tuple[str, float] | None = None
    #: Whether the body ran: what was given back before it began can be run again even at most once.
    begun: bool = True
    refused: bool = False

    def refuse(self, why: str) -> None:
        """Put a failure in the place of a result that cannot be written."""
        self.status, self.delay, self.result, self.refused = ExecutionStatus.FAILED, None, None, True
        self.error_code, self.error_message = ErrorCode.INTERNAL, _message_text(why)

    @property
    def task_id(self) -> UUID:
        return self.started.task_id

    @property
    def attempt(self) -> int:
        return self.started.attempt

    @property
    def type(self) -> str:
        return self.started.type

    @property
    def correlation_id(self) -> str:
        return self.started.correlation_id or self.started.task_id.hex


def ending_of(attempt: Attempt, outcome: Outcome, duration_s: float, *, default: RetryPolicy, chance: float) -> Ending:
    """Return what is to be written about an attempt that took ``duration_s`` seconds. Never raises.

    ``default`` is the retry policy of the installation, ``chance`` in [0, 1) places the delay. An outcome that cannot
    be read is a third party's: it is logged, and the attempt ends as a failure all the same.
    """
    try:
        return _ending_of(attempt, outcome, duration_s, default, chance)
    except Exception as error:
        log.exception("outcome_unreadable", task_id=str(attempt.task_id), attempt=attempt.attempt)
        ending = Ending(attempt, ExecutionStatus.FAILED, None, None, None, None, duration_s)
        ending.refuse(f"the outcome cannot be recorded: {error}")
        return ending


def _ending_of(attempt: Attempt, outcome: Outcome, duration_s: float, default: RetryPolicy, chance: float) -> Ending:
    return Ending(
        attempt,
        outcome.status,
        None if outcome.error_code is None else _delay(attempt, outcome, default, chance),
        None if outcome.error_code is None else str(outcome.error_code),
        None if outcome.error_message is None else _message_text(outcome.error_message),
        None if outcome.result is None else _result_text(outcome.result),
        duration_s,
        back_off=_back_off(outcome),
        begun=not (outcome.status is ExecutionStatus.RELEASED and outcome.retryable),
    )


def _back_off(outcome: Outcome) -> tuple[str, float] | None:
    if outcome.busy_target is None or outcome.retry_after is None:
        return None
    return outcome.busy_target, outcome.retry_after / _SECOND


def _delay(attempt: Attempt, outcome: Outcome, default: RetryPolicy, chance: float) -> float | None:
    """Seconds until the retry that the task's policy grants, or None."""
    policy = default
    if attempt.retry is not None:
        chosen = json.loads(attempt.retry)
        policy = RetryPolicy.merged(chosen, base_delay=default.base_delay, max_delay=default.max_delay)
    decision = decide(
        outcome, retry_count=attempt.retry_count, max_retries=attempt.max_retries, policy=policy, chance=chance
    )
    return decision.delay / _SECOND if isinstance(decision, RetryAt) else None


def _message_text(message: str) -> str:
    """A message as PostgreSQL takes it. Python writes undecodable bytes of file names as lone surrogates."""
    clean = message[:LONGEST_MESSAGE].replace("\0", "\ufffd")
    return clean.encode("utf-8", "replace").decode()


def _result_text(result: object) -> str:
    """A result as JSON text that PostgreSQL takes. Raises ValueError: why there is none."""
    text = json_text(result)
    if len(text) > LONGEST_RESULT // 4 and (size := len(text.encode())) > LONGEST_RESULT:
        raise ValueError(f"the result is {size:,} bytes of JSON; at most {LONGEST_RESULT:,} are recorded")
    return text
