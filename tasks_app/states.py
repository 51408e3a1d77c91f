"""The vocabulary of a task's life: statuses, error codes, and how one status becomes another.

                      assign                 start
    create ─▶ PENDING ───────▶ SCHEDULED ───────────▶ RUNNING ─────▶ SUCCESS
                │ ▲               │  │                 │ │ │
                │ └── hand back ──┘  │                 │ │ └───────▶ FAILED
                │ └──── retry, release, lost worker ───┘ └─────────▶ CANCELLED
                ├── cancel ──────────┴──▶ CANCELLED
                └── expire, quarantine ─▶ FAILED         ended ── manual retry ─▶ PENDING

Pure values: no database, no clock. ``transitions.py`` and the guarded SQL statements are the only code that makes these
changes; each statement compares the status it starts from.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class TaskStatus(StrEnum):
    """Where a task is now. The last three are final until somebody retries the task by hand."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class ExecutionStatus(StrEnum):
    """How one attempt ended.

    RELEASED: a live worker gave the attempt back (drain, end of its lease, a start whose reply was lost).
    LOST: the worker died while it held the attempt.
    """

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    RELEASED = "RELEASED"


class WorkerState(StrEnum):
    """State of one worker incarnation. STOPPED and DEAD are final: an incarnation never lives again."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"
    DEAD = "DEAD"


class ErrorCode(StrEnum):
    """The ``code`` of a task's or an execution's ``error``."""

    EXIT_CODE = "EXIT_CODE"
    HTTP_STATUS = "HTTP_STATUS"
    NETWORK = "NETWORK"
    EGRESS_DENIED = "EGRESS_DENIED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    QUARANTINED = "QUARANTINED"
    WORKER_LOST = "WORKER_LOST"
    TASK_FAILED = "TASK_FAILED"
    DEPENDENCY_FAILED = "DEPENDENCY_FAILED"
    INPUT_MISSING = "INPUT_MISSING"
    INPUT_INVALID = "INPUT_INVALID"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    BATCH_FAILED = "BATCH_FAILED"
    REJECTED = "REJECTED"
    APPROVAL_TIMEOUT = "APPROVAL_TIMEOUT"
    INTERNAL = "INTERNAL"


class OnWorkerLost(StrEnum):
    """What becomes of a task whose worker died: run again (at least once), or fail (at most once)."""

    RETRY = "retry"
    FAIL = "fail"


class Gate(IntEnum):
    """What a waiting task waits for, besides its time and a worker. Passes look at tasks whose gate is open only.

    A task that several things hold back has the gate of the first; whoever opens that one sets the next.
    """

    OPEN = 0
    KEY = 1
    DEPENDENCY = 2
    APPROVAL = 3
    RATE = 4
    TARGET = 5
    TURN = 6
    FREEZE = 7


class OnBusy(StrEnum):
    """What becomes of a new task whose concurrency key is busy, in the words of a schedule's overlap."""

    QUEUE = "queue"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_RUNNING = "cancel_running"


class OnDuplicate(StrEnum):
    """What becomes of a new task whose unique key an open one has."""

    RETURN = "return"
    REJECT = "reject"
    REPLACE = "replace"
    POSTPONE = "postpone"


class RunIf(StrEnum):
    """When a task runs that depends on others. What was cancelled has neither succeeded nor failed."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ANY_SUCCESS = "any_success"
    ANY_FAILED = "any_failed"
    NONE_FAILED = "none_failed"


class Otherwise(StrEnum):
    """What becomes of a task when those it depends on have ended so that it never runs."""

    CANCEL = "cancel"
    FAIL = "fail"


FINAL: Final = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.CANCELLED})
UNSUCCESSFUL: Final = FINAL - {TaskStatus.SUCCESS}
#: Gates that the assignment pass closes, and closes again when a task that was let through may not start yet.
PASS_GATES: Final = frozenset({Gate.KEY, Gate.RATE, Gate.TARGET, Gate.TURN, Gate.FREEZE})
WAITING: Final = frozenset({TaskStatus.PENDING, TaskStatus.SCHEDULED})
LIVE_WORKER_STATES: Final = frozenset({WorkerState.ACTIVE, WorkerState.DRAINING})
