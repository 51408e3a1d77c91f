"""Whose turn it is in a queue that tenants share: the order of a pass, and how many tasks it locks of each. Pure.

A tenant is given slots by *level*: how often what it holds, the turn asked about included, has used up its weight. The
lowest level comes first, which is weighted max-min over the slots that are taken: a tenant that waits catches up with
those that hold more, and whoever waits alone takes all. Tenants of one level have their turns one after the other,
each as many in a row as its weight, from the one that was served last on. So each is served as often as its weight says
also where there are more tenants than slots, or where tasks are so short that nobody is ever seen to hold one.

Within a tenant tasks go by priority, due time and id.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

#: A queue and a tenant of it.
TenantName = tuple[str, str]


class Sharer(NamedTuple):
    """A tenant that has something due in a queue: its weight, and how many tasks of it are assigned or running there.

    ``used`` is how many turns in a row it has had already if it was served last, else 0. The sharers of a queue are
    ordered by their names, beginning at the one that was served last and beginning anew behind the last name.
    """

    queue: str
    tenant: str
    weight: int
    held: int
    used: int


class Waiting(Protocol):
    """What shares consist of: a candidate."""

    @property
    def task_id(self) -> UUID: ...


Task = TypeVar("Task", bound=Waiting)


class _Turn(NamedTuple):
    """The next turn of a tenant, its ``number``-th in this pass. ``late``: it has had all of its visit before."""

    level: int
    late: bool
    place: int
    number: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The tenants of queues that are shared, and to which of them tasks belong."""

    sharers: Mapping[str, Sequence[Sharer]] = field(default_factory=dict)
    tenants: Mapping[UUID, TenantName] = field(default_factory=dict)

    def in_turn(self, queue: str, line: list[Task]) -> list[Task]:
        """The tasks of a queue in the order of turns; each tenant's are given in their own order, and stay in it.

        What belongs to nobody comes last.
        """
        if queue not in self.sharers:
            return line
        waiting: dict[TenantName | None, list[Task]] = defaultdict(list)
        for task in line:
            waiting[self.tenants.get(task.task_id)].append(task)
        present = [each for each in self.sharers[queue] if (queue, each.tenant) in waiting]
        lines = [waiting.pop((queue, each.tenant)) for each in present]
        return [*_merged(present, lines), *(task for others in waiting.values() for task in others)]

    def after(self, given: Iterable[UUID]) -> Shares:
        """The same when these tasks have been given away."""
        more = Counter(self.tenants.get(task_id) for task_id in given)
        held = {
            queue: [each._replace(held=each.held + more[queue, each.tenant]) for each in sharers]
            for queue, sharers in self.sharers.items()
        }
        return Shares(held, self.tenants)

    def served_last(self, given: Iterable[UUID]) -> dict[str, tuple[str, int]]:
        """Of each queue, the tenant that was served last and how many turns in a row it has had.

        ``given`` are the tasks that were given away, in their order; queues without one are left out.
        """
        found: dict[str, tuple[str, int]] = {}
        last = {each.queue: (each.tenant, each.used) for line in self.sharers.values() for each in line if each.used}
        weights = {queue: dict(zip(_names(line), _weights(line), strict=True)) for queue, line in self.sharers.items()}
        for queue, tenant in filter(None, map(self.tenants.get, given)):
            before, used = last.get(queue, ("", 0))
            goes_on = used and before == tenant and used < weights[queue].get(tenant, 1)
            found[queue] = last[queue] = (tenant, used + 1 if goes_on else 1)
        return found


def allot(sharers: Sequence[Sharer], most: int, *, all_seen: bool = True) -> dict[str, int]:
    """How many of the next ``most`` turns each tenant has, if each has enough that waits.

    Where there are others that have not been seen, nobody has a turn that may come behind one of theirs.
    """
    found: Counter[str] = Counter()
    weights = _weights(sharers)
    turns = _first_turns(sharers, weights)
    first = turns[0][:2] if turns else ()
    for _ in range(most if turns else 0):
        turn = turns[0]
        if not all_seen and turn[:2] > first:
            break
        found[sharers[turn.place].tenant] += 1
        heapq.heapreplace(turns, _turn(sharers[turn.place], weights[turn.place], turn.place, turn.number + 1))
    return dict(found)


def _merged(sharers: Sequence[Sharer], lines: Sequence[Sequence[Task]]) -> list[Task]:
    """The lines of these tenants as one, by their turns."""
    weights = _weights(sharers)
    turns = _first_turns(sharers, weights)
    found: list[Task] = []
    while turns:
        turn = turns[0]
        line = lines[turn.place]
        found.append(line[turn.number - 1])
        if turn.number < len(line):
            heapq.heapreplace(turns, _turn(sharers[turn.place], weights[turn.place], turn.place, turn.number + 1))
        else:
            heapq.heappop(turns)
    return found


def _names(sharers: Iterable[Sharer]) -> list[str]:
    return [each.tenant for each in sharers]


def _weights(sharers: Sequence[Sharer]) -> list[int]:
    """Their weights without what is common to all, so that as few turns come in a row as the ratio allows."""
    common = math.gcd(*(each.weight for each in sharers)) or 1
    return [each.weight // common for each in sharers]


def _first_turns(sharers: Sequence[Sharer], weights: Sequence[int]) -> list[_Turn]:
    turns = [_turn(sharer, weights[place], place, 1) for place, sharer in enumerate(sharers)]
    heapq.heapify(turns)
    return turns


def _turn(sharer: Sharer, weight: int, place: int, number: int) -> _Turn:
    late = sharer.used > 0 and number > weight - sharer.used
    return _Turn((sharer.held + number - 1) // weight, late, place, number)
