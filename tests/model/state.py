"""What there is in the model: the rows of the database, the processes, what is on its way between them. Pure values.

Everything is a tuple of tuples, because millions of states are compared and hashed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from tasks_app.states import FINAL, TaskStatus, WorkerState

T = TypeVar("T")

# Plain strings: an enum's hash is a call into Python.
PENDING, SCHEDULED, RUNNING = map(str, (TaskStatus.PENDING, TaskStatus.SCHEDULED, TaskStatus.RUNNING))
SUCCESS, FAILED, CANCELLED = map(str, (TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.CANCELLED))
ENDED: Final = frozenset(map(str, FINAL))
ACTIVE, DRAINING = str(WorkerState.ACTIVE), str(WorkerState.DRAINING)
STOPPED, DEAD = str(WorkerState.STOPPED), str(WorkerState.DEAD)
LIVE: Final = (ACTIVE, DRAINING)
NOBODY: Final = -1


@dataclass(frozen=True, kw_only=True)
class Constants:
    """How large the world is, and what may go wrong in it."""

    hosts: int = 2
    #: Incarnations of the worker of each host, one after the other.
    incarnations: int = 2
    tasks: int = 1
    slots: int = 1
    prefetch: int = 0
    #: An attempt of this number is the last. (In the product a RELEASED one never is.)
    max_attempts: int = 3
    #: Ticks; a worker drops its work at ``lease - margin``.
    lease: int = 2
    margin: int = 1
    #: Whether all tasks have the same concurrency key.
    shared_key: bool = False
    #: Whether time passes. Without it nobody beats, and deaths are seen by guardians only.
    clock: bool = True
    #: Whether attempts may fail by themselves.
    failures: bool = True
    crashes: bool = False
    #: Replies and beats may be lost.
    losses: bool = False
    #: The observer may be restarted, or lose its session.
    breaks: bool = False
    cancels: bool = False
    drains: bool = False
    failovers: bool = False


class Task(NamedTuple):
    """A row of ``tasks``, and how many rows of ``task_executions`` each of its attempts has.

    ``started`` stands for ``started_at``: only a failover can make two starts of one attempt differ.
    """

    status: str = PENDING
    owner: int = NOBODY
    attempt: int = 0
    cancelling: bool = False
    ends: tuple[int, ...] = ()
    started: int = 0


class Row(NamedTuple):
    """A row of ``worker_heartbeats``; without a state, it is not there yet."""

    state: str = ""
    beat: int = 0


class Database(NamedTuple):
    tasks: tuple[Task, ...]
    workers: tuple[Row, ...]


class Body(NamedTuple):
    """An attempt in the hands of a worker: running, or ended and not yet known to be recorded.

    ``forgotten``: a failover lost its start, so the database knows nothing of it.
    """

    task: int
    attempt: int
    started: int
    runs: bool = True
    forgotten: bool = False


class Beat(NamedTuple):
    """A beat (or a registration, which is one) on its way: nowhere, or a REQUEST, a REPLY or a refusal (DISOWNED).

    ``age`` counts from when it was sent. ``drops`` are held attempts the reply says are lost.
    """

    place: str = ""
    age: int = 0
    drops: tuple[tuple[int, int], ...] = ()


REQUEST, REPLY, DISOWNED = "request", "reply", "disowned"
NO_BEAT: Final = Beat()


class Process(NamedTuple):
    """The worker process of one incarnation.

    ``life``: not there yet, REGISTERING, UP, FENCED (its lease is over, its work dead), EXITED (killed, and what it had
    started may still run), GONE (nothing of it is left). ``starter`` is what its main thread waits for: nothing, the
    database (ASKED), or the answer on its way (ANSWERED); or it is UNSURE what became of its last start.
    ``timeline`` is that of the database it has agreed with on what it runs.
    """

    life: str = ""
    age: int = 0
    beat: Beat = NO_BEAT
    starter: str = ""
    answer: tuple[Body, ...] = ()
    held: tuple[Body, ...] = ()
    timeline: int = 0


REGISTERING, UP, FENCED, EXITED, GONE = "registering", "up", "fenced", "exited", "gone"
ASKED, ANSWERED, UNSURE = "asked", "answered", "unsure"


class Seen(NamedTuple):
    """What the observer remembers of one worker: a beat, for how long it has seen no other, and whether the answer to
    its latest look, which says that it has not moved, is on its way."""

    beat: int = -1
    age: int = 0
    looked: bool = False


UNSEEN: Final = Seen()


class Ending(NamedTuple):
    """A finish as it was sent: the fence, and whether the attempt is given back."""

    worker: int
    task: int
    attempt: int
    started: int
    released: bool
    forgotten: bool


class State(NamedTuple):
    db: Database
    processes: tuple[Process, ...]
    seen: tuple[Seen, ...]
    sent: tuple[Ending, ...]
    #: The database a failover would go to: itself (None), or how it was when the standby fell behind.
    standby: Database | None
    #: 0, and 1 after the failover.
    timeline: int


# Values in, value out


def write_task(state: State, task: int, row: Task) -> State:
    return state._replace(db=state.db._replace(tasks=replaced(state.db.tasks, task, row)))


def write_row(state: State, worker: int, row: Row) -> State:
    return state._replace(db=state.db._replace(workers=replaced(state.db.workers, worker, row)))


def write_process(state: State, worker: int, process: Process) -> State:
    return state._replace(processes=replaced(state.processes, worker, process))


def write_seen(state: State, worker: int, seen: Seen) -> State:
    return state._replace(seen=replaced(state.seen, worker, seen))


def replaced(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])


def send(state: State, ending: Ending) -> State:
    return state if ending in state.sent else state._replace(sent=tuple(sorted((*state.sent, ending))))


def end_attempt(task: Task, attempt: int, status: str) -> Task:
    """One more history row for the attempt; a task that goes back to PENDING has no worker."""
    ends = replaced(task.ends, attempt - 1, min(2, task.ends[attempt - 1] + 1))
    return task._replace(status=status, owner=NOBODY if status == PENDING else task.owner, ends=ends)


def new_beat(state: State, worker: int) -> int:
    """A value of the counter that nobody remembers."""
    known = {state.db.workers[worker].beat, state.seen[worker].beat}
    if state.standby is not None:
        known.add(state.standby.workers[worker].beat)
    return next(beat for beat in range(4) if beat not in known)


def gone(process: Process) -> Process:
    """Nothing is left of it but perhaps a start on its way to the database."""
    return Process(GONE, starter=ASKED if process.starter == ASKED else "")


def runs(process: Process) -> bool:
    return any(body.runs for body in process.held)


def exited(process: Process) -> Process:
    """The worker process has ended; what it had started has no parent but the guardian any more."""
    running = tuple(body for body in process.held if body.runs)
    return gone(process)._replace(life=EXITED, age=process.age, held=running) if running else gone(process)


def belongs(state: State, worker: int, body: Body) -> bool:
    """Whether the database says that an attempt is this worker's."""
    row = state.db.tasks[body.task]
    return row.attempt == body.attempt and row.owner == worker


def unknown(state: State, worker: int) -> tuple[Body, ...]:
    """What the database says runs on a worker that does not hold it."""
    holds = {body.task for body in state.processes[worker].held}
    rows = enumerate(state.db.tasks)
    return tuple(body_of(t, row) for t, row in rows if row.owner == worker and row.status == RUNNING and t not in holds)


def body_of(task: int, row: Task) -> Body:
    """The attempt a row is in, as the database returns it."""
    return Body(task, row.attempt, row.started)


def ending_of(worker: int, body: Body, *, released: bool) -> Ending:
    return Ending(worker, body.task, body.attempt, body.started, released, body.forgotten)


def stopped(state: State, worker: int, body: Body, *, released: bool) -> State:
    """A body ends, and its ending is sent."""
    process = state.processes[worker]
    held = tuple(sorted(b._replace(runs=False) if b is body else b for b in process.held))
    state = write_process(state, worker, process._replace(held=held))
    return send(state, ending_of(worker, body, released=released))


def forgotten(body: Body, new: Database) -> Body:
    """The body as the promoted standby sees it: its start may be among the commits that are lost."""
    return body._replace(forgotten=new.tasks[body.task].attempt < body.attempt)


# For people


def changes(before: State, after: State, tasks: list[str], workers: list[str]) -> Iterator[str]:
    """What a step did, one line for each thing it changed."""
    for name, old_task, task in zip(tasks, before.db.tasks, after.db.tasks, strict=True):
        if old_task != task:
            owner = f" on {workers[task.owner]}" if task.owner != NOBODY else ""
            asked = ", cancel requested" if task.cancelling else ""
            yield f"{name}: {task.status}{owner}, attempt {task.attempt}{asked}, history rows {list(task.ends)}"
    for name, old_row, row in zip(workers, before.db.workers, after.db.workers, strict=True):
        if old_row.state != row.state:
            yield f"{name}: its row is {row.state or 'not there'}"
    for name, old, new in zip(workers, before.processes, after.processes, strict=True):
        if (old.life, old.held) != (new.life, new.held):
            held = [f"{tasks[body.task]}/{body.attempt} {'runs' if body.runs else 'has ended'}" for body in new.held]
            yield f"{name}: {new.life}, holds {'; '.join(held) or 'nothing'}"
        if old.age != new.age:
            yield f"{name}: its lease is {new.age} old"
    for name, old_seen, seen in zip(workers, before.seen, after.seen, strict=True):
        if old_seen.age != seen.age:
            yield f"{name}: its beat has not moved for {seen.age}"
