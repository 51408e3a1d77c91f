"""What a worker has in hand: the attempts it holds, the threads that execute them, and the recorder of their ends.

Threads: the main one begins attempts, pool threads execute them, the recorder's thread frees their slots once what
became of them is known. What is begun, and when, is ``starting.py``'s matter.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from django.conf import settings

from tasks_app import wakeups
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.retries import RetryPolicy
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.states import TaskStatus
from workers_app.endings import Ending, ending_of
from workers_app.inputs import Inputs
from workers_app.lease import Lease
from workers_app.processes.heartbeat import CompletionRate
from workers_app.processes.held import Held, HeldAttempts, Running
from workers_app.processes.output_keeper import OutputKeeper
from workers_app.processes.pool import Pool
from workers_app.recorder import Recorder
from workers_app.runner import execution_of
from workflows_app.callbacks.signing import Sealed

#: Ends a second from which on waiting a moment makes batches larger than it makes tasks late.
FAST_ENDS: Final = 200.0


class Executing:
    """``on_recorded`` is called in the recorder's thread after slots have come free.

    ``more_assigned`` says whether this worker believes to have been assigned more than it has started.
    """

    def __init__(
        self,
        worker_id: UUID,
        slots: int,
        lease: Lease,
        on_recorded: Callable[[], None],
        more_assigned: Callable[[], bool] = lambda: False,
    ) -> None:
        config = settings.SCHEDULER
        self.slots = slots
        #: What the schedulers know to be welcome beyond the slots.
        self.prefetch = 0
        self.held = HeldAttempts()
        self.pool: Pool[Held] = Pool(slots, self._execute)
        self._running = Running(lambda: self.held.slots >= self.slots)
        self.recorder = Recorder(
            Session("recorder"), worker_id, self._recorded, self._ends_come_fast, self._running.none
        )
        self._output = OutputKeeper(
            Session("output", statement_timeout="5s"), slots, self.recorder.put, self.held.attempt_of
        )
        self._inputs = Inputs(Session("inputs"), worker_id)
        #: Slots of all attempts that have been recorded.
        self.ended_slots = 0
        self.rate = CompletionRate()
        self._lease = lease
        self._on_recorded = on_recorded
        self._more_assigned = more_assigned
        self._was_full = False
        #: Slots that came free after all were taken, and how many of these the schedulers were notified of. Two threads
        #: write the second: whoever reads it too early notifies once more.
        self._freed = self._told = 0
        self._default_retries = RetryPolicy.merged(
            None, base_delay=config.retry_base_delay, max_delay=config.retry_max_delay
        )

    # Main thread

    def free_slots(self) -> int:
        """How many more slots may be filled. Where there is none, the schedulers will hear of the next one."""
        free = self.slots - self.held.slots
        if free <= 0:
            self.note_full()
            free = self.slots - self.held.slots  # one may have come free before that was noted
        return free

    def note_full(self) -> None:
        """Have the schedulers notified when the next slot comes free: all are taken, or somebody waits for several."""
        self._was_full = True

    def take_untold(self) -> bool:
        """Whether slots have come free that the schedulers have not been notified of; the caller does it now."""
        freed, told = self._freed, self._told
        self._told = freed
        return freed > told

    def begin(self, attempts: Iterable[Attempt], sealed: Mapping[UUID, Sealed] = MappingProxyType({})) -> None:
        """Hold the attempts and give them to the pool; without a lease they end as RELEASED before they begin."""
        batch = [Held(attempt, execution_of(attempt), sealed=sealed.get(attempt.task_id)) for attempt in attempts]
        for held in batch:
            held.execution.keep = self._output.keep
        self.held.add(batch)
        if not self._lease.running:
            for held in batch:
                held.execution.stop(StopReason.RELEASE, immediate=True)
        self._running.add(len(batch))
        self.pool.submit(batch)

    def give_back(self, attempts: Sequence[Attempt]) -> None:
        """Record the attempts as RELEASED without executing them: somebody has begun them already."""
        self.held.add([Held(attempt, execution_of(attempt), ended=True) for attempt in attempts])
        released = Outcome.stopped(StopReason.RELEASE, timeout=timedelta(0))
        for attempt in attempts:
            self.recorder.put(self._ending(attempt, released, 0.0))

    def close(self) -> None:
        """Let the pool end, and the recorder once it has written what is there; wait for that when nothing runs."""
        self.pool.close()
        self._output.close()
        self.recorder.close()
        if self.recorder.is_alive() and not self.held:
            self.recorder.join(timeout=5)

    # Pool threads

    def _execute(self, held: Held) -> None:
        began = time.monotonic()
        outcome = self._inputs.take(held.attempt, held.execution) or held.run()
        held.ended = True
        ending = self._ending(held.attempt, outcome, time.monotonic() - began)
        if held.execution.output is None:
            self.recorder.put(ending)
        else:
            self._output.end(held.execution, ending)
        self._running.end_one()

    def _ending(self, attempt: Attempt, outcome: Outcome, duration_s: float) -> Ending:
        chance = random.random()  # noqa: S311 - jitter, not a secret
        return ending_of(attempt, outcome, duration_s, default=self._default_retries, chance=chance)

    # The recorder's thread

    def _ends_come_fast(self) -> bool:
        return self.rate.latest > FAST_ENDS and len(self.held) > 1

    def _recorded(self, endings: Sequence[Ending]) -> None:
        """Free the slots of recorded endings, and wake whoever waits for that."""
        was_full, self._was_full = self._was_full, False  # before they are free: it may be set again at once
        again = [ending for ending in endings if ending.next_status == TaskStatus.PENDING or ending.started.keyed]
        slots = sum(ending.started.slots for ending in endings)
        self.ended_slots += slots
        self.held.remove(ending.started for ending in endings)
        self.rate.add(len(endings))
        if was_full or self._freed > self._told:
            self._freed += slots
        if again or (self._freed > self._told and not self._may_wait()):
            only_new = not any(ending.started.keyed or ending.delay is None for ending in again)
            self._told = self._freed
            wakeups.notify_schedulers(self.recorder.session, only_new=only_new)
        self._on_recorded()

    def _may_wait(self) -> bool:
        """Whether schedulers need not be notified yet: a pass costs as much for sixteen tasks as for fifty.

        Not when nothing may be left of what was prefetched. A start that finds too little makes up for it.
        """
        return self._more_assigned() and self._freed - self._told < self.prefetch // 2
