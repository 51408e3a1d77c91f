"""The attempts a worker holds: started, and their end not yet recorded. Each occupies a slot.

The one structure that all threads of a worker share; every method is atomic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from tasks_app.executors.base import Execution, Outcome, StopReason
from tasks_app.starting import Attempt
from workers_app.runner import run_attempt
from workers_app.showing import show, silenced
from workflows_app.callbacks.signing import Sealed


@dataclass(slots=True, eq=False)
class Held:
    """One attempt, and whether its body has ended (its record may still wait for the database)."""

    attempt: Attempt
    execution: Execution
    ended: bool = False
    #: Of a delivery: it is signed.
    sealed: Sealed | None = None

    def run(self) -> Outcome:
        """Execute it and return how it ended."""
        show(self.attempt, self.execution)
        outcome = self.sealed.run(self.execution, run_attempt) if self.sealed else run_attempt(self.execution)
        return silenced(outcome, self.execution.token)


class HeldAttempts:
    """By task id: a worker holds one attempt of a task, because the first is recorded before the second starts.

    Recorded, but perhaps not yet known to be: the first then stays behind the second until it is. ``slots`` is how many
    all of them take.
    """

    def __init__(self) -> None:
        self.slots = 0
        self._held: dict[UUID, Held] = {}
        self._behind: list[Held] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held) + len(self._behind)

    def add(self, batch: Iterable[Held]) -> None:
        """Hold attempts that were started. Older work on a task that still runs is what a failover has forgotten."""
        added = {held.attempt.task_id: held for held in batch}
        with self._lock:
            older = [self._held[task_id] for task_id in added.keys() & self._held.keys()]
            self._behind += older
            self._held.update(added)
            self.slots += sum(held.attempt.slots for held in added.values())
        for held in older:
            if not held.ended:
                held.execution.stop(StopReason.RELEASE, immediate=True)

    def remove(self, attempts: Iterable[Attempt]) -> None:
        with self._lock:
            for attempt in attempts:
                held = self._held.get(attempt.task_id)
                if held is not None and held.attempt == attempt:
                    del self._held[attempt.task_id]
                    self.slots -= attempt.slots
                elif self._behind:
                    before = len(self._behind)
                    self._behind = [held for held in self._behind if held.attempt != attempt]
                    self.slots -= attempt.slots * (before - len(self._behind))

    def task_ids(self) -> list[UUID]:
        """Every task of which anything is held, though it be an end that is not recorded yet."""
        with self._lock:
            return [*self._held, *(held.attempt.task_id for held in self._behind)]

    def attempt_of(self, execution: Execution) -> Attempt | None:
        """The attempt that runs so; None when nothing of it is held any more."""
        with self._lock:
            held = (self._held.get(execution.task_id), *self._behind)
        return next((each.attempt for each in held if each is not None and each.execution is execution), None)

    def fences(self) -> dict[UUID, int]:
        """The attempt held of each task."""
        with self._lock:
            return {task_id: held.attempt.attempt for task_id, held in self._held.items()}

    def running(self) -> list[Held]:
        """Those whose bodies have not ended."""
        with self._lock:
            return [held for held in (*self._held.values(), *self._behind) if not held.ended]

    def past_deadline(self, by: float = 0.0) -> list[Held]:
        """Running bodies whose deadline was over ``by`` seconds ago."""
        now = time.monotonic()
        return [held for held in self.running() if now >= held.execution.deadline + by]

    def stop(self, task_id: UUID, reason: StopReason, *, immediate: bool = False) -> None:
        """Ask one task to stop, if it is held and runs."""
        with self._lock:
            held = self._held.get(task_id)
        if held is not None and not held.ended:
            held.execution.stop(reason, immediate=immediate)

    def stop_all(self, reason: StopReason, *, immediate: bool) -> None:
        for held in self.running():
            held.execution.stop(reason, immediate=immediate)


class Running:
    """How many bodies have been begun and have not ended; ``none`` is set when the last one of a ``full`` worker ends.

    While slots are free others may be about to begin.
    """

    def __init__(self, full: Callable[[], bool]) -> None:
        self._full = full
        self.none = threading.Event()
        self.none.set()
        self._count = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._count += count
            if self._count:
                self.none.clear()

    def end_one(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count and self._full():
                self.none.set()
