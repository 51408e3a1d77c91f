"""The room of workers within one pass, in the order in which it is given away. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID


class Worker(Protocol):
    """What is looked at of a worker (`matching.Room`): how much it may own and owns."""

    @property
    def worker_id(self) -> UUID: ...
    @property
    def slots(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def tasks(self) -> int: ...
    @property
    def suspects(self) -> int: ...


class Openings:
    """Free slots, then room for prefetch, each level by level. ``free`` are sorted by their ids."""

    def __init__(self, free: Sequence[Worker]) -> None:
        self._free = free
        self._next = [_opening(place, worker, worker.tasks + 1) for place, worker in enumerate(free)]
        heapq.heapify(self._next)

    def for_suspects(self) -> Iterator[UUID]:
        """The next opening of each worker that has no suspect; what is yielded is taken."""
        for opening in sorted(self._next):
            worker = self._free[opening[2]]
            if not worker.suspects:
                self._next.remove(opening)
                self._reopen(opening, worker)
                heapq.heapify(self._next)
                yield worker.worker_id

    @property
    def are_prefetch(self) -> bool:
        """Whether no free slot is left."""
        return bool(self._next) and self._next[0][0]

    def take(self) -> UUID:
        """The next opening of all; there must be one."""
        opening = heapq.heappop(self._next)
        worker = self._free[opening[2]]
        self._reopen(opening, worker)
        return worker.worker_id

    def _reopen(self, opening: tuple[bool, int, int], worker: Worker) -> None:
        if opening[1] < worker.capacity:
            heapq.heappush(self._next, _opening(opening[2], worker, opening[1] + 1))


def _opening(place: int, worker: Worker, number: int) -> tuple[bool, int, int]:
    return number > worker.slots, number, place
