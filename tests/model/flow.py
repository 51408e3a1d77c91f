"""Gates, slots of keys, limits and rates, as a specification that a machine can look through.

Beside ``protocol.py``, which says who may run a task, this says how many may: tasks of one concurrency key in one queue
with a limit and a rate, two schedulers, and workers that die. A pass is not atomic here: it takes the pass lock, looks
and locks, and commits, and everything that these locks allow happens in between. Each method under "What may happen" is
a step of the product with the guard of the file that stands next to it.

What stands for what:

- **The line of the key** is the order of the tasks. All are due; nobody has labels.
- **A token** comes with a `tick`, as long as the bucket is not full. ``spent`` is what the rate promises: it counts
  each start at its instant. The bucket of the product counts what was given and has not started, and reads from rows
  what has.
- **A person** may lock a task that waits, to edit it, and roll that back.
- **A lower limit** of the queue is set once, with the pass taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.model.checker import Step

ABSENT, WAITS, ASSIGNED, RUNS, ENDED = "absent", "waits", "assigned", "runs", "ended"
OPEN, KEY = 0, 1
NOBODY = -1


class World(NamedTuple):
    """How many there are, some of them ``later``, what limits them (``of_key`` 0: no key does), what may go wrong."""

    tasks: int = 3
    later: int = 0
    workers: int = 2
    room: int = 1
    of_key: int = 2
    of_queue: int = 2
    burst: int = 1
    attempts: int = 2
    crashes: bool = False
    edits: bool = False
    lowers: bool = False
    returns: bool = False


class Task(NamedTuple):
    status: str = WAITS
    gate: int = OPEN
    owner: int = NOBODY
    slot: int = NOBODY
    attempt: int = 0


class Bucket(NamedTuple):
    """``tokens`` as of the last charge; ``given`` are tasks with the attempts they had, which had not started then."""

    tokens: int
    given: tuple[tuple[int, int], ...] = ()


class Pass(NamedTuple):
    """A pass under way: nothing, taken, or what it has looked at, locked and decided."""

    taken: bool = False
    looked: bool = False
    given: tuple[tuple[int, int, int], ...] = ()
    parks: bool = False
    holders: tuple[int, ...] = ()
    locked: tuple[int, ...] = ()


class State(NamedTuple):
    tasks: tuple[Task, ...]
    alive: tuple[bool, ...]
    passes: tuple[Pass, ...]
    bucket: Bucket
    limit: int
    #: Tokens of the rate as it was promised: charged by starts, at their instant.
    spent: int
    #: The task that somebody is editing.
    edited: int = NOBODY


Steps = Iterator[Step[State]]


class Flow:
    """The product's rules. A broken variant overrides one of the guards, or one step."""

    def __init__(self, world: World) -> None:
        self.world = world

    def initial(self) -> State:
        world = self.world
        alive, passes = (True,) * world.workers, (Pass(), Pass())
        tasks = (Task(),) * (world.tasks - world.later) + (Task(ABSENT),) * world.later
        return State(tasks, alive, passes, Bucket(1), world.of_queue, 1)

    def steps(self, state: State) -> Steps:
        may = self.world
        steps = [
            self.take, self.look, self.commit, self.start, self.finish, self.recover, self.sweep, self.tick,
            *([self.create] if may.later else []),
            *([self.mark_dead, self.scheduler_crashes] if may.crashes else []),
            *([self.edit, self.roll_back] if may.edits else []),
            *([self.lower_limit] if may.lowers else []),
            *([self.hand_back, self.cancel] if may.returns else []),
        ]  # fmt: skip
        for step in steps:
            yield from step(state)

    # The guards. Each broken variant takes one of them away.

    def may_take(self, state: State) -> bool:
        """take_pass.sql: the row of scheduler_pass is locked until the commit."""
        return not any(each.taken for each in state.passes)

    def may_lower(self, state: State) -> bool:
        """queues.py, `edit_queue`: with the pass held, so that none that has not seen the limit commits after it."""
        return self.may_take(state)

    def still_hold(self, state: State, holders: Iterable[int]) -> bool:
        """park_behind_keys.sql, ``held``: parking is exact only while no holder can end unseen."""
        return all(state.tasks[t].status in (ASSIGNED, RUNS) for t in holders)

    def waiting_tokens(self, state: State) -> int:
        """The view bucket_now: what was given and has not started keeps its token."""
        return len(unstarted(state))

    def spent_tokens(self, state: State) -> int:
        """The view bucket_now: what has started since the last charge, also when it has ended or was lost since."""
        return sum(state.tasks[t].attempt > attempt for t, attempt in state.bucket.given)

    def made_way(self, state: State) -> State:
        """The trigger tasks_release_key: the next one that is parked is seen, unless somebody has locked it."""
        for t, task in enumerate(state.tasks):
            if task.status == WAITS and task.gate == KEY and not self._is_locked(state, t):
                return write(state, t, gate=OPEN)
        return state

    def sweep(self, state: State) -> Steps:
        """release_idle_keys.sql: the first in line, as many as the key has room for, are seen."""
        line = [t for t, task in enumerate(state.tasks) if task.status == WAITS]
        for t in line[: max(0, self.world.of_key - len(holders_of(state)))]:
            if state.tasks[t].gate == KEY and not self._is_locked(state, t):
                yield Step("sweep", (f"T{t + 1}",), True, write(state, t, gate=OPEN))

    # What may happen: passes

    def take(self, state: State) -> Steps:
        for s, each in enumerate(state.passes):
            if not each.taken and self.may_take(state):
                yield self._pass(state, "take", s, Pass(taken=True))

    def look(self, state: State) -> Steps:
        """count_room.sql, lock_candidates.sql, look_at_keys.sql, and matching.py on what they return."""
        for s, each in enumerate(state.passes):
            if each.taken and not each.looked:
                yield self._pass(state, "look", s, self._decide(state))

    def _decide(self, state: State) -> Pass:
        """Firsts of the key, parked or not, take the turns of those in sight."""
        holders = holders_of(state)
        waiting = [t for t, task in enumerate(state.tasks) if task.status == WAITS]
        in_sight = [t for t in waiting if state.tasks[t].gate == OPEN and not self._is_locked(state, t)]
        if not in_sight:
            return Pass(taken=True, looked=True)
        firsts, free = in_sight, [NOBODY] * len(in_sight)
        if self.world.of_key:
            firsts = waiting[: max(0, min(len(in_sight), self.world.of_key - len(holders)))]
            firsts = [t for t in firsts if not self._is_locked(state, t)]
            free = [n for n in range(self.world.of_key) if n not in [state.tasks[t].slot for t in holders]]
        tokens = state.bucket.tokens - self.spent_tokens(state) - self.waiting_tokens(state)
        most = max(0, min(state.limit - len(holders), tokens))
        given = tuple(zip(firsts, self._openings(state)[:most], free, strict=False))
        parks = len(holders) + len(given) >= self.world.of_key > 0
        return Pass(True, True, given, parks, holders, tuple(sorted({*firsts, *in_sight})))

    def _openings(self, state: State) -> list[int]:
        owned = [state.tasks[t].owner for t in holders_of(state)]
        rooms = [(w, self.world.room - owned.count(w)) for w, alive in enumerate(state.alive) if alive]
        return [w for w, room in rooms for _ in range(room)]

    def commit(self, state: State) -> Steps:
        """assign_due_tasks.sql, charge_buckets.sql and park_behind_keys.sql, in the transaction of the pass."""
        for s, each in enumerate(state.passes):
            if not each.looked:
                continue
            done = state._replace(passes=replaced(state.passes, s, Pass()))
            taken = {state.tasks[t].slot for t in holders_of(state)} - {NOBODY}
            if any(slot in taken for _, _, slot in each.given):
                yield Step("refused_by_index", (f"S{s + 1}",), True, done)
                continue
            for t, worker, slot in each.given:
                done = write(done, t, status=ASSIGNED, owner=worker, slot=slot, gate=OPEN)
            if each.given:
                done = done._replace(bucket=self._charged(done, [t for t, _, _ in each.given]))
            if each.parks and self.still_hold(state, each.holders):
                for t, task in enumerate(done.tasks):
                    if task.status == WAITS and task.gate == OPEN and t != state.edited:
                        done = write(done, t, gate=KEY)
            yield Step("commit", (f"S{s + 1}",), True, done)

    def _charged(self, state: State, given: list[int]) -> Bucket:
        """What has started is settled, what went back is dropped, and what is given has a place."""
        waits = [each for each in unstarted(state) if each[0] not in given]
        new = [(t, state.tasks[t].attempt) for t in given]
        return Bucket(state.bucket.tokens - self.spent_tokens(state), tuple(sorted(waits + new)))

    def scheduler_crashes(self, state: State) -> Steps:
        """Its session breaks: the pass is rolled back, and free for the others."""
        for s, each in enumerate(state.passes):
            if each.taken:
                yield self._pass(state, "scheduler_crashes", s, Pass(), fair=False)

    # What may happen: tasks

    def create(self, state: State) -> Steps:
        """inserting.py: nobody looks who has the key; its gate is open."""
        for t, task in enumerate(state.tasks):
            if task.status == ABSENT:
                yield Step("create", (f"T{t + 1}",), True, write(state, t, status=WAITS))
                return

    def start(self, state: State) -> Steps:
        """start_assigned.sql."""
        for t, task in enumerate(state.tasks):
            if task.status == ASSIGNED and state.alive[task.owner]:
                after = write(state, t, status=RUNS, attempt=task.attempt + 1)
                yield Step("start", (f"T{t + 1}",), True, after._replace(spent=state.spent - 1))

    def finish(self, state: State) -> Steps:
        """finish_attempts.sql: it ends, or is tried again."""
        for t, task in enumerate(state.tasks):
            if task.status == RUNS and state.alive[task.owner]:
                for status in (ENDED, WAITS) if task.attempt < self.world.attempts else (ENDED,):
                    after = write(state, t, status=status, owner=NOBODY, slot=NOBODY)
                    yield Step("finish", (f"T{t + 1}", status), status == ENDED, self.made_way(after))

    def hand_back(self, state: State) -> Steps:
        """hand_back_assigned.sql."""
        for t, task in enumerate(state.tasks):
            if task.status == ASSIGNED:
                yield Step("hand_back", (f"T{t + 1}",), False, self._returned(state, t))

    def recover(self, state: State) -> Steps:
        """recover_lost_tasks.sql: its owner has no live row."""
        for t, task in enumerate(state.tasks):
            if task.owner != NOBODY and not state.alive[task.owner]:
                lost = task.status == RUNS and task.attempt >= self.world.attempts
                yield Step("recover", (f"T{t + 1}",), True, self._returned(state, t, ENDED if lost else WAITS))

    def cancel(self, state: State) -> Steps:
        """transitions.py, `cancel`: waits for the locks of a pass."""
        for t, task in enumerate(state.tasks):
            if task.status == WAITS and not self._is_locked(state, t):
                after = write(state, t, status=ENDED)
                yield Step("cancel", (f"T{t + 1}",), False, self.made_way(after) if task.gate == OPEN else after)

    def edit(self, state: State) -> Steps:
        for t, task in enumerate(state.tasks):
            if state.edited == NOBODY and task.status == WAITS and not self._is_locked(state, t):
                yield Step("edit", (f"T{t + 1}",), False, state._replace(edited=t))

    def roll_back(self, state: State) -> Steps:
        if state.edited != NOBODY:
            yield Step("roll_back", (), True, state._replace(edited=NOBODY))

    # What may happen: the world

    def mark_dead(self, state: State) -> Steps:
        """change_worker_state.sql, behind the locks of a pass that has counted the worker. One stays alive."""
        if sum(state.alive) > 1 and not any(each.looked for each in state.passes):
            for w, alive in enumerate(state.alive):
                if alive:
                    after = state._replace(alive=replaced(state.alive, w, False))
                    yield Step("mark_dead", (f"W{w + 1}",), False, after)

    def lower_limit(self, state: State) -> Steps:
        """queues.py, `_hold_to_limit`: what has not started goes back."""
        if state.limit > 1 and self.may_lower(state):
            after = state._replace(limit=state.limit - 1)
            for t, task in enumerate(state.tasks):
                if task.status == ASSIGNED:
                    after = self._returned(after, t)
            yield Step("lower_limit", (), False, after)

    def tick(self, state: State) -> Steps:
        """Time for one more token."""
        tokens = state.bucket.tokens - self.spent_tokens(state)
        most = self.world.burst + 1
        bucket = Bucket(min(most, tokens + 1), unstarted(state))
        yield Step("tick", (), True, state._replace(bucket=bucket, spent=min(most, state.spent + 1)))

    def _pass(self, state: State, name: str, s: int, new: Pass, *, fair: bool = True) -> Step[State]:
        return Step(name, (f"S{s + 1}",), fair, state._replace(passes=replaced(state.passes, s, new)))

    def _returned(self, state: State, t: int, status: str = WAITS) -> State:
        return self.made_way(write(state, t, status=status, owner=NOBODY, slot=NOBODY))

    def _is_locked(self, state: State, t: int) -> bool:
        return t == state.edited or any(t in each.locked for each in state.passes)

    # What must hold

    def broken_invariant(self, state: State) -> str | None:
        slots = [state.tasks[t].slot for t in holders_of(state)]
        if self.world.of_key and (len(slots) != len(set(slots)) or not {*slots} <= {*range(self.world.of_key)}):
            return "a slot of a concurrency key is held once, below its limit"
        if len(slots) > state.limit and any(task.status == ASSIGNED for task in state.tasks):
            return "a queue has no more assigned than its limit"
        if state.spent < 0:
            return "nothing starts without a token"
        parked = [task for task in state.tasks if task.status == WAITS and task.gate == KEY]
        opens = slots or any(task.status == WAITS and task.gate == OPEN for task in state.tasks)
        if parked and not opens and not self.world.edits:
            return "what is parked has somebody who opens it"
        return None

    def broken_law(self, state: State, step: Step[State]) -> str | None:
        given = [new.owner for old, new in zip(state.tasks, step.after.tasks, strict=True) if old.owner != new.owner]
        if any(owner != NOBODY and not state.alive[owner] for owner in given):
            return "only a live worker is given anything"
        return None

    def done(self, state: State) -> bool:
        return all(task.status == ENDED for task in state.tasks)

    # For the checker

    def canonical(self, state: State) -> State:
        return state if state.passes[0] >= state.passes[1] else state._replace(passes=state.passes[::-1])

    def describe(self, before: State, after: State) -> Iterator[str]:
        for t, (old, new) in enumerate(zip(before.tasks, after.tasks, strict=True), 1):
            if old != new:
                gate = ", parked" if new.gate == KEY and new.status == WAITS else ""
                yield f"T{t}: {new.status}{gate}, attempt {new.attempt}" + (
                    f", slot {new.slot}" if new.slot >= 0 else ""
                )
        if before.bucket != after.bucket or before.spent != after.spent:
            yield f"bucket: {after.bucket.tokens} tokens, given {list(after.bucket.given)}; really {after.spent}"


def holders_of(state: State) -> tuple[int, ...]:
    return tuple(t for t, task in enumerate(state.tasks) if task.status in (ASSIGNED, RUNS))


def unstarted(state: State) -> tuple[tuple[int, int], ...]:
    """What was given with a token and still waits on its worker, under the attempt it had."""
    given = state.bucket.given
    return tuple((t, a) for t, a in given if (state.tasks[t].status, state.tasks[t].attempt) == (ASSIGNED, a))


def write(state: State, t: int, **changes: Any) -> State:
    return state._replace(tasks=replaced(state.tasks, t, state.tasks[t]._replace(**changes)))


def replaced(values: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*values[:place], value, *values[place + 1 :])
