"""What becomes of a new task whose concurrency key is busy; pure but for `open_tasks_of`, which sees the tasks of it.

A key is busy while as many of its tasks are open as may run at once: also one that still waits for its worker will
run. So two calls at once cannot both find it free; they look one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tasks_app.states import OnBusy

#: At most so many make way for one.
MOST_CANCELLED: Final = 1000

# One caller at a time for each key, until its transaction ends. A statement of its own, so that the look behind it sees
# what the one before has committed. Two keys of one hash take turns, which harms nobody.
LOCK_KEY: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s || chr(31) || %s, 7301))"

# How many tasks of a key may be assigned or running at once: its own number, that of its queue, or one.
_SLOTS: Final = """
SELECT coalesce((SELECT max_concurrency FROM queue_keys WHERE queue = %(queue)s AND key = %(key)s),
                (SELECT key_max_concurrency FROM queues WHERE name = %(queue)s), 1)
"""

# Who is assigned or running first, then who waits, in the order they are started. Indexes: tasks_key_held,
# tasks_key_waiting. Not the ORM: a union of two indexes, each in its order.
_OPEN: Final = """
(SELECT t.id FROM tasks t
  WHERE t.queue = %(queue)s AND t.concurrency_key = %(key)s AND t.concurrency_key IS NOT NULL
    AND t.worker_id IS NOT NULL AND t.finished_at IS NULL
  ORDER BY t.assigned_at, t.id)
UNION ALL
(SELECT t.id FROM tasks t
  WHERE t.queue = %(queue)s AND t.concurrency_key = %(key)s AND t.concurrency_key IS NOT NULL
    AND t.worker_id IS NULL AND t.finished_at IS NULL
  ORDER BY t.priority DESC, t.run_at, t.id
  LIMIT %(limit)s)
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``existing``: the task that is returned instead of a new one, and the word for that; else those that make way."""

    existing: UUID | None = None
    word: str = ""
    cancel: tuple[UUID, ...] = ()


def decide(on_busy: str, open_tasks: Sequence[UUID], slots: int) -> Verdict:
    """``open_tasks`` of the key: those that have it, then those that wait for it, in their order; it has ``slots``."""
    behind = len(open_tasks) - slots
    if behind < 0 or on_busy == OnBusy.QUEUE:
        return Verdict()
    if on_busy == OnBusy.SKIP:
        return Verdict(open_tasks[0], "skipped")
    if on_busy == OnBusy.QUEUE_ONE:
        return Verdict(open_tasks[slots], "queued") if behind else Verdict()
    return Verdict(cancel=tuple(open_tasks[: behind + 1]))


def open_tasks_of(cursor: Any, queue: str, key: str) -> tuple[list[UUID], int]:
    """Lock a concurrency key against others that ask; return its open tasks and its slots.

    Of those that wait `MOST_CANCELLED` at most are returned.
    """
    cursor.execute(LOCK_KEY, [queue, key])
    cursor.execute(_SLOTS, {"queue": queue, "key": key})
    [(slots,)] = cursor.fetchall()
    cursor.execute(_OPEN, {"queue": queue, "key": key, "limit": MOST_CANCELLED})
    return [task_id for (task_id,) in cursor.fetchall()], slots
