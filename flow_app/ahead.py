"""Which other task a task waits for, for `why`: one for which slots are kept."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db import connection

from flow_app.reserving import PATIENCE
from flow_app.survey import read_labelled
from tasks_app.models import Task

# Of these needs, those of several slots for which workers are kept when their task has waited so long.
_COSTLY = """
SELECT id, slots FROM task_needs
 WHERE id = ANY(%(needs)s) AND slots > 1
   AND (given_at IS NULL OR given_at < now() - make_interval(secs => %(patience)s))"""


class KeptFor(NamedTuple):
    """A task for which workers are kept, and how many slots it takes."""

    task_id: UUID
    slots: int


def kept_for(task: Task) -> KeptFor | None:
    """The task that has waited longest of those for which workers are kept; not for one that is it itself."""
    with connection.cursor() as cursor:
        waiting = [head for head in read_labelled(cursor) if head.due_in is not None and head.due_in < -PATIENCE]
        cursor.execute(_COSTLY, {"needs": [head.needs_id for head in waiting], "patience": PATIENCE})
        slots = dict(cursor.fetchall())
    costly = [head for head in waiting if head.needs_id in slots and head.task_id != task.pk]
    first = min(costly, key=lambda head: head.due_in, default=None)
    return None if first is None else KeptFor(first.task_id, slots[first.needs_id])
