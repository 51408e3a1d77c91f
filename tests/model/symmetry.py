"""Which states are the same but for the names of things, or for what can make no difference any more.

Forgetting too little only costs time. What is forgotten must be looked at with care: a state that stands for another
must have the same future.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any, TypeVar

from tests.model.state import (
    LIVE,
    NO_BEAT,
    NOBODY,
    REPLY,
    RUNNING,
    UNSEEN,
    UP,
    Body,
    Database,
    Ending,
    Process,
    State,
)

T = TypeVar("T")


def canonical(state: State, incarnations: int) -> State:
    """The one of all states like this one that stands for them; ``incarnations`` of them belong to each host."""
    state = without_the_irrelevant(state)
    looks = list(zip(state.db.workers, [process[:4] for process in state.processes], state.seen, strict=True))
    hosts = in_order([looks[w : w + incarnations] for w in range(0, len(looks), incarnations)])
    tasks = in_order([(task.status, *task[2:]) for task in state.db.tasks])
    alike = [
        renamed(state, [place * incarnations + n for place in hosts_to for n in range(incarnations)], tasks_to)
        for hosts_to in hosts
        for tasks_to in tasks
    ]
    return min(alike) if len(alike) > 1 else alike[0]


def without_the_irrelevant(state: State) -> State:
    """Forget what can make no difference any more, and number beats anew: only whether two are the same matters."""
    workers, seen, processes = list(state.db.workers), list(state.seen), list(state.processes)
    old = list(state.standby.workers) if state.standby else []
    for w, row in enumerate(workers):
        process, memory = processes[w], seen[w]
        if memory is not UNSEEN:
            comparable = (row.beat, old[w].beat) if old else (row.beat,)
            if row.state not in LIVE or not (memory.looked or memory.beat in comparable):
                seen[w] = memory = UNSEEN
        if process.life == UP and process.beat.place == REPLY:
            renews = process.beat.age < process.age
            if not renews and not process.beat.drops:
                processes[w] = process._replace(beat=NO_BEAT)
        if old or row.beat:
            numbers = {row.beat: 0}
            workers[w] = row._replace(beat=0)
            if old:
                old[w] = old[w]._replace(beat=numbers.setdefault(old[w].beat, len(numbers)))
            if memory is not UNSEEN:
                seen[w] = memory._replace(beat=numbers.setdefault(memory.beat, len(numbers)))
    return State(
        state.db._replace(workers=tuple(workers)),
        tuple(processes),
        tuple(seen),
        still_telling(state),
        state.standby and state.standby._replace(workers=tuple(old)),
        state.timeline,
    )


def still_telling(state: State) -> tuple[Ending, ...]:
    """How an attempt ended makes no difference once it is over; that something was sent about it does."""
    if not any(ending.released for ending in state.sent):
        return state.sent
    rows = state.db.tasks
    current = {(t, row.attempt) for t, row in enumerate(rows) if row.status == RUNNING}
    return tuple(sorted({e if (e.task, e.attempt) in current else e._replace(released=False) for e in state.sent}))


def renamed(state: State, workers: Sequence[int], tasks: Sequence[int]) -> State:
    """The same state with other names: incarnation w becomes workers[w], task t becomes tasks[t]."""
    if is_in_place(workers) and is_in_place(tasks):
        return state

    def body(b: Body) -> Body:
        return b._replace(task=tasks[b.task])

    def process(p: Process) -> Process:
        if p.beat.drops:
            drops = tuple(sorted((tasks[t], attempt) for t, attempt in p.beat.drops))
            p = p._replace(beat=p.beat._replace(drops=drops))
        if not p.held and not p.answer:
            return p
        return p._replace(answer=tuple(sorted(map(body, p.answer))), held=tuple(sorted(map(body, p.held))))

    def database(db: Database) -> Database:
        rows = [t if t.owner == NOBODY else t._replace(owner=workers[t.owner]) for t in db.tasks]
        return Database(moved(rows, tasks), moved(db.workers, workers))

    sent = (e._replace(worker=workers[e.worker], task=tasks[e.task]) for e in state.sent)
    return State(
        database(state.db),
        moved([process(p) for p in state.processes], workers),
        moved(state.seen, workers),
        tuple(sorted(sent)),
        None if state.standby is None else database(state.standby),
        state.timeline,
    )


def in_order(looks: Sequence[Any]) -> list[tuple[int, ...]]:
    """Every way to put things in the order of their looks, as the places they go to; those that look alike tie."""
    if len(looks) == 1:
        return [(0,)]
    places = range(len(looks))
    orders = (order for order in permutations(places) if all(looks[a] <= looks[b] for a, b in pairwise(order)))
    return [tuple(map(order.index, places)) for order in orders]


def moved(values: Sequence[T], places: Sequence[int]) -> tuple[T, ...]:
    """``values[n]`` goes to ``places[n]``."""
    result = list(values)
    for place, value in zip(places, values, strict=True):
        result[place] = value
    return tuple(result)


def is_in_place(places: Sequence[int]) -> bool:
    return all(place == n for n, place in enumerate(places))
