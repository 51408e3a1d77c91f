"""What must hold: of every state, and of every step from one state to the next. Names of promises, and how to see them.

The numbers in docs/model.md say which promise of the product each one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tasks_app.states import TaskStatus, is_legal
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


def bodies(state: State) -> Iterator[Body]:
    """What workers hold, but for attempts whose start a failover lost: the database cannot know of those."""
    return (body for process in state.processes for body in process.held if not body.forgotten)


def one_runs(state: State, world: Constants) -> bool:
    running = [body.task for body in bodies(state) if body.runs]
    return len(running) == len(set(running))


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


def moves(before: State, step: Step[State]) -> list[tuple[Task, Task]]:
    """The tasks a step changed, each as it was and as it is. A failover changes history, not tasks."""
    if step.after.db.tasks is before.db.tasks or step.name == "fail_over":
        return []
    return [pair for pair in zip(before.db.tasks, step.after.db.tasks, strict=True) if pair[0] is not pair[1]]


def the_fence_grows(before: State, step: Step[State]) -> bool:
    return all(
        new.attempt == old.attempt + (new.status == RUNNING and old.status != RUNNING)
        for old, new in moves(before, step)
    )


def transitions_are_published(before: State, step: Step[State]) -> bool:
    return all(
        new.status == old.status or is_legal(TaskStatus(old.status), TaskStatus(new.status))
        for old, new in moves(before, step)
    )


def ends_are_final(before: State, step: Step[State]) -> bool:
    return not any(old.status in ENDED for old, _ in moves(before, step))


def nothing_starts_once_cancelled(before: State, step: Step[State]) -> bool:
    return not any(
        new.attempt > old.attempt and (old.cancelling or old.status == CANCELLED) for old, new in moves(before, step)
    )


def only_the_holder_ends_an_attempt(before: State, step: Step[State]) -> bool:
    """A stale finish changes no task: neither an old attempt's, nor one of a worker or a timeline that is gone."""
    if not step.name.startswith("finish"):
        return True
    endings = {(e.task, e.attempt, e.worker, e.started) for e in before.sent if not e.forgotten}
    return all(
        any(
            (t, old.attempt, old.owner, old.started) in endings for t, task in enumerate(before.db.tasks) if task is old
        )
        for old, _ in moves(before, step)
    )


def only_the_active_are_given(before: State, step: Step[State]) -> bool:
    return all(
        before.db.workers[new.owner].state == ACTIVE
        for old, new in moves(before, step)
        if new.status in (SCHEDULED, RUNNING) and new.status != old.status
    )


def the_dead_have_dropped_their_work(before: State, step: Step[State]) -> bool:
    rows = zip(before.db.workers, step.after.db.workers, step.after.processes, strict=True)
    return not any(
        old.state in LIVE and new.state not in LIVE and any(body.runs for body in process.held)
        for old, new, process in rows
        if step.name != "fail_over"
    )


def the_dead_stay_dead(before: State, step: Step[State]) -> bool:
    if step.name == "fail_over":
        return True
    rows = zip(before.db.workers, step.after.db.workers, strict=True)
    lives = zip(before.processes, step.after.processes, strict=True)
    return all(old is new or not old.state or old.state in LIVE or new.state == old.state for old, new in rows) and all(
        old is new or old.life not in (FENCED, EXITED, GONE) or new.life in (old.life, EXITED, GONE)
        for old, new in lives
    )


INVARIANTS: Final[Mapping[str, Callable[[State, Constants], bool]]] = {
    "no two workers execute one task": one_runs,
    "a fence is held once": a_fence_is_held_once,
    "no worker holds more than its slots": slots_suffice,
    "an ended attempt has one history row, a running one none": history_is_whole,
    "a cancelled task does not wait": no_cancelled_task_waits,
    "a concurrency key is held once": the_key_is_held_once,
}

LAWS: Final[Mapping[str, Callable[[State, Step[State]], bool]]] = {
    "a finish ends only the attempt it was sent for": only_the_holder_ends_an_attempt,
    "the fence grows by one with each start": the_fence_grows,
    "only published transitions happen": transitions_are_published,
    "an ended task stays ended": ends_are_final,
    "nothing starts once it is cancelled": nothing_starts_once_cancelled,
    "only an ACTIVE incarnation is given anything": only_the_active_are_given,
    "whoever is declared dead has dropped its work": the_dead_have_dropped_their_work,
    "the dead stay dead": the_dead_stay_dead,
}
