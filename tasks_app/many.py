"""The change of a piece of a bulk operation: which of the tasks that it has locked can be changed, and the statements.

One statement changes all tasks of a piece and writes an event for each. What one task would be refused for, a unique
key that is taken or a queue that is full, makes a task of many one that is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from access_app.sql import Copying, Cursor, statement
from tasks_app import notices
from tasks_app.acts import BulkAction, Candidate, Skip, Target
from tasks_app.bounds import admit
from tasks_app.cancelling import cancel_tasks
from tasks_app.duplicates import Key, holders_of
from tasks_app.rerunning import reopen_batches


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done, to what end, for whom, and why."""

    action: BulkAction
    target: Target
    actor: str
    reason: str

    @property
    def event(self) -> dict[str, str]:
        """What the event of each task says."""
        return {"actor": self.actor, "reason": self.reason}


def refused(cursor: Cursor, deed: Deed, tasks: Sequence[Candidate]) -> dict[UUID, Skip]:
    """Which tasks would meet an open one that has their unique key, or find no room where they would come to wait."""
    if deed.action not in (BulkAction.RETRY, BulkAction.MOVE) or not tasks:
        return {}
    doubled = _doubled(cursor, deed, tasks)
    rest = [task for task in tasks if task.id not in doubled]
    full = admit(cursor, [(_queue(deed, task), task.concurrency_key) for task in rest]) if rest else []
    return doubled | {task.id: Skip.QUEUE_FULL for task, found in zip(rest, full, strict=True) if found}


def _doubled(cursor: Cursor, deed: Deed, tasks: Sequence[Candidate]) -> dict[UUID, Skip]:
    """All but the first of each unique key, and that one too when an open task has the key."""
    first: dict[Key, UUID] = {}
    for task in tasks:
        if task.unique_key is not None:
            first.setdefault((_queue(deed, task), task.unique_key), task.id)
    if not first:
        return {}
    taken = holders_of(cursor, first)
    chosen = {task_id for key, task_id in first.items() if key not in taken}
    return {task.id: Skip.DUPLICATE for task in tasks if task.unique_key is not None and task.id not in chosen}


def _queue(deed: Deed, task: Candidate) -> str:
    return deed.target.queue or task.queue


def change(cursor: Copying, deed: Deed, ids: Sequence[UUID]) -> list[UUID]:
    """Change locked tasks that can be changed, all of them; return the workers that are to stop some."""
    if deed.action is BulkAction.CANCEL:
        cancels = [(task_id, deed.actor) for task_id in ids]
        return cancel_tasks(cursor, cancels, reason=deed.reason)
    make = {BulkAction.RETRY: retry_tasks, BulkAction.EXPIRE: expire_now}.get(deed.action, change_tasks)
    touched = make(cursor, deed, ids)
    if touched != len(ids):
        raise AssertionError(f"{touched} of {len(ids)} locked tasks were changed")
    return []


def retry_tasks(cursor: Copying, deed: Deed, ids: Sequence[UUID]) -> int:
    """Run ended tasks again, once it was told that they had ended; return how many. Their batches are locked."""
    reopen_batches(cursor, ids)
    notices.tell_now(cursor, ids)
    cursor.execute(statement("retry_tasks"), {"ids": list(ids), "heard": _heard(cursor), **deed.event})
    return _count(cursor)


def change_tasks(cursor: Cursor, deed: Deed, ids: Sequence[UUID]) -> int:
    """Give waiting tasks another priority or queue; return how many."""
    asked = {"ids": list(ids), "heard": _heard(cursor), **deed.target._asdict(), **deed.event}
    cursor.execute(statement("change_tasks"), asked)
    return _count(cursor)


def expire_now(cursor: Cursor, deed: Deed, ids: Sequence[UUID]) -> int:
    """End waiting tasks as if they had passed their ``expiresAt``; return how many."""
    cursor.execute(statement("expire_now"), {"ids": list(ids), **deed.event})
    return _count(cursor)


def _heard(cursor: Cursor) -> list[str]:
    """Whose tasks are marked from now on, because somebody is to be told of their end."""
    return list(notices.listening(cursor).queues)


def _count(cursor: Cursor) -> int:
    [(touched,)] = cursor.fetchall()
    return int(touched)
