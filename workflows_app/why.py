"""Why a task that depends on others is not running: the reason of this app."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tasks_app.edges import edges_of
from tasks_app.models import Task
from tasks_app.reasons import Reason
from tasks_app.states import Gate, TaskStatus

#: So many of the tasks that it waits for are named.
_NAMED: Final = 5


def why(task: Task) -> list[Reason]:
    """What it waits for, of one whose gate is closed by that."""
    if task.status != TaskStatus.PENDING or task.gate != Gate.DEPENDENCY:
        return []
    edges = edges_of(task.pk)
    waits_for = [parent for parent, outcome in edges if outcome is None]
    if not waits_for:
        return [Reason("DEPENDENCY", "what it depends on has ended just now, and a scheduler opens it next")]
    names = ", ".join(map(str, waits_for[:_NAMED])) + (" and others" if len(waits_for) > _NAMED else "")
    detail = f"waits for {len(waits_for)} of {len(edges)} tasks that it depends on: {names}"
    return [Reason("DEPENDENCY", detail, links={"task": _path(waits_for[0])}, tasks=waits_for[:_NAMED])]


def _path(task_id: UUID) -> str:
    return f"/tasks/{task_id}"
