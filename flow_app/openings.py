"""The room of workers within one pass, in the order in which it is given away. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID


class Worker(Protocol):
    """What is looked at of a worker (`rooms.Room`): how many slots it may fill, and how many are taken."""

    @property
    def worker_id(self) -> UUID: ...
    @property
    def slots(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def suspects(self) -> int: ...


class Task(Protocol):
    """What is looked at of a task (`matching.Candidate`)."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def queue(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def suspect(self) -> bool: ...


AnyTask = TypeVar("AnyTask", bound=Task)


class Opening(NamedTuple):
    """The next slot of a worker, its ``number``-th; of the workers, that at ``place``."""

    is_prefetch: bool
    number: int
    place: int


class Openings:
    """Free slots, then room for prefetch, each level by level. ``free`` are sorted by their ids.

    What takes several slots has free ones only, of the worker that has the fewest besides. ``kept`` are tasks for which
    workers are kept (``reserving.py``): their openings are for these, for others of the same queue with a higher
    priority, and, once the task has been given away, for all.
    """

    def __init__(self, free: Sequence[Worker], kept: Mapping[UUID, Task]) -> None:
        self._free = free
        self._kept = {place: kept[each.worker_id] for place, each in enumerate(free) if each.worker_id in kept}
        self._alone = {place for place, worker in enumerate(free) if not worker.suspects}
        openings = [_opening(place, worker, worker.taken + 1) for place, worker in enumerate(free)]
        self._next = [each for each in openings if each.place not in self._kept]
        self._aside = [each for each in openings if each.place in self._kept]
        heapq.heapify(self._next)

    def take(self, count: int) -> list[UUID]:
        """Whose the next openings are, as many as there are up to ``count``, for so many tasks of one slot.

        The same as to find and use them one by one, where none is kept and nobody is a suspect: nearly always.
        """
        following, taken = self._next, []
        for _ in range(count):
            if not following:
                break
            place, number = following[0].place, following[0].number + 1
            worker = self._free[place]
            taken.append(worker.worker_id)
            if number <= worker.capacity:
                heapq.heapreplace(following, _opening(place, worker, number))
            else:
                heapq.heappop(following)
        return taken

    def find(self, task: Task) -> Opening | None:
        """The opening that a task has next, if there is one; a suspect's is of a worker that has none."""
        if task.slots == 1 and not (self._aside or task.suspect):
            return self._next[0] if self._next else None
        if task.suspect:
            return self._best(task, (each for each in (*self._next, *self._aside) if each.place in self._alone))
        # Of a small one not all openings are looked at: there may be thousands of both.
        shared = self._next[:1] if task.slots == 1 else self._next
        return self._best(task, (*shared, *(each for each in self._aside if self._may_have(task, each.place))))

    def use(self, opening: Opening, task: Task) -> UUID:
        """Give the task an opening that was found for it, and return whose it is."""
        worker, number = self._free[opening.place], opening.number + task.slots
        after = _opening(opening.place, worker, number) if number <= worker.capacity else None
        if after and self._next and self._next[0] is opening:
            heapq.heapreplace(self._next, after)  # nearly always
        else:
            self._take_out(opening, task)
            if after:
                self._put_in(after)
        if task.suspect:
            self._alone.discard(opening.place)
        return worker.worker_id

    def _best(self, task: Task, openings: Iterable[Opening]) -> Opening | None:
        """Of these, the one for this task."""
        if task.slots == 1:
            return min(openings, default=None)
        rests = [(self._free[each.place].slots - each.number + 1 - task.slots, each.place, each) for each in openings]
        return min([rest for rest in rests if rest[0] >= 0], default=(0, 0, None))[2]

    def _may_have(self, task: Task, place: int) -> bool:
        kept_for = self._kept[place]
        mine = kept_for.task_id == task.task_id
        return mine or (kept_for.queue == task.queue and kept_for.priority < task.priority)

    def _take_out(self, opening: Opening, task: Task) -> None:
        if self._next and self._next[0] is opening:
            heapq.heappop(self._next)
        elif opening.place in self._kept:
            self._aside.remove(opening)
            if self._kept[opening.place].task_id == task.task_id:
                del self._kept[opening.place]
        else:
            self._next.remove(opening)
            heapq.heapify(self._next)

    def _put_in(self, opening: Opening) -> None:
        if opening.place in self._kept:
            self._aside.append(opening)
        else:
            heapq.heappush(self._next, opening)


def fill(
    openings: Openings,
    ready: Sequence[AnyTask],
    first: Iterable[AnyTask],
    limit: int,
    may_give: Callable[..., bool],
) -> Iterator[tuple[AnyTask, UUID]]:
    """Give what is ready to workers: suspects, then those that come ``first``, then the others; at most ``limit``.

    ``may_give`` is asked before each of them, when the one before has been dealt with.
    """
    suspects, others = [each for each in ready if each.suspect], [each for each in ready if not each.suspect]
    given: set[UUID] = set()
    for task in (*suspects, *first, *others):
        if len(given) >= limit:
            return
        opening = openings.find(task)
        if opening is None or task.task_id in given or not may_give(task, prefetch=opening.is_prefetch):
            continue
        given.add(task.task_id)
        yield task, openings.use(opening, task)


def _opening(place: int, worker: Worker, number: int) -> Opening:
    return Opening(number > worker.slots, number, place)
