"""A scheduler: assigns due tasks, and keeps house. Any number may run; none of them leads.

The main thread fires the schedules that are due, surveys what waits and makes assignment passes, then sleeps until a
wake-up, the next due time or the poll interval. The housekeeper, a thread of its own, makes a round every detection
interval: one statement says which chores have something to do. While surveys do not look at everything, it does so
instead, twice in a poll interval. Connections: assign, housekeeping, listen.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import psutil
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff, kind_of, leaves_reads, short
from flow_app import assignment
from flow_app.outlook import Outlook
from flow_app.survey import Survey, find_overlooked, survey_due
from schedules_app import firing
from schedules_app.retention import delete_old_fires
from tasks_app import retention, signals, wakeups
from tasks_app.expiry import expire_tasks
from tasks_app.floors import SCHEDULERS_FORGET_AFTER, Floors
from tasks_app.sessions import BATCH, Session
from workers_app import lease, recovery
from workers_app.processes.base import Process
from workers_app.processes.wakeups import Listener
from workers_app.stop_signals import SelfPipe

log = structlog.get_logger(__name__)

#: A head that falls due within less is due.
SHORTEST_REST: Final = 0.0005
#: Passes made without a new survey while each of them assigns as many as it may.
PASSES_PER_SURVEY: Final = 20
#: Seconds for which what was due is taken to be due again, so that a wake-up is answered by a pass without a survey.
RECENT: Final = 0.1
#: Seconds until due schedules are looked at again that are in other hands, or after a pass over them failed.
FIRE_AGAIN: Final = 0.05
FAILED_FIRE_AGAIN: Final = 1.0
STATS_EVERY: Final = timedelta(minutes=1)
RETENTION_EVERY: Final = timedelta(minutes=1)
IDLE_KEYS_EVERY: Final = timedelta(seconds=10)
ZONES_EVERY: Final = timedelta(minutes=1)
PRUNE_EVERY: Final = timedelta(minutes=5)
#: How long an ended process stays in the tables, for people to see.
PRUNE_AFTER: Final = timedelta(hours=24)


class Scheduler(Process):
    """The assigning half. `once` does one round of everything due."""

    def __init__(self) -> None:
        pipe = SelfPipe()
        super().__init__(Listener(wakeups.SCHEDULERS, pipe, self._hear), pipe)
        self.id = uuid4()
        # A frozen scheduler must not hold the pass, nor the rows it locked, longer than this.
        self._session = Session("scheduler", idle_in_transaction_session_timeout="2000")
        self._outlook = Outlook()
        self._housekeeper = Housekeeper(self.id, self._stats, self._outlook, pipe)
        self._passes = self._assigned = self._fired = 0
        #: By the monotonic clock: when the next schedule is due, and before when none is looked at.
        self._fire_at, self._fire_not_before = float("inf"), 0.0
        self._fire_fails = False
        self._recent: Survey | None = None
        self._recent_until = 0.0

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        identity = {"scheduler_id": self.id, "host": socket.gethostname(), "pid": os.getpid()}
        signals.scheduler_started.send_robust(type(self), **identity)
        self._housekeeper.start()
        try:
            yield
        finally:
            self._housekeeper.close()
            signals.scheduler_stopped.send_robust(type(self), **identity)

    def tick(self) -> timedelta:
        """Fire what is due, assign until nothing more can be, and answer how long to rest."""
        if time.monotonic() >= self._fire_at:
            self._fire()
        rest = self._assign_due()
        return min(rest, timedelta(seconds=min(86_400.0, max(0.0, self._fire_at - time.monotonic()))))

    def _hear(self, message: str) -> bool:
        """Every message wakes a scheduler; one that tells of more than new tasks and room, to look at everything."""
        if message != wakeups.NEW:
            self._outlook.pairs.doubt()
        return True

    def _fire(self) -> None:
        """Make one pass over due schedules. Whatever is wrong with it, due tasks must be assigned."""
        self._recent = None  # the survey behind the pass sees its tasks, and when the next schedule is due
        self._outlook.pairs.doubt()
        try:
            report = firing.fire_due(self._session)
        except DatabaseAway:
            raise
        except Exception:
            if not self._fire_fails:
                log.exception("firing_failed")
            self._fire_fails, self._fire_not_before = True, time.monotonic() + FAILED_FIRE_AGAIN
            return
        self._fire_fails = False
        self._fire_not_before = 0.0 if report.schedules else time.monotonic() + FIRE_AGAIN
        self._fired += report.tasks
        if report.stop:
            wakeups.notify_stops(self._session, report.stop)

    def _assign_due(self) -> timedelta:
        """Assign until nothing more can be, and answer how long to rest: until woken, without room for more."""
        interval = wakeups.longest_rest()
        if self._recent is not None and time.monotonic() < self._recent_until:
            report = self._assign(self._recent)
            if report.out_of_room and len(self._recent.classes) == 1:
                return timedelta(seconds=max(0.0, self._recent_until - time.monotonic()))
            if not report.moved:
                self._recent = None
        survey = self._survey()
        if survey.has_due:
            self._recent, self._recent_until = survey, time.monotonic() + RECENT
            report = self._assign(survey)
            if report.moved and not report.out_of_room:
                return timedelta(0)
            # Out of room, another scheduler makes the pass, or all that is due is locked: somebody will wake us.
        due_in = survey.next_due_in
        return interval if due_in is None else min(interval, timedelta(seconds=max(due_in, SHORTEST_REST)))

    def _survey(self) -> Survey:
        """What is waiting, and when the next schedule is due: one trip for both."""
        survey = survey_due(self._session, beside=firing.NEXT_DUE, outlook=self._outlook)
        [due_in] = survey.beside
        due_at = float("inf") if due_in is None else time.monotonic() + due_in
        self._fire_at = max(due_at, self._fire_not_before)
        return survey

    def _assign(self, survey: Survey) -> assignment.PassReport:
        """Make passes over what a survey found while they are as large as they may be; answer the last one."""
        for _ in range(PASSES_PER_SURVEY):
            report = assignment.assign_due_tasks(self._session, survey, outlook=self._outlook)
            self._passes += 1
            self._assigned += report.assigned
            if report.wake:
                wakeups.notify_workers(self._session, report.wake)
            if report.assigned < assignment.MAX_BATCH:
                break
        return report

    def once(self) -> dict[str, int]:
        """One round of everything due: recovery and expiry, then schedules, and what can be assigned."""
        report = recovery.recover_system(actor="runscheduler --once", pipe=self.pipe)
        expired = _until_short(expire_tasks, self._session)
        _follow_zone_rules(self._session)
        while self.tick() == timedelta(0) and not self.stopping:
            pass
        deleted = _delete_ended_tasks(self._session)
        _delete_old_fires(self._session)
        recovered = report.handed_back + report.retried + report.failed + report.cancelled
        done = {"recovered": recovered, "expired": expired, "fired": self._fired}
        return done | {"assigned": self._assigned, "deleted": deleted}

    def _stats(self) -> dict[str, float]:
        rss = psutil.Process().memory_info().rss
        counts = {"passes": self._passes, "assigned": self._assigned, "fired": self._fired}
        return {**counts, "rss_mb": round(rss / 2**20)}


@dataclass(slots=True)
class Chore:
    """A statement that is run every ``interval``; ``step`` answers how many rows it changed."""

    event: str
    interval: timedelta
    step: Callable[[Session], int]
    due_at: float = 0.0


class Seen(NamedTuple):
    """What a round found: live workers, their beats and next floors, and which chores have something to do."""

    workers: list[UUID]
    beats: list[int]
    floors: list[str]
    has_lost_tasks: bool
    has_expired_tasks: bool
    has_stale_assignments: bool


class Housekeeper(threading.Thread):
    """Rounds of recovery, expiry and hand-back, and slower chores; each step is one statement of its own."""

    def __init__(
        self, scheduler_id: UUID, read_stats: Callable[[], dict[str, float]], outlook: Outlook, pipe: SelfPipe
    ) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._read_stats = read_stats
        self._outlook = outlook
        self._pipe = pipe
        self._session = Session("housekeeper", direct=True)
        self._floors = Floors(SCHEDULERS_FORGET_AFTER)
        config = settings.SCHEDULER
        self._watches_locks = config.fast_death_enabled
        self._detector = recovery.FailureDetector(
            config.heartbeat_timeout, shortcut=config.heartbeat_interval * 2 if self._watches_locks else None
        )
        self._closed = threading.Event()
        self._failures, self._told = 0, False
        self._idle_keys_after: tuple[str, str] = ("", "")
        self._identity = {
            "scheduler_id": scheduler_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": settings.VERSION,
        }
        self._chores = [
            Chore("ended_tasks_deleted", RETENTION_EVERY, _delete_ended_tasks),
            Chore("old_fires_deleted", RETENTION_EVERY, _delete_old_fires),
            Chore("zone_rules_followed", ZONES_EVERY, _follow_zone_rules),
            Chore("idle_keys_released", IDLE_KEYS_EVERY, self._release_idle_keys),
            Chore("ended_processes_pruned", PRUNE_EVERY, _prune_processes),
            Chore("stats", STATS_EVERY, self._tell_stats),
        ]

    def close(self) -> None:
        """Finish the round, say goodbye, end."""
        self._closed.set()
        self.join(timeout=10)
        with contextlib.suppress(DatabaseAway):
            self._session.execute(
                "UPDATE scheduler_heartbeats SET stopped_at = now() WHERE scheduler_id = %s",
                [self._identity["scheduler_id"]],
            )
        self._session.close()

    def run(self) -> None:
        while not self._closed.wait(self._guarded_round()):
            pass

    def round(self) -> None:
        """Look once, and do what there is to do. Raises `DatabaseAway`."""
        if find_overlooked(self._session, self._outlook):
            self._pipe.wake()
        floors = self._floors.current(self._session)
        parameters = self._identity | {"stale_after": assignment.STALE_AFTER.total_seconds()}
        parameters |= {"workers": list(floors), "floors": list(floors.values())}
        [seen] = self._session.rows("look_round", parameters, of=Seen)
        self._floors.note(zip(seen.workers, seen.floors, strict=True))
        marked = self._mark_silent_workers(dict(zip(seen.workers, seen.beats, strict=True)))
        changed = 0
        if seen.has_lost_tasks or marked:
            changed += self._recover()
        if seen.has_expired_tasks:
            changed += _logged("tasks_expired", _until_short(expire_tasks, self._session))
        if seen.has_stale_assignments:
            changed += _logged("assignments_handed_back", _until_short(assignment.hand_back_stale, self._session))
        for chore in self._chores:
            if time.monotonic() >= chore.due_at:
                chore.due_at = time.monotonic() + chore.interval.total_seconds()
                changed += _logged(chore.event, chore.step(self._session))
        if changed:
            wakeups.notify_schedulers(self._session)

    def _guarded_round(self) -> float:
        """One round; how many seconds to rest after it, whatever happened in it."""
        interval: float = settings.SCHEDULER.failure_detection_interval.total_seconds()
        try:
            self.round()
        except DatabaseAway as error:
            self._failures += 1
            if leaves_reads(error) and not self._told:  # the main thread may do nothing but read for long
                log.warning("database_away", part="housekeeping", kind=kind_of(error), error=short(error))
                self._told = True
            return min(interval, backoff(self._failures))
        except Exception:
            # A defect in one chore must not end failure detection for good.
            log.exception("housekeeping_failed")
            return interval
        self._failures, self._told = 0, False
        return min(interval, self._outlook.pairs.rest)

    def _mark_silent_workers(self, beats: dict[UUID, int]) -> list[UUID]:
        locks = recovery.held_locks(self._session, beats) if self._watches_locks else []
        silent = self._detector.observe(beats, epoch=self._session.epoch, now=lease.now(), holders=locks)
        return recovery.mark_silent_workers(self._session, silent)

    def _recover(self) -> int:
        rows = recovery.recover_lost_tasks(self._session)
        if rows:
            scheduler_id = self._identity["scheduler_id"]
            signals.tasks_recovered.send_robust(type(self), scheduler_id=scheduler_id, rows=rows)
        return len(rows)

    def _tell_stats(self, _: Session) -> int:
        scheduler_id, stats = self._identity["scheduler_id"], self._read_stats()
        signals.process_stats.send_robust(type(self), role="scheduler", process_id=scheduler_id, stats=stats)
        return 0

    def _release_idle_keys(self, session: Session) -> int:
        last = assignment.release_idle_keys(session, after=self._idle_keys_after)
        self._idle_keys_after = (last.queue, last.concurrency_key)
        return last.released


def _delete_ended_tasks(session: Session) -> int:
    return _until_short(retention.delete_ended_tasks, session)


def _delete_old_fires(session: Session) -> int:
    return _until_short(delete_old_fires, session)


def _follow_zone_rules(session: Session) -> int:
    return _until_short(firing.follow_zone_rules, session)


def _until_short(step: Callable[[Session], int], session: Session) -> int:
    """Repeat a batched step until a batch is not full; answer the sum."""
    total = 0
    while True:
        count = step(session)
        total += count
        if count < BATCH:
            return total


def _prune_processes(session: Session) -> int:
    rows = session.rows("prune_processes", {"age": PRUNE_AFTER.total_seconds()})
    return int(rows[0][0])


def _logged(event: str, count: int) -> int:
    if count:
        log.info(event, count=count)
    return count
