"""The order of tasks within a queue: by priority, or by due time and priority together where priorities age. Pure.

Where a queue has ``priorityAgeSeconds``, a task counts as if it had been due so many seconds earlier for each level of
its priority (`aged_at`). That is one level for so many seconds of waiting, to the microsecond: one of a lower priority
comes first as soon as it has waited so much longer as the difference is worth. The order of two tasks never changes
while they wait: counted in whole levels it would, to and fro, each time one of them is given its next.

So within one priority tasks still go by due time, and the first n of a queue are among the first n of each priority.

In SQL this is the function ``aged_at``, and ``ORDER BY aged_at(run_at, priority, age), run_at, id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID


class Waiting(Protocol):
    """What is looked at of a task."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def run_at(self) -> datetime: ...


Order = Callable[[Waiting], tuple[Any, datetime, int]]


def order_by(ages: Mapping[str, int]) -> Order:
    """The key to sort tasks of one queue by; ``ages``: the seconds of a level, of queues whose priorities age."""
    if not ages:
        return _place

    def place(task: Waiting) -> tuple[Any, datetime, int]:
        age = ages.get(task.queue)
        if age is None:
            return _place(task)
        return aged_at(task.run_at, task.priority, age), task.run_at, task.task_id.int

    return place


def aged_at(run_at: datetime, priority: int, age: int) -> datetime:
    """When a task of priority 0 would have been due that comes at the same place."""
    return run_at - timedelta(seconds=priority * age)


def _place(task: Waiting) -> tuple[int, datetime, int]:
    return -task.priority, task.run_at, task.task_id.int
