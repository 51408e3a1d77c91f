"""What may be done to many tasks at once: to which of them, and why others are left alone. Pure."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from tasks_app.states import FINAL, WAITING, TaskStatus


class BulkAction(StrEnum):
    """What is done to every task that matches; to one task, `transitions` does the same, and expiry."""

    CANCEL = "cancel"
    RETRY = "retry"
    REPRIORITISE = "reprioritise"
    MOVE = "move"
    EXPIRE = "expire"


class OperationState(StrEnum):
    """Where a bulk operation stands. The last two are final."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    DONE = "DONE"
    FAILED = "FAILED"


class Skip(StrEnum):
    """Why a task that matches is left as it is."""

    ENDED = "ENDED"
    NOT_ENDED = "NOT_ENDED"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    UNCHANGED = "UNCHANGED"
    DUPLICATE = "DUPLICATE"
    QUEUE_FULL = "QUEUE_FULL"
    TYPE_NOT_ALLOWED = "TYPE_NOT_ALLOWED"


class Target(NamedTuple):
    """What a task is given instead of what it has: a priority or a queue."""

    priority: int | None = None
    queue: str | None = None


class Candidate(NamedTuple):
    """A task that matches, as it was locked."""

    id: UUID
    type: str
    status: str
    priority: int
    queue: str
    concurrency_key: str | None
    unique_key: str | None
    worker_id: UUID | None
    stopping: bool
    #: Whether others may start, or be decided, because it ends: it has dependents, or a key.
    awaited: bool


#: May make a task run, or run at another time or place: a task's type may ask for a right of its own.
RUNS: Final = frozenset({BulkAction.RETRY, BulkAction.REPRIORITISE, BulkAction.MOVE})
_SOURCES: Final = {
    BulkAction.CANCEL: WAITING | {TaskStatus.RUNNING},
    BulkAction.RETRY: FINAL,
    BulkAction.REPRIORITISE: WAITING,
    BulkAction.MOVE: WAITING,
    BulkAction.EXPIRE: WAITING,
}


def skip_by_status(action: BulkAction, status: str) -> Skip | None:
    """Why nothing is done to tasks of a status, whatever else is true of them."""
    if status in _SOURCES[action]:
        return None
    if status in FINAL:
        return Skip.ENDED
    return Skip.NOT_ENDED if action is BulkAction.RETRY else Skip.RUNNING


def skip_of(action: BulkAction, task: Candidate, target: Target, barred: Collection[str]) -> Skip | None:
    """Why nothing is done to a task, from what its own row says; ``barred`` are types that may not be made to run."""
    if skip := skip_by_status(action, task.status):
        return skip
    if action in RUNS and task.type in barred:
        return Skip.TYPE_NOT_ALLOWED
    if action is BulkAction.CANCEL and task.stopping:
        return Skip.STOPPING
    if action is BulkAction.REPRIORITISE and task.priority == target.priority:
        return Skip.UNCHANGED
    if action is BulkAction.MOVE and task.queue == target.queue:
        return Skip.UNCHANGED
    return None
