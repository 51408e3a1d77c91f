"""A worker: starts what is assigned to it, as much as it has free slots, executes, hands the endings to the recorder.

Threads: the main one starts tasks and sleeps on wake-ups; a pool executes; the recorder writes; the heartbeat beats;
the watchdog stops work that is past its deadline or its lease. Connections: start, record, beat, listen. The guardian
(``guardian.py``) is the parent process; it is told of each beat, and ends this process when the lease ends unnoticed.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import psutil
import psycopg
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff, kind_of, short
from flow_app import assignment
from tasks_app import signals, wakeups
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.floors import Floors
from tasks_app.retries import RetryPolicy
from tasks_app.sessions import Session
from tasks_app.starting import Attempt, adopt_running, start_assigned
from tasks_app.states import TaskStatus, WorkerState
from workers_app import heartbeats
from workers_app.endings import Ending, ending_of
from workers_app.heartbeats import BeatAnswer, Registration
from workers_app.processes.base import UNTIL_WOKEN, Process
from workers_app.processes.guardian import FENCED, UNFINISHED, GuardianLink
from workers_app.processes.heartbeat import CompletionRate, Heartbeat, Watchdog
from workers_app.processes.held import Held, HeldAttempts
from workers_app.processes.lease import Lease
from workers_app.processes.lease import now as lease_now
from workers_app.processes.pool import Pool
from workers_app.processes.signals import SelfPipe
from workers_app.processes.wakeups import Listener
from workers_app.recorder import Recorder
from workers_app.runner import execution_of, run_attempt

log = structlog.get_logger(__name__)

#: Seconds between two lines of statistics.
STATS_EVERY: Final = 60.0
#: Most attempts one statement starts.
MAX_START: Final = 500
#: Work that ignores its deadline for this long makes its worker stop beating.
OVERDUE: Final = 6.0
#: How soon after submitting the pool may grow; instant tasks are done by then.
GROW_AFTER: Final = timedelta(milliseconds=2)
#: How soon to look again whether what was lost with the old timeline is dead.
FOLLOW_AGAIN: Final = timedelta(milliseconds=100)
#: Seconds from the end of one task to the start of the next through both processes, on a busy machine.
ROUND_TRIP: Final = 0.05
#: Ends a second from which on waiting a moment makes batches larger than it makes tasks late.
FAST_ENDS: Final = 200.0
#: Seconds of the grace kept for stopping what has not ended by itself: TERM, 5 s, KILL, and a write.
STOP_RESERVE: Final = 6.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The command line of a worker, checked."""

    registration: Registration
    prefetch: int
    grace: timedelta
    burst: bool


class Worker(Process):
    """One incarnation. `run` returns when it has drained; `fenced` tells whether its lease ended first."""

    def __init__(self, options: WorkerOptions, guardian: GuardianLink) -> None:
        pipe = SelfPipe()
        self.id: UUID = options.registration.worker_id
        super().__init__(Listener(wakeups.WORKERS, pipe, self._concerns_us, holder=self.id), pipe)
        config = settings.SCHEDULER
        self.options = options
        self.lease = Lease(config.heartbeat_timeout, config.lease_margin)
        self.fenced = False
        self.draining = False
        self._default_retries = RetryPolicy.merged(
            None, base_delay=config.retry_base_delay, max_delay=config.retry_max_delay
        )
        self._known = False
        self._unfinished = False
        self._slots = options.registration.slots
        self._guardian = guardian
        self._session = Session("worker")
        self._held = HeldAttempts()
        self._pool: Pool[Held] = Pool(self._slots, self._execute)
        self._recorder = Recorder(Session("recorder"), self.id, self._recorded, self._ends_come_fast)
        self._heartbeat = Heartbeat(Session("heartbeat", direct=True), self.id, self, self._idle_interval())
        self._watchdog = Watchdog(self._watch)
        self._rate = CompletionRate()
        self._floors = Floors()
        self._may_have_more = True
        self._was_full = False
        self._recorded_before = 0
        self._missing = 0
        self._begun = self._begun_before = 0
        self._timeline = self._seen_timeline = ""
        self._stepping_since: float | None = None
        self._started_at = time.monotonic()
        self._stats_at = self._started_at + STATS_EVERY

    # The loop

    @property
    def stopping(self) -> bool:
        return super().stopping or self.fenced or self.draining

    @property
    def exit_status(self) -> int:
        """What the guardian goes by, once `run` has returned."""
        return FENCED if self.fenced else UNFINISHED if self._unfinished else 0

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        self._register()
        for thread in (self._recorder, self._heartbeat, self._watchdog):
            thread.start()
        try:
            yield
        finally:
            self._leave()

    def tick(self) -> timedelta:
        """Start what is assigned, as many as there are free slots. Called by the main thread only."""
        self._stepping_since = time.monotonic()
        try:
            self._pool.grow()
            if self._seen_timeline != self._timeline:
                self._follow_timeline()
            else:
                if self._missing > 1:
                    self._adopt()
                self._start()
        finally:
            self._stepping_since = None
        if self.options.burst and not self._held and self._burst_is_over():
            self.draining = True
        return self._rest()

    def drain(self) -> None:
        """Stop taking; let running work end within the grace; stop and give back the rest, once it is seen dead."""
        log.info("worker_draining", worker_id=str(self.id), running=len(self._held), fenced=self.fenced)
        grace = self.options.grace.total_seconds()
        end = time.monotonic() + grace
        if not self.fenced and self._known:
            self._hand_back(end)
            self._await_idle(end - min(STOP_RESERVE, grace / 2), until_signals=2)
        self._held.stop_all(StopReason.RELEASE, immediate=self.fenced or self.pipe.stop_requests > 1)
        self._await_idle(max(end - 1, time.monotonic() + 0.5), until_signals=2)
        self._held.stop_all(StopReason.RELEASE, immediate=True)
        self._await_idle(time.monotonic() + 2, until_signals=3)
        while self.fenced and self._held and self._recorder.is_alive() and not self.pipe.stop_requests:
            self.pipe.wait(1.0)  # nobody else runs this work: there is time to say how it ended

    # What the heartbeat asks (its thread)

    def held_attempts(self) -> dict[UUID, int]:
        return self._held.fences()

    def measured_prefetch(self) -> int:
        """What the worker would end while room is refilled; nothing for tasks longer than some hundred milliseconds."""
        refill = int(self._rate.per_second() * ROUND_TRIP) - self._slots // 8
        return max(0, min(self.options.prefetch, refill))

    def stuck(self) -> str | None:
        """A part that makes no progress: such a worker must not look alive."""
        since = self._stepping_since
        if since is not None and time.monotonic() - since > settings.SCHEDULER.heartbeat_timeout.total_seconds():
            return "starter"
        if not self._recorder.is_alive():
            return "recorder"
        return "executor" if self._held.past_deadline(by=OVERDUE) else None

    def heard(self, answer: BeatAnswer, sent: float) -> None:
        self._tell_stats(answer)
        if self.lease.renew(sent):
            self._guardian.beat(sent)
        for task_id in answer.cancels:
            self._held.stop(task_id, StopReason.CANCEL)
        for task_id in answer.drops:
            self._held.stop(task_id, StopReason.RELEASE)
        if answer.timeline != self._seen_timeline:
            log.warning("timeline_changed", timeline=answer.timeline, was=self._timeline, dropped=len(answer.drops))
            self._seen_timeline = answer.timeline
        # A start whose reply was lost shows as RUNNING rows beyond what is held, twice in a row.
        self._missing = self._missing + 1 if answer.running > len(self._held) else 0
        if answer.state == WorkerState.DRAINING and not self.stopping:
            self.draining = True
            self.pipe.wake()
        elif (answer.assigned and not self._may_have_more) or self._missing > 1 or answer.timeline != self._timeline:
            if self._begun == self._begun_before:  # it starts nothing of what it was assigned: below its floor, perhaps
                self._floors.forget()
            self._may_have_more = True
            self.pipe.wake()
        self._begun_before = self._begun

    def _tell_stats(self, answer: BeatAnswer) -> None:
        if (now := time.monotonic()) >= self._stats_at:
            self._stats_at = now + STATS_EVERY
            stats = {
                "ended": self._recorder.recorded,
                "per_second": round(self._rate.per_second(), 1),
                "running": answer.running,
                "assigned": answer.assigned,
                "slots": self._slots,
                "rss_mb": round(psutil.Process().memory_info().rss / 2**20),
            }
            signals.process_stats.send_robust(type(self), role="worker", process_id=self.id, stats=stats)

    def disowned(self) -> None:
        if not self.fenced:
            log.error("worker_disowned", worker_id=str(self.id))
            self._fence()

    # Starting (main thread)

    def _register(self) -> None:
        failures = 0
        while not self.stopping:
            try:
                sent = lease_now()
                timeline = heartbeats.register_worker(self._session, self.options.registration)
            except DatabaseAway as error:
                failures += 1
                if failures == 1:
                    log.warning("database_away", kind=kind_of(error), error=short(error))
                self.pipe.wait(backoff(failures))
            else:
                config = settings.SCHEDULER
                self.lease = Lease(config.heartbeat_timeout, config.lease_margin, since=sent)
                self._guardian.beat(sent)
                self._timeline = self._seen_timeline = timeline
                self._known = True
                wakeups.notify_schedulers(self._session)
                r = self.options.registration
                signals.worker_registered.send_robust(
                    type(self),
                    worker_id=r.worker_id,
                    name=r.name,
                    host=r.host,
                    pid=r.pid,
                    slots=r.slots,
                    queues=r.queues,
                    labels=r.labels,
                )
                return

    def _start(self) -> None:
        free = self._slots - len(self._held)
        if free <= 0:
            self._was_full = True
            free = self._slots - len(self._held)  # one may have come free before it could be told
            if free <= 0:
                return
        if not self._may_have_more or not self.lease.running:
            return
        limit = min(free, MAX_START)
        recorded = self._recorder.recorded
        occupied = self._slots - free + recorded - self._recorded_before
        self._recorded_before = recorded
        self._may_have_more = False
        try:
            attempts = start_assigned(
                self._session, worker_id=self.id, limit=limit, timeline=self._timeline, floors=self._floors
            )
        except DatabaseAway:
            self._may_have_more = True
            self._missing = 2  # some may have been started all the same: look for them before the next start
            raise
        except psycopg.Error:
            self._may_have_more = True
            raise
        # Before they begin: the first may be recorded before the last has begun.
        self._may_have_more |= len(attempts) == limit
        self._was_full |= len(attempts) == limit
        self._begin(attempts)
        if attempts and len(attempts) < limit and occupied + len(attempts) >= self._slots:
            # The pass that assigned these may still have counted what had ended meanwhile, and found us full.
            wakeups.notify_schedulers(self._session, only_new=True)

    def _adopt(self) -> None:
        attempts = self._started_unknown(self._timeline)
        self._missing = 0
        if attempts:
            log.warning("starts_adopted", count=len(attempts))
            self._begin(attempts)

    def _started_unknown(self, timeline: str) -> list[Attempt]:
        """What the database says runs here although it is not held."""
        return adopt_running(self._session, worker_id=self.id, held=self._held.task_ids(), timeline=timeline)

    def _follow_timeline(self) -> None:
        """The database is on another timeline, a promoted standby's: start there once both agree on what runs here.

        A standby that lagged behind has lost what the old primary acknowledged last. What is held but unknown there is
        dropped, and until it is gone nothing starts, because its fence may be given out again. What runs there in our
        name but is not held may have ended before, and that was lost: it is given back as begun. The rest goes on.
        """
        timeline, lost = heartbeats.compare_held(self._session, self.id, held=self._held.fences())
        if timeline < self._timeline:
            log.error("timeline_behind", worker_id=str(self.id), timeline=timeline, newest=self._timeline)
            self._fence()  # a former primary that still takes writes
            return
        for task_id in lost:
            self._held.stop(task_id, StopReason.RELEASE, immediate=True)
        forgotten = self._started_unknown(timeline)
        self._held.add([Held(attempt, execution_of(attempt), ended=True) for attempt in forgotten])
        for attempt in forgotten:
            self._recorder.put(self._ending(attempt, Outcome.stopped(StopReason.RELEASE, timeout=timedelta(0)), 0.0))
        if not lost:
            log.info("timeline_followed", timeline=timeline, given_back=len(forgotten))
            self._timeline = self._seen_timeline = timeline
            self._may_have_more = True

    def _begin(self, attempts: Sequence[Attempt]) -> None:
        """Hold the attempts and give them to the pool; without a lease they end as RELEASED before they begin."""
        batch = [Held(attempt, execution_of(attempt)) for attempt in attempts]
        self._held.add(batch)
        self._begun += len(batch)
        if not self.lease.running:
            for held in batch:
                held.execution.stop(StopReason.RELEASE, immediate=True)
        self._pool.submit(batch)

    def _rest(self) -> timedelta:
        if self._pool.backlog:
            return GROW_AFTER
        if self._seen_timeline != self._timeline:
            return FOLLOW_AGAIN
        if self._may_have_more and len(self._held) < self._slots:
            return timedelta(0)
        if self.options.burst:
            return settings.SCHEDULER.polling_interval
        return UNTIL_WOKEN

    @staticmethod
    def _idle_interval() -> timedelta:
        """Time between two beats of an idle worker. Without wake-ups only a beat tells it of what it was assigned."""
        interval: timedelta = settings.SCHEDULER.heartbeat_interval
        return interval if wakeups.enabled() else min(interval, wakeups.longest_rest())

    def _concerns_us(self, message: str) -> bool:
        words = message.split(",")
        everybody = "*" in words
        if everybody or f"!{self.id}" in words:
            self._heartbeat.hurry()
        if everybody or str(self.id) in words:
            self._may_have_more = True
            return True
        return False

    def _burst_is_over(self) -> bool:
        row = self._session.rows("anything_due", {"worker_id": self.id, "queues": self.options.registration.queues})
        return not row[0][0]

    # Executing (pool threads) and recording (recorder thread)

    def _execute(self, held: Held) -> None:
        began = time.monotonic()
        outcome = run_attempt(held.execution)
        held.ended = True
        self._recorder.put(self._ending(held.attempt, outcome, time.monotonic() - began))

    def _ending(self, attempt: Attempt, outcome: Outcome, duration_s: float) -> Ending:
        chance = random.random()  # noqa: S311 - jitter, not a secret
        return ending_of(attempt, outcome, duration_s, default=self._default_retries, chance=chance)

    def _ends_come_fast(self) -> bool:
        return self._rate.latest > FAST_ENDS and len(self._held) > 1

    def _recorded(self, endings: Sequence[Ending]) -> None:
        """Free the slots of recorded endings, and tell whoever waits for that."""
        was_full, self._was_full = self._was_full, False
        again = [ending for ending in endings if ending.next_status == TaskStatus.PENDING or ending.started.keyed]
        self._held.remove(ending.started for ending in endings)
        self._rate.add(len(endings))
        if was_full or again:
            only_new = not any(ending.started.keyed or ending.delay is None for ending in again)
            wakeups.notify_schedulers(self._recorder.session, only_new=only_new)
        if self._may_have_more or self.stopping or self.options.burst:
            self.pipe.wake()

    # Stopping

    def _watch(self) -> None:
        """The watchdog's look: deadlines, and the lease."""
        for held in self._held.past_deadline():
            if held.execution.stop_reason is None:
                held.execution.stop(StopReason.DEADLINE)
        if not self.fenced and not self.lease.running:
            self._fence()
        if self.fenced and not self._held.running():
            self._guardian.confirm_fenced()

    def _fence(self) -> None:
        """The lease is over: drop all work at once, never beat again, let the guardian start a new incarnation."""
        self.lease.end()
        self.fenced = True
        log.error("lease_ended", worker_id=str(self.id), running=len(self._held))
        self._heartbeat.close()
        self._held.stop_all(StopReason.RELEASE, immediate=True)
        self.pipe.wake()

    def _await_idle(self, end: float, *, until_signals: int) -> None:
        """Wait until nothing is held, the time is over, or the operator asks once more."""
        while self._held and (rest := end - time.monotonic()) > 0 and self.pipe.stop_requests < until_signals:
            self.pipe.wait(min(1.0, rest))

    def _hand_back(self, end: float) -> None:
        """Leave the ranks, and give back what was assigned but not started; tries until ``end``."""
        failures = 0
        while time.monotonic() < end and self.pipe.stop_requests < 2:
            try:
                heartbeats.begin_drain(self._session, self.id)
                assignment.hand_back_assigned(self._session, worker_id=self.id, reason="its worker drains")
                wakeups.notify_schedulers(self._session)
                return  # noqa: TRY300
            except DatabaseAway:
                failures += 1
                self.pipe.wait(backoff(failures))

    def _leave(self) -> None:
        """Deregister: STOPPED when nothing is owned any more, DEAD otherwise, and say so.

        Not while work still runs, which then ends with this process: others would begin it before that.
        """
        self._pool.close()
        self._recorder.close()
        if self._recorder.is_alive() and not self._held:
            self._recorder.join(timeout=5)
        self._heartbeat.close()
        self._watchdog.close()
        if not self._known:  # told to stop before there was a database
            return
        self._unfinished = bool(self._held.running())
        if not self._unfinished:
            mark = heartbeats.mark_dead if self.fenced or self._held else heartbeats.mark_stopped
            with contextlib.suppress(DatabaseAway):
                mark(self._session, self.id)
        wakeups.notify_schedulers(self._session)
        self._report_end()

    def _report_end(self) -> None:
        uptime, ended = time.monotonic() - self._started_at, self._recorder.recorded
        name = self.options.registration.name
        if self.fenced or self._held:
            reason = "its lease ended" if self.fenced else f"{len(self._held)} tasks did not end in time"
            signals.worker_lost.send_robust(
                type(self), worker_id=self.id, name=name, host=self.options.registration.host, reason=reason
            )
        else:
            signals.worker_stopped.send_robust(type(self), worker_id=self.id, name=name, uptime_s=uptime, ended=ended)
