"""Why a task that depends on others is not running: the reason of this app."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tasks_app.edges import edges_of
from tasks_app.models import Task
from tasks_app.reasons import Reason
from tasks_app.selectors import count_open_in_batch
from tasks_app.states import Gate, TaskStatus
from workflows_app.batch_rules import BatchStatus
from workflows_app.selectors import find_batch

#: So many of the tasks that it waits for are named.
_NAMED: Final = 5
#: Up to so many open tasks of a batch are counted.
_COUNTED: Final = 10_000


def why(task: Task) -> list[Reason]:
    """What it waits for, of one whose gate is closed by that."""
    if task.status != TaskStatus.PENDING or task.gate != Gate.DEPENDENCY:
        return []
    edges = edges_of(task.pk)
    waits_for = [edge for edge in edges if edge.outcome is None]
    if not waits_for:
        return [Reason("DEPENDENCY", "what it depends on has ended just now, and a scheduler opens it next")]
    tasks = [edge.parent_id for edge in waits_for if not edge.of_batch]
    batches = [edge.parent_id for edge in waits_for if edge.of_batch]
    noun = "tasks and batches" if any(edge.of_batch for edge in edges) else "tasks"
    named = [*map(_batch_words, batches[:_NAMED]), *map(str, tasks)][:_NAMED]
    more = " and others" if len(waits_for) > len(named) else ""
    detail = f"waits for {len(waits_for)} of {len(edges)} {noun} that it depends on: {', '.join(named)}{more}"
    links = ({"task": f"/tasks/{tasks[0]}"} if tasks else {}) | ({"batch": f"/batches/{batches[0]}"} if batches else {})
    return [Reason("DEPENDENCY", detail, links=links, tasks=tasks[:_NAMED])]


def _batch_words(batch_id: UUID) -> str:
    """A batch, and what keeps it from being done."""
    batch = find_batch(batch_id)
    if batch is None:
        return f"batch {batch_id}"
    count = count_open_in_batch(batch_id, most=_COUNTED + 1)
    tasks = f"more than {_COUNTED:,} tasks" if count > _COUNTED else f"{count:,} task{'' if count == 1 else 's'}"
    open_ = ", and which is not closed" if batch.status == BatchStatus.OPEN else ""
    return f"batch {batch_id}, of which {tasks} {'is' if count == 1 else 'are'} open{open_}"
