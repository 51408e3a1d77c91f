"""For whom workers are kept: tasks of several slots, which a flood of small ones would keep from ever starting. Pure.

A task that has been due and the first of its line for `PATIENCE` comes before others as soon as it fits; until then the
worker that is nearest to free is kept for it: nothing follows what ends there. Nothing is remembered. Each pass decides
anew, from rows, and finds that worker nearer than before, because nothing was added to it. So it holds whoever makes
the next pass, and is over with the task.

Those that have waited longest choose first: two of them keep two workers, or wait one behind the other. What a worker
is busy with may take hours, so the longer a task waits, the more workers are kept for it. At least half of all workers
are kept for nobody, unless there is only one. Tasks of the same queue with a higher priority come first as ever, also
on workers that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from flow_app.openings import Task, Worker

#: Seconds that a task waits before slots are kept for it.
PATIENCE: Final = 5.0


class Costly(Task, Protocol):
    """What is looked at of a task (`matching.Candidate`)."""

    @property
    def waited(self) -> float: ...
    @property
    def needs_id(self) -> int | None: ...


class Serving(Worker, Protocol):
    """What is looked at of a worker (`rooms.Room`)."""

    @property
    def queues(self) -> list[str] | None: ...


AnyCostly = TypeVar("AnyCostly", bound=Costly)


@dataclass(slots=True)
class Reserved(Generic[AnyCostly]):
    """Workers that are kept, by their ids, and for whom; and ``watched``, in which some wait to fit that keep none."""

    kept: dict[UUID, AnyCostly] = field(default_factory=dict)
    watched: dict[UUID, AnyCostly] = field(default_factory=dict)

    def first(self, served: Iterable[AnyCostly], ready: Sequence[Task]) -> list[AnyCostly]:
        """Of those that some workers serve, the ones that come before all that are ready there: none outranks them."""
        mine = {each.task_id for each in self.kept.values()}
        waiting = [each for each in served if each.task_id in mine] if mine else []
        return sorted((each for each in waiting if not _is_outranked(each, ready)), key=_longest)

    def left(self, given: Collection[UUID]) -> dict[UUID, AnyCostly]:
        """The workers that are still kept when these tasks have been given away."""
        return {worker: each for worker, each in self.kept.items() if each.task_id not in given}

    def awaited(self, given: Collection[UUID]) -> list[UUID]:
        """The workers of which somebody then waits for slots."""
        return [worker for worker, each in (self.watched | self.kept).items() if each.task_id not in given]


def reserve(
    candidates: Iterable[AnyCostly], workers: Sequence[Serving], met: Mapping[UUID, Collection[int]]
) -> Reserved[AnyCostly]:
    """Keep workers for candidates of several slots that may start but for their size."""
    found: Reserved[AnyCostly] = Reserved()
    most = max(1, len(workers) // 2)
    for task in sorted((each for each in candidates if each.waited > 0), key=_longest):
        able = [each for each in workers if _could_run(each, task, met) and each.worker_id not in found.kept]
        nearest = [each.worker_id for each in sorted(able, key=partial(_distance, task))]
        if task.waited > PATIENCE:
            found.kept |= dict.fromkeys(nearest[: min(_number_for(task), most - len(found.kept))], task)
        else:
            found.watched |= dict.fromkeys(nearest[:1], task)
    return found


def with_suspects(
    workers: Iterable[Serving], suspects: Sequence[Task], given: Sequence[UUID], receivers: Sequence[UUID]
) -> list[UUID]:
    """The workers whose suspect keeps others waiting: of ``suspects``, those that were not given away.

    Tasks ``given`` went to ``receivers``, in the same places. A scheduler that is not notified looks for the next when
    its rest is over, and a worker of many slots that was killed leaves as many suspects.
    """
    gone = dict(zip(given, receivers, strict=True)) if suspects else {}
    waiting = {each.queue for each in suspects if each.task_id not in gone}
    if not waiting:
        return []
    taking = {gone[each.task_id] for each in suspects if each.task_id in gone}
    busy = [each for each in workers if each.suspects or each.worker_id in taking]
    return [each.worker_id for each in busy if each.queues is None or not waiting.isdisjoint(each.queues)]


def _longest(task: Costly) -> tuple[float, int]:
    return -task.waited, task.task_id.int


def _is_outranked(task: Task, others: Iterable[Task]) -> bool:
    return any(each.queue == task.queue and each.priority > task.priority for each in others)


def _could_run(worker: Serving, task: Costly, met: Mapping[UUID, Collection[int]]) -> bool:
    """Whether it could, if it were free."""
    serves = worker.queues is None or task.queue in worker.queues
    return serves and task.needs_id in met.get(worker.worker_id, ()) and not (task.suspect and worker.suspects)


def _distance(task: Costly, worker: Serving) -> tuple[bool, int, UUID]:
    """First those it fits into, the one where it leaves least; then those with the fewest slots to wait for."""
    rest = worker.slots - worker.taken - task.slots
    return rest < 0, abs(rest), worker.worker_id


def _number_for(task: Costly) -> int:
    """How many workers are kept for it: one more each time that it has waited twice as long."""
    return 1 + int(math.log2(task.waited / PATIENCE))
