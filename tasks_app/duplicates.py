"""Open tasks that have a unique key: which one has it, and the refusal of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction

from access_app.sql import Cursor
from tasks_app.models import UNIQUE_ROW, Task

#: Queue and unique key.
Key = tuple[str, str]
CONSTRAINT: Final = "tasks_unique_open"

# Index: tasks_unique_open. Not the ORM: it runs on the engine's session, too.
_HOLDERS: Final = """
SELECT k.queue, k.unique_key, t.id
  FROM unnest(%s::text[], %s::text[]) AS k(queue, unique_key)
  JOIN tasks t ON t.queue = k.queue AND t.unique_key = k.unique_key
 WHERE t.unique_key IS NOT NULL AND t.finished_at IS NULL
"""


class DuplicateTask(Exception):
    """An open task has the unique key. ``task_id`` is that one; None: it has ended by now."""

    def __init__(self, task_id: UUID | None, why: str = "") -> None:
        which = "another task" if task_id is None else f"the task {task_id}"
        super().__init__(f"{which} has this uniqueKey" + (f", and {why}" if why else ""))
        self.task_id = task_id


def holder_of(queue: str, unique_key: str, *, lock: bool = False) -> Task | None:
    """The open task that has a unique key, if there is one now; ``lock``: it stays as it is until we commit."""
    rows = Task.objects.filter(UNIQUE_ROW, queue=queue, unique_key=unique_key)
    return (rows.select_for_update(no_key=True) if lock else rows).first()


def holders_of(cursor: Cursor, keys: Iterable[Key]) -> dict[Key, UUID]:
    """The open tasks that have the keys."""
    queues, names = zip(*keys, strict=True)
    cursor.execute(_HOLDERS, [list(queues), list(names)])
    return {(queue, name): task_id for queue, name, task_id in cursor.fetchall()}


def unless_taken(queue: str, unique_key: str | None, change: Callable[[], None]) -> None:
    """Make a change that may open a task with this key, or bring it into this queue. Raises `DuplicateTask`.

    Waits for whoever is about to take the key or to end the task that has it.
    """
    if unique_key is None:
        return change()
    while True:
        try:
            with transaction.atomic():
                return change()
        except IntegrityError as error:
            if CONSTRAINT not in str(error):
                raise
        if holder := holder_of(queue, unique_key):
            raise DuplicateTask(holder.pk)
