"""What happened, in the past tense: the code that did it sends, ``monitoring_app.receivers`` decides what becomes a log
line. Nothing here changes a task, and nothing may be built on a signal: a process that dies sends none.

Send with ``send_robust``, off the hot path and in batches, after the statement that made it true was committed. Ids may
be `UUID` or text. Receivers are cheap: with the log level above INFO they return before they look at the records.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol
from uuid import UUID

from django.dispatch import Signal


class EndedAttempt(Protocol):
    """What a record of `attempt_ended` and `attempts_late` must offer; the sender's own objects will do."""

    @property
    def task_id(self) -> UUID | str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def status(self) -> str:
        """How the attempt ended, an `ExecutionStatus`."""

    @property
    def next_status(self) -> str | None:
        """Where that took the task, a `TaskStatus`; None for a late result, which moves no task."""

    @property
    def correlation_id(self) -> str: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def error_code(self) -> str | None: ...
    @property
    def error_message(self) -> str | None: ...


class RecoveredTask(NamedTuple):
    """One row of ``sql/recover_lost_tasks.sql``."""

    task_id: UUID
    attempt: int
    worker_id: UUID
    was: str
    next_status: str
    end_reason: str | None
    correlation_id: str


#: A batch of attempts was recorded. ``worker_id``, ``records``: sequence of `EndedAttempt`.
attempt_ended: Final = Signal()

#: Results came after their attempt had been taken away, and were kept on its row. ``worker_id``, ``records``: as above.
attempts_late: Final = Signal()

#: Tasks of workers that are gone were taken back. ``scheduler_id`` (None outside a scheduler), ``rows``: sequence of
#: `RecoveredTask`. Not sent when there were none.
tasks_recovered: Final = Signal()

#: System recovery ran because somebody asked. ``actor``, ``report``: what `recover_system` returned (has ``to_json``).
system_recovered: Final = Signal()

#: A worker incarnation is ACTIVE. ``worker_id``, ``name``, ``host``, ``pid``, ``slots``, ``queues`` (None: all),
#: ``labels``.
worker_registered: Final = Signal()

#: A worker incarnation was marked DEAD, or finds itself fenced. ``worker_id``, ``name``, ``host``, ``reason``.
worker_lost: Final = Signal()

#: A worker incarnation ended in good order. ``worker_id``, ``name``, ``uptime_s``, ``ended`` (attempts recorded).
worker_stopped: Final = Signal()

#: A scheduler process began its rounds. ``scheduler_id``, ``host``, ``pid``.
scheduler_started: Final = Signal()

#: A scheduler process ended in good order. ``scheduler_id``, ``host``, ``pid``.
scheduler_stopped: Final = Signal()


#: Once a minute from each process. ``role`` (worker, scheduler), ``process_id``, ``stats``: names to numbers.
process_stats: Final = Signal()
