"""What a pass has counted: the room of each worker, and of what has a limit. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from flow_app.budgets import Budget

#: No budgets: in how many seconds the priorities of queues age by a level; and that types or targets are frozen.
AGE: Final = "age"
FREEZE: Final = "freeze"


class Room(NamedTuple):
    """A live worker: how many slots its tasks may take, how many they do, and the next floor of what it owns.

    ``queues`` is None for one that serves all. ``share`` is how many tasks of one queue it and the workers of the same
    queues may be given in one pass. ``limits``, the same of every worker, is how many more tasks may be given of
    what has a limit, as a JSON object of objects: kind, name, number; as kind `AGE`, in how many seconds the
    priorities of queues age by a level; and a kind `FREEZE` while one of types or targets is open. None: nothing.
    """

    worker_id: UUID
    queues: list[str] | None
    slots: int
    capacity: int
    taken: int
    suspects: int
    share: int
    limits: str | None
    floor: str


def limits_of(workers: Sequence[Room]) -> dict[Budget, int]:
    """How many more tasks may be given away of what has a limit."""
    found = _of_queues(workers).items()
    return {(kind, name): n for kind, each in found if kind not in (AGE, FREEZE) for name, n in each.items()}


def ages_of(workers: Sequence[Room]) -> dict[str, int]:
    """The seconds in which priorities of a queue age by a level, of the queues where they do."""
    return _of_queues(workers).get(AGE, {})


def are_frozen(workers: Sequence[Room]) -> bool:
    """Whether a freeze of types or targets is open, which candidates may be held by."""
    return FREEZE in _of_queues(workers)


def _of_queues(workers: Sequence[Room]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads((workers[0].limits if workers else None) or "{}")
    return found


def room_for(queue: str, workers: Sequence[Room]) -> int:
    """How much more the workers that serve a queue may own, of this queue too."""
    free = sum(max(0, each.capacity - each.taken) for each in workers if each.queues is None or queue in each.queues)
    limits = limits_of(workers)
    return min(free, *(limits.get((kind, queue), free) for kind in ("queue", "rate")))
