"""Which task goes to which worker: the policy of a pass, without the database.

Room and candidates come in, locked and counted by ``assignment.py``; who gets what comes out. Within a queue tasks go
by priority, then due time, then id, where tenants share it by the turns of these (``sharing.py``); queues take turns,
the one that has waited longest first; free slots come before prefetch, level by level, so that the load spreads, and
tasks whose starts are counted, or that take several, have free slots only; of the latter, those that have waited long
keep workers free for them (``reserving.py``); a suspect shares its worker with no other suspect. Workers that
serve named queues choose before those that serve more, so that general workers leave them their own; of the same
queues, those that meet fewer needs before those that meet more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, filterfalse
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from flow_app.ageing import Order, order_by
from flow_app.budgets import RATES, Budget, key_rate
from flow_app.openings import Openings, fill
from flow_app.reserving import Reserved, reserve, with_suspects
from flow_app.rooms import Room, ages_of, limits_of
from flow_app.sharing import Shares

#: A queue and a concurrency key.
KeyName = tuple[str, str]

#: The ids of the needs that each worker meets.
Met = Mapping[UUID, Collection[int]]

#: No queue is shared.
UNSHARED: Final = Shares()
#: No worker meets any needs, because no candidate has any.
NOTHING: Final[Met] = MappingProxyType({})


class Candidate(NamedTuple):
    """A due task that the pass has locked. A suspect has lost a worker before. ``target`` is the host it calls, if
    that has rules.
    """

    task_id: UUID
    queue: str
    priority: int
    run_at: datetime
    concurrency_key: str | None
    suspect: bool
    target: str | None = None
    #: What it needs of its worker, by the id of that; None: nothing.
    needs_id: int | None = None
    slots: int = 1
    #: Seconds, if it takes several slots and is the first of its line.
    waited: float = 0.0

    @property
    def budgets(self) -> list[Budget]:
        """What it draws on where there is a limit."""
        found = [("queue", self.queue), ("rate", self.queue)]
        if self.target is not None:
            found += ("target", self.target), ("target rate", self.target)
        if self.concurrency_key is not None:
            found.append(key_rate(self.queue, self.concurrency_key))
        return found


class Key(NamedTuple):
    """A concurrency key that candidates want: its limit, who holds it and which of its slots, and who may have it next.

    ``firsts`` wait for it, locked and in their order: no more than are wanted, or than slots are free, or tokens there.
    Fewer than that: the others are in other hands. ``tokens`` is None for one without a rate.
    """

    most: int
    holders: Sequence[UUID]
    slots: Sequence[int]
    firsts: list[Candidate]
    tokens: int | None = None


@dataclass(slots=True)
class Match:
    """Who gets what: ``tasks`` and ``workers`` are parallel. ``keys`` are the concurrency keys that these tasks take.

    ``key_slots`` says which slots of their keys; ``free_slots`` are left. ``room`` is how many more could have been
    given away, had more been due. ``limits`` is what is left of each budget. ``charged`` are the tokens that these
    tasks take: the task, and the budget that the token is of. ``awaited`` are workers that are to tell when slots of
    theirs come free; ``costly`` the needs of tasks of several slots that were given away.
    """

    tasks: list[UUID] = field(default_factory=list)
    workers: list[UUID] = field(default_factory=list)
    keys: list[KeyName] = field(default_factory=list)
    key_slots: dict[UUID, int] = field(default_factory=dict)
    free_slots: Mapping[KeyName, Iterator[int]] = field(default_factory=dict, compare=False)
    room: int = 0
    limits: dict[Budget, int] = field(default_factory=dict)
    awaited: list[UUID] = field(default_factory=list)
    costly: set[int] = field(default_factory=set)
    charged: list[tuple[UUID, Budget]] = field(default_factory=list)

    def gives(self, candidate: Candidate, worker: UUID) -> None:
        """Give a task to a worker."""
        self.tasks.append(candidate.task_id)
        self.workers.append(worker)
        if candidate.concurrency_key is not None:
            name = candidate.queue, candidate.concurrency_key
            self.keys.append(name)
            self.key_slots[candidate.task_id] = next(self.free_slots[name])
        if candidate.slots > 1 and candidate.needs_id is not None:
            self.costly.add(candidate.needs_id)
        if self.limits:
            for budget in candidate.budgets:
                if budget in self.limits:
                    self.limits[budget] -= 1
                    if budget[0] in RATES:
                        self.charged.append((candidate.task_id, budget))

    def gives_plain(self, ready: Sequence[Candidate], openings: Openings) -> int:
        """Give tasks that nothing limits and that take one slot each, as far as there is room; return how many."""
        taken = openings.take(len(ready))
        self.tasks += [each.task_id for each in ready[: len(taken)]]
        self.workers += taken
        return len(taken)

    def may_give(self, candidate: Candidate, *, prefetch: bool) -> bool:
        """Whether each limit that it comes under leaves room for a task. A token must not lie in a prefetch."""
        if not self.limits:
            return True
        if prefetch and any(budget[0] in RATES and budget in self.limits for budget in candidate.budgets):
            return False
        return all(self.limits.get(budget, 1) > 0 for budget in candidate.budgets)

    def limited(self, kind: str) -> list[str]:
        """The names of what has a limit of this kind."""
        return [name for each, name in self.limits if each == kind]


class _Class(NamedTuple):
    """Workers that can do the same: they serve the same queues (None: all) and meet the same needs."""

    queues: list[str] | None
    needs: frozenset[int]
    members: list[Room]


class _Turn(NamedTuple):
    """A candidate in its place: the first of each queue have turn 1. What ties is decided by due time, then by id."""

    turn: int
    run_at: datetime
    number: int
    candidate: Candidate


def match(
    workers: Sequence[Room],
    candidates: Sequence[Candidate],
    keys: Mapping[KeyName, Key],
    limit: int,
    shares: Shares = UNSHARED,
    budgets: Mapping[Budget, int] | None = None,
    met: Met = NOTHING,
) -> Match:
    """Give candidates to workers, at most ``limit`` to those that serve the same queues and meet the same needs.

    ``keys`` has an entry for each concurrency key among the candidates, ``shares`` for each queue that tenants share,
    ``budgets`` for what limits them besides what limits their queues, ``met`` for each worker that meets needs which
    candidates have.
    """
    # From the lowest on: below the limit, while fewer than that hold the key.
    free_slots = {name: filterfalse(set(key.slots).__contains__, count()) for name, key in keys.items()}
    found = Match(limits=limits_of(workers) | dict(budgets or {}), free_slots=free_slots)
    classes, order = _classes(workers, met), order_by(ages_of(workers))
    suspects = [each for each in candidates if each.suspect]
    reserved = reserve(_startable(candidates, keys, found), workers, met) if met else Reserved[Candidate]()
    for queues, needs, members in classes:
        free = [worker for worker in members if worker.taken < worker.capacity]
        room = sum(worker.capacity - worker.taken for worker in free)
        served = candidates if queues is None else [each for each in candidates if each.queue in queues]
        served = _met(served, needs)
        if not (room and limit and served):
            found.room += min(room, limit)
            continue
        before = len(found.tasks)
        ready = _in_turn(served, keys, free[0].share, shares, needs, order)
        openings = Openings(free, reserved.left(found.tasks))
        if found.limits or keys or met or any(each.suspect for each in ready):
            for candidate, worker_id in fill(openings, ready, reserved.first(served, ready), limit, found.may_give):
                found.gives(candidate, worker_id)
                room -= candidate.slots
        else:
            room -= found.gives_plain(ready[:limit], openings)
        found.room += max(0, min(room, limit - len(found.tasks) + before))
        if len(classes) > 1:
            candidates, keys = _left(candidates, keys, found)
            shares = shares.after(found.tasks[before:])
    found.awaited = [*reserved.awaited(found.tasks), *with_suspects(workers, suspects, found.tasks, found.workers)]
    return found


def _startable(candidates: Iterable[Candidate], keys: Mapping[KeyName, Key], found: Match) -> list[Candidate]:
    """Those of several slots that nothing but their size keeps from starting."""
    firsts = {each.task_id for key in keys.values() for each in key.firsts}
    costly = [each for each in candidates if each.slots > 1 and found.may_give(each, prefetch=False)]
    return [each for each in costly if each.concurrency_key is None or each.task_id in firsts]


def _met(candidates: Sequence[Candidate], needs: Collection[int]) -> Sequence[Candidate]:
    """Those that need nothing of their worker, or what is among these needs."""
    return [each for each in candidates if each.needs_id is None or each.needs_id in needs]


def _left(
    candidates: Iterable[Candidate], keys: Mapping[KeyName, Key], found: Match
) -> tuple[list[Candidate], Mapping[KeyName, Key]]:
    """Those that were not given away, and keys without these. Nobody waits for a key that nobody else may have now."""
    tasks = set(found.tasks)
    firsts = {name: [each for each in keys[name].firsts if each.task_id not in tasks] for name in set(found.keys)}
    gone = {name for name, others in firsts.items() if not others}
    left = [each for each in candidates if each.task_id not in tasks and (each.queue, each.concurrency_key) not in gone]
    return left, {**keys, **{name: keys[name]._replace(firsts=others) for name, others in firsts.items()}}


def _classes(workers: Iterable[Room], met: Met) -> list[_Class]:
    """The workers by what they can do, those that can do the least first and those that serve all queues last."""
    classes: dict[tuple[bool, int, tuple[str, ...], int, tuple[int, ...]], list[Room]] = defaultdict(list)
    for worker in workers:
        queues, needs = tuple(worker.queues or ()), tuple(sorted(met.get(worker.worker_id, ())))
        classes[worker.queues is None, len(queues), queues, len(needs), needs].append(worker)
    return [
        _Class(members[0].queues, frozenset(key[4]), members)
        for key, members in sorted(classes.items(), key=itemgetter(0))
    ]


def _in_turn(
    candidates: Iterable[Candidate],
    keys: Mapping[KeyName, Key],
    share: int,
    shares: Shares,
    needs: Collection[int],
    order: Order,
) -> list[Candidate]:
    """Those that may run, in the order in which they are served: queues take turns.

    Turns are counted over all of a queue: a task that only waits for its key still has its turn, or those of a lower
    priority would overtake what lies behind it, out of sight.
    """
    lines: dict[tuple[str, bool], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        lines[candidate.queue, candidate.suspect].append(candidate)
    for (queue, suspect), line in lines.items():
        line.sort(key=order)
        if not suspect:
            lines[queue, suspect] = shares.in_turn(queue, line)
    if len(lines) == 1 and not keys:
        [((_, suspect), line)] = lines.items()
        return line if suspect else line[:share]
    turns: list[_Turn] = []
    wanted: dict[KeyName, list[int]] = defaultdict(list)
    for line in lines.values():
        for turn, candidate in enumerate(line, 1):
            if candidate.concurrency_key is None:
                turns.append(_turn(turn, candidate))
            else:
                wanted[candidate.queue, candidate.concurrency_key].append(turn)
    for name, places in wanted.items():
        # Those that come first take the turns of those in sight.
        turns += map(_turn, sorted(places), _met(keys[name].firsts, needs))
    return [each.candidate for each in sorted(turns) if each.candidate.suspect or each.turn <= share]


def _turn(turn: int, candidate: Candidate) -> _Turn:
    return _Turn(turn, candidate.run_at, candidate.task_id.int, candidate)
