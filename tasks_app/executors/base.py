"""What an executor is: it validates a payload, and it turns one attempt into one `Outcome`.

An executor runs in a pool thread of a worker, holds no database connection and knows no model. It is asked to stop
through its `Execution` (cancel, deadline, lost lease) and must return soon after; how the end is recorded, retried or
given back is decided elsewhere. Third parties add a type with one class and one line of the TASK_EXECUTORS setting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from access_app.refusals import bounded, joined
from tasks_app.executors.emitting import Output
from tasks_app.states import ErrorCode, ExecutionStatus

JsonObject = dict[str, Any]

#: Guards what `Execution.stop` changes, of all executions: one for all is cheaper than making one for each attempt.
_stopping = threading.Lock()


class PayloadError(ValueError):
    """A payload its task type refuses. ``problems`` maps a dotted field path (``headers.X-A``) to one sentence."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(joined(problems))
        self.problems = bounded(problems.items())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, as a value. Every ending is one: success, failure, time-out, cancel, give-back."""

    status: ExecutionStatus
    result: JsonObject | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None
    retryable: bool = False
    #: A floor under the delay before the next retry (an HTTP Retry-After), capped by the retry policy.
    retry_after: timedelta | None = None
    #: The host that asked all its callers to stay away for so long: it is too busy.
    busy_target: str | None = None

    @classmethod
    def success(cls, result: JsonObject | None = None) -> Outcome:
        return cls(ExecutionStatus.SUCCESS, result)

    @classmethod
    def failure(
        cls,
        code: ErrorCode,
        message: str,
        *,
        result: JsonObject | None = None,
        retryable: bool = True,
        retry_after: timedelta | None = None,
    ) -> Outcome:
        return cls(ExecutionStatus.FAILED, result, code, message, retryable, retry_after)

    @classmethod
    def stopped(cls, reason: StopReason, *, timeout: timedelta, result: JsonObject | None = None) -> Outcome:
        """The ending of work that was asked to stop; ``result`` is what it had produced until then."""
        match reason:
            case StopReason.DEADLINE:
                seconds = timeout / timedelta(seconds=1)
                text = f"did not end within its time-out of {seconds:g} s"
                return cls(ExecutionStatus.TIMED_OUT, result, ErrorCode.TIMED_OUT, text, retryable=True)
            case StopReason.CANCEL:
                text = "cancelled while it was running"
                return cls(ExecutionStatus.CANCELLED, result, ErrorCode.CANCELLED, text)
            case StopReason.RELEASE:
                return cls(ExecutionStatus.RELEASED, result)

    @classmethod
    def not_begun(cls, reason: StopReason, *, timeout: timedelta) -> Outcome:
        """The ending of work that was asked to stop before it began: nothing was done, so it may be done elsewhere."""
        outcome = cls.stopped(reason, timeout=timeout)
        return replace(outcome, retryable=True) if reason is StopReason.RELEASE else outcome


class StopReason(StrEnum):
    """Why running work is asked to stop."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    #: The worker gives the attempt back: it drains, or its lease is about to end.
    RELEASE = "release"


@dataclass(slots=True, eq=False)
class Execution:
    """One attempt as its executor sees it: what to do, until when, and whether to stop.

    `stop` may be called from any thread, any number of times; the first reason stays. Callbacks given to `on_stop`
    run once, in the stopping thread (at once when the work was stopped already): they must only unblock the work,
    by closing a socket or writing to a pipe, and must not raise or block.
    """

    task_id: UUID
    attempt: int
    type: str
    payload: JsonObject
    timeout: timedelta
    correlation_id: str
    #: `time.monotonic()` value at which the work is asked to stop with DEADLINE.
    deadline: float = 0.0
    #: The time of its schedule that the task was made for; None: no schedule made it.
    scheduled_for: datetime | None = None
    #: What it shows the API, where it asked for one. Never part of a result, a log line or a text about it.
    token: str | None = field(default=None, repr=False)
    #: With a token: the batch that it may add to.
    batch_id: str | None = None
    #: Set with RELEASE when no grace is left: kill, do not ask.
    immediate: bool = False
    stop_reason: StopReason | None = None
    #: What makes a place for its output when it first writes; None: nobody keeps what it writes.
    keep: Callable[[Execution], Output] | None = field(default=None, repr=False)
    output: Output | None = field(default=None, repr=False)
    _stopped: threading.Event | None = None
    _callbacks: tuple[Callable[[], None], ...] = ()

    @property
    def scheduled_for_text(self) -> str | None:
        """`scheduled_for` in UTC, written as the API writes it."""
        if self.scheduled_for is None:
            return None
        return self.scheduled_for.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def emit(self, text: str, stream: str = "log") -> None:
        """Show a line, or several, to whoever follows the task. May be called from any thread; never blocks.

        They are readable within a second, once the attempt has run for OUTPUT_AFTER_MS, and kept with it.
        """
        line = text if text.endswith("\n") else f"{text}\n"
        self.write(stream, line.encode("utf-8", "replace"))

    def write(self, stream: str, data: bytes) -> None:
        """As `emit`, the bytes of a stream as they come: a line is readable once its end has come."""
        output = self.output or self._kept()
        if output is not None:
            output.write(stream, data)

    def _kept(self) -> Output | None:
        with _stopping:
            if self.output is None and self.keep is not None:
                self.output = self.keep(self)
            return self.output

    def stop(self, reason: StopReason, *, immediate: bool = False) -> None:
        with _stopping:
            if immediate:
                self.immediate = True
            again = self.stop_reason is not None
            if not again:
                self.stop_reason = reason
            callbacks = self._callbacks if immediate or not again else ()
            if self._stopped is not None:
                self._stopped.set()
        for callback in callbacks:
            callback()

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the work is asked to stop, and again if a stop becomes immediate."""
        with _stopping:
            self._callbacks += (callback,)
            stopped = self.stop_reason is not None
        if stopped:
            callback()

    def wait(self, seconds: float) -> StopReason | None:
        """Sleep for ``seconds`` or until asked to stop; return why it was stopped, or None."""
        with _stopping:
            if self.stop_reason is not None:
                return self.stop_reason
            if self._stopped is None:
                self._stopped = threading.Event()
        limit = min(seconds, self.remaining)
        if not self._stopped.wait(limit) and limit < seconds:
            self.stop(StopReason.DEADLINE)
        return self.stop_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeDocs:
    """What a task type says of itself, shown in `/schema` and in the forms of the admin. Schemas are JSON Schema."""

    payload: JsonObject
    result: JsonObject
    #: What the two refer to as ``#/components/schemas/NAME``: generated clients want names for inner objects.
    parts: Mapping[str, JsonObject] = field(default_factory=dict)
    #: An example: its heading, its payload, and what else `POST /tasks` is sent.
    summary: str
    example: JsonObject
    options: JsonObject = field(default_factory=dict)


class Executor(Protocol):
    """One task type. Instances are shared by all pool threads, so they keep no state of an attempt.

    It may also have ``docs``, a `TypeDocs`. Without them `/schema` has its tasks as those of any other type. And
    ``target(payload)``, which returns the name of the host that a task calls: limits of targets hold for it. And
    ``input_at(payload, place)``, a `references.KindAt`: where its payloads may take something from the results of
    other tasks. Without it ``$from`` means nothing to the type, and its payloads are what they say.
    """

    #: The name in a task's ``type``, upper case.
    type: str
    #: The scope a key needs beside one that writes to have tasks of this type run; of people, only superusers may.
    required_scope: str | None

    def validate(self, payload: JsonObject) -> None:
        """Check a payload as it came; raise `PayloadError` that names every bad or unknown field."""

    def execute(self, execution: Execution) -> Outcome:
        """Do the work and return how it ended. An exception counts as FAILED/TASK_FAILED, retryable."""
