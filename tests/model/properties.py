"""What must hold: of every state, and of every step from one state to the next. Names of promises, and how to see them.

The numbers in docs/model.md say which promise of the product each one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from tests.model.checker import Step
from tests.model.state import (
    ACTIVE,
    CANCELLED,
    ENDED,
    EXITED,
    FENCED,
    GONE,
    LIVE,
    PENDING,
    RUNNING,
    SCHEDULED,
    Body,
    Constants,
    State,
    Task,
)  # fmt: skip
from tests.support.transitions import is_legal

T = TypeVar("T")


# Of a state


def bodies(state: State) -> Iterator[Body]:
    """What workers hold, but for attempts whose start a failover lost: the database cannot know of those."""
    return (body for process in state.processes for body in process.held if not body.forgotten)


def one_runs(state: State, world: Constants) -> bool:
    running = [body.task for body in bodies(state) if body.runs]
    return len(running) == len(set(running))


def no_worker_runs_a_task_twice(state: State, world: Constants) -> bool:
    """What a failover made it forget included."""
    running = [[body.task for body in process.held if body.runs] for process in state.processes]
    return all(len(tasks) == len(set(tasks)) for tasks in running)


def a_fence_is_held_once(state: State, world: Constants) -> bool:
    fences = [(body.task, body.attempt) for body in bodies(state)]
    return len(fences) == len(set(fences))


def slots_suffice(state: State, world: Constants) -> bool:
    return all(len(process.held) <= world.slots for process in state.processes)


def history_is_whole(state: State, world: Constants) -> bool:
    return all(
        ends == (0 if task.status == RUNNING and attempt == task.attempt else 1)
        for task in state.db.tasks
        for attempt, ends in enumerate(task.ends, 1)
    )


def no_cancelled_task_waits(state: State, world: Constants) -> bool:
    return not any(task.cancelling and task.status in (PENDING, SCHEDULED) for task in state.db.tasks)


def the_key_is_held_once(state: State, world: Constants) -> bool:
    owned = sum(task.status in (SCHEDULED, RUNNING) for task in state.db.tasks)
    return owned <= 1 or not world.shared_key


# Of a task that a step has changed: as it was, and as it is


def the_fence_grows(old: Task, new: Task) -> bool:
    return new.attempt == old.attempt + (new.status == RUNNING and old.status != RUNNING)


def the_transition_is_published(old: Task, new: Task) -> bool:
    return new.status == old.status or is_legal(old.status, new.status)


def the_end_is_final(old: Task, new: Task) -> bool:
    return old.status not in ENDED


def nothing_starts_once_cancelled(old: Task, new: Task) -> bool:
    return new.attempt == old.attempt or not (old.cancelling or old.status == CANCELLED)


# Of a step


def only_the_holder_ends_an_attempt(before: State, step: Step[State]) -> bool:
    """A stale finish changes no task: neither an old attempt's, nor one of a worker or a timeline that is gone."""
    if not step.name.startswith("finish"):
        return True
    endings = {(e.worker, e.task, e.attempt, e.started) for e in before.sent if not e.forgotten}
    return all(
        old is new or (old.owner, t, old.attempt, old.started) in endings
        for t, (old, new) in enumerate(zip(before.db.tasks, step.after.db.tasks, strict=True))
    )


def only_the_active_are_given(before: State, step: Step[State]) -> bool:
    given = [
        new.owner
        for old, new in changed(before.db.tasks, step.after.db.tasks)
        if new.status in (SCHEDULED, RUNNING) and new.status != old.status
    ]
    return all(before.db.workers[worker].state == ACTIVE for worker in given)


def the_dead_have_dropped_their_work(before: State, step: Step[State]) -> bool:
    rows = zip(before.db.workers, step.after.db.workers, step.after.processes, strict=True)
    return not any(
        old.state in LIVE and new.state not in LIVE and any(body.runs for body in process.held)
        for old, new, process in rows
    )


def the_dead_stay_dead(before: State, step: Step[State]) -> bool:
    rows = changed(before.db.workers, step.after.db.workers)
    lives = changed(before.processes, step.after.processes)
    return all(not old.state or old.state in LIVE or new.state == old.state for old, new in rows) and all(
        old.life not in (FENCED, EXITED, GONE) or new.life in (old.life, EXITED, GONE) for old, new in lives
    )


def changed(before: tuple[T, ...], after: tuple[T, ...]) -> list[tuple[T, T]]:
    """The values a step has written, each as it was and as it is."""
    if after is before:
        return []
    return [(old, new) for old, new in zip(before, after, strict=True) if old is not new]


INVARIANTS: Final[Mapping[str, Callable[[State, Constants], bool]]] = {
    "no two workers execute one task": one_runs,
    "no worker executes one task twice": no_worker_runs_a_task_twice,
    "a fence is held once": a_fence_is_held_once,
    "no worker holds more than its slots": slots_suffice,
    "an ended attempt has one history row, a running one none": history_is_whole,
    "a cancelled task does not wait": no_cancelled_task_waits,
    "a concurrency key is held once": the_key_is_held_once,
}

LAWS_OF_A_TASK: Final[Mapping[str, Callable[[Task, Task], bool]]] = {
    "the fence grows by one with each start": the_fence_grows,
    "only published transitions happen": the_transition_is_published,
    "an ended task stays ended": the_end_is_final,
    "nothing starts once it is cancelled": nothing_starts_once_cancelled,
}

LAWS: Final[Mapping[str, Callable[[State, Step[State]], bool]]] = {
    "a finish ends only the attempt it was sent for": only_the_holder_ends_an_attempt,
    "only an ACTIVE incarnation is given anything": only_the_active_are_given,
    "whoever is declared dead has dropped its work": the_dead_have_dropped_their_work,
    "the dead stay dead": the_dead_stay_dead,
}


def broken_invariant(state: State, world: Constants) -> str | None:
    return next((name for name, holds in INVARIANTS.items() if not holds(state, world)), None)


def broken_law(before: State, step: Step[State]) -> str | None:
    """A failover changes history, and so may break any law."""
    if step.name == "fail_over" or (step.after.db is before.db and step.after.processes is before.processes):
        return None
    for old, new in changed(before.db.tasks, step.after.db.tasks):
        for name, keeps in LAWS_OF_A_TASK.items():
            if not keeps(old, new):
                return name
    return next((name for name, holds in LAWS.items() if not holds(before, step)), None)
