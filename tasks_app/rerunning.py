"""Running failed tasks again together with what never ran because of them.

Batches are locked first, then tasks, both in the order of their ids. What depends on something waits for it anew, as
if both were new: edges are open again, and rounds over ended tasks (``workflows_app``) decide. What has succeeded keeps
its result, and is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from access_app.sql import Cursor, statement
from access_app.versions import Versions
from tasks_app import notices, transitions
from tasks_app.bounds import admit, queue_full
from tasks_app.edges import hold_tasks, parents_of_tasks
from tasks_app.models import Task


class Failed(NamedTuple):
    """A task that is to run again."""

    id: UUID
    type: str
    queue: str
    concurrency_key: str | None


#: Raises, when its caller may not have tasks of these types run.
Allow = Callable[[Collection[str]], None]


def retry(
    task_id: UUID, *, actor: str, reason: str = "", versions: Versions = None, dependents: Allow | None = None
) -> Task:
    """Run an ended task again, in the caller's transaction; its batch is no longer done. See `transitions.retry`.

    ``dependents``: run again what never ran because of it, too, if that lets it. Raises `QueueFull` for them as well.
    """
    if dependents is None:
        with connection.cursor() as cursor:
            reopen_batches(cursor, [task_id])
    else:
        rerun([task_id], actor=actor, reason=reason, allow=dependents, but=task_id)
    return transitions.retry(task_id, actor=actor, reason=reason, versions=versions)


def rerun(ids: Collection[UUID], *, actor: str, allow: Allow, reason: str = "", but: UUID | None = None) -> list[UUID]:
    """Run again what failed of these tasks, and what never ran for them or for these batches, in the caller's
    transaction; return the tasks.

    ``but`` is left to the caller, who runs it again in a way of its own; its batches are opened again here. Raises
    `QueueFull`, as for new tasks.
    """
    with connection.cursor() as cursor:
        found = [each for each in find_failed_below(cursor, ids) if each.id != but]
        allow({each.type for each in found})
        again = [each.id for each in found]
        tasks, batches = parents_of_tasks(again)
        there = reopen_batches(cursor, [*again, but] if but else again, batches)
        _require_room(cursor, found)
        held = hold_tasks(cursor, {*again, *tasks}) if again else []
        notices.tell_now(cursor, again)
        parents = [*(parent.id for parent in held), *there & batches]
        return rerun_tasks(cursor, again, parents, actor=actor, reason=reason) if again else []


def find_failed_below(cursor: Cursor, ids: Collection[UUID]) -> list[Failed]:
    """What failed of some tasks, and what never ran for them, or for some batches; locks nothing."""
    cursor.execute(statement("find_failed_below"), {"ids": list(ids)})
    return [Failed._make(row) for row in cursor.fetchall()]


def reopen_batches(cursor: Cursor, ids: Collection[UUID], also: Collection[UUID] = ()) -> set[UUID]:
    """Lock the batches of tasks, and open again those that are done; return all that are locked, with ``also``."""
    cursor.execute(statement("reopen_batches"), {"ids": list(ids), "also": list(also)})
    return {batch_id for batch_id, _ in cursor.fetchall()}


def lock_batches_of(cursor: Cursor, ids: Sequence[UUID]) -> set[UUID]:
    """Lock the batches of locked tasks, before they run again; return those of which somebody holds one."""
    cursor.execute(statement("lock_batches_of"), {"ids": list(ids)})
    return {task_id for (task_id,) in cursor.fetchall()}


def rerun_tasks(
    cursor: Cursor, ids: Sequence[UUID], there: Sequence[UUID], *, actor: str, reason: str = ""
) -> list[UUID]:
    """Run again those of locked tasks that have ended unsuccessful, when what they wait for lets them."""
    heard = list(notices.listening(cursor).queues)
    asked = {"ids": list(ids), "there": list(there), "heard": heard, "actor": actor, "reason": reason}
    cursor.execute(statement("rerun_tasks"), asked)
    return [task_id for (task_id,) in cursor.fetchall()]


def _require_room(cursor: Cursor, found: Sequence[Failed]) -> None:
    """Raises `QueueFull`: they come to wait as new ones do."""
    if full := [each for each in admit(cursor, [(f.queue, f.concurrency_key) for f in found]) if each] if found else []:
        raise queue_full(cursor, full[0], refused=len(full))
