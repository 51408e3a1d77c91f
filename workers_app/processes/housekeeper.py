"""A scheduler's housekeeper: notices the dead, moves their tasks on, expires, takes back, and does the slow chores.

A thread and a connection of its own make a round every detection interval: one statement says what there is to do.
While the scheduler's surveys do not look at everything, it does so instead, twice in a poll interval. While nothing is
due, a round is every second survey as well.
What is done by the clock alone is in ``chores.py``; who is dead is ``workers_app/recovery.py``'s matter.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff, kind_of, leaves_reads, short
from flow_app import assignment
from flow_app.outlook import Outlook
from flow_app.survey import find_overlooked, may_rest_on, send_survey
from schedules_app import firing
from tasks_app import signals, wakeups
from tasks_app.floors import SCHEDULERS_FORGET_AFTER, Floors
from tasks_app.sessions import Session
from workers_app import lease, recovery
from workers_app.processes import chores
from workers_app.processes.bulk import BulkRunner
from workers_app.processes.chores import Chore, logged
from workers_app.stop_signals import SelfPipe

log = structlog.get_logger(__name__)

STATS_EVERY: Final = timedelta(minutes=1)
#: Of the interval, while the scheduler is calm: the round comes just before a survey that would be due with it.
EARLY: Final = 0.97


class Seen(NamedTuple):
    """What a round found: live workers, their beats and next floors, and which chores have something to do."""

    workers: list[UUID]
    beats: list[int]
    floors: list[str]
    has_lost_tasks: bool
    has_expired_tasks: bool
    has_stale_assignments: bool
    has_ended_parents: bool
    has_bulk_operations: bool
    has_late_approvals: bool


class Housekeeper(threading.Thread):
    """Rounds of recovery, expiry and hand-back, and slower chores; each step is one statement of its own."""

    def __init__(
        self, scheduler_id: UUID, read_stats: Callable[[], dict[str, float]], outlook: Outlook, pipe: SelfPipe
    ) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._read_stats = read_stats
        self._outlook = outlook
        self._pipe = pipe
        # One that is frozen in a round over ends must not keep a task that runs from being recorded for longer.
        self._session = Session("housekeeper", direct=True, idle_in_transaction_session_timeout="2000")
        self._floors = Floors(SCHEDULERS_FORGET_AFTER)
        config = settings.SCHEDULER
        self._watches_locks = config.fast_death_enabled
        self._detector = recovery.FailureDetector(
            config.heartbeat_timeout, shortcut=config.heartbeat_interval * 2 if self._watches_locks else None
        )
        self._interval: float = config.failure_detection_interval.total_seconds()
        self._closed = threading.Event()
        self._bulk = BulkRunner()
        self._failures, self._logged = 0, False
        self._identity = {
            "scheduler_id": scheduler_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": settings.VERSION,
        }
        self._chores = [*chores.slow_chores(outlook), Chore("stats", STATS_EVERY, self._report_stats)]

    def close(self) -> None:
        """Finish the round, say goodbye, end."""
        self._closed.set()
        self.join(timeout=10)
        self._bulk.close()
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
        seen = self._look_round()
        self._floors.note(zip(seen.workers, seen.floors, strict=True))
        marked = self._mark_silent_workers(dict(zip(seen.workers, seen.beats, strict=True)))
        changed = 0
        if seen.has_lost_tasks or marked:
            changed += self._recover()
        if seen.has_expired_tasks:
            changed += logged("tasks_expired", chores.expire_tasks(self._session))
        if seen.has_stale_assignments:
            changed += logged("assignments_handed_back", chores.hand_back_stale(self._session))
        if seen.has_ended_parents:
            changed += logged("endings_settled", chores.settle_endings(self._session))
        if seen.has_late_approvals:
            changed += logged("approvals_timed_out", chores.time_out_approvals(self._session))
        if seen.has_bulk_operations:
            self._bulk.wake()
        changed += sum(chore.do_when_due(self._session, time.monotonic()) for chore in self._chores)
        if changed:
            wakeups.notify_schedulers(self._session)

    def _look_round(self) -> Seen:
        """Make the round, and in the same trip the survey that a calm scheduler would make before the next one."""
        floors = self._floors.current(self._session)
        parameters = self._identity | {"stale_after": assignment.STALE_AFTER.total_seconds()}
        parameters |= {"workers": list(floors), "floors": list(floors.values())}
        began, calm = time.monotonic(), self._outlook.calm_ending(within=self._interval)
        try:
            with self._session.connection.pipeline():
                round_made = self._session.send("look_round", parameters, of=Seen)
                sent = send_survey(self._session, beside=firing.NEXT_DUE) if calm else None
            if calm and sent and may_rest_on(sent, calm):
                calm.postpone(began)
            seen: Seen = round_made.fetchall()[0]
        except psycopg.Error as error:
            self._session.fail(error)
        return seen

    def _guarded_round(self) -> float:
        """One round; how many seconds to rest after it, whatever happened in it."""
        interval = self._interval
        try:
            self.round()
        except DatabaseAway as error:
            self._failures += 1
            if leaves_reads(error) and not self._logged:  # the main thread may do nothing but read for long
                log.warning("database_away", part="housekeeping", kind=kind_of(error), error=short(error))
                self._logged = True
            return min(interval, backoff(self._failures))
        except Exception:
            # A defect in one chore must not end failure detection for good.
            log.exception("housekeeping_failed")
            return interval
        self._failures, self._logged = 0, False
        if self._outlook.calm:
            interval *= EARLY
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

    def _report_stats(self, _: Session) -> int:
        scheduler_id, stats = self._identity["scheduler_id"], self._read_stats()
        signals.process_stats.send_robust(type(self), role="scheduler", process_id=scheduler_id, stats=stats)
        return 0
