"""How a worker starts what is assigned to it: as many as it has free slots, on the timeline of the database it knows.

Threads: the main one takes steps and owns the session. What other threads hear that bears on the next step they leave
as a hint: `hear` is the heartbeat's, `look_again` anybody's. What is started is executed in ``executing.py``.
"""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID

import psycopg
import structlog

from access_app.database_faults import DatabaseAway
from tasks_app import wakeups
from tasks_app.executors.base import StopReason
from tasks_app.floors import LOWERED_BY_BEATS, Floors
from tasks_app.sessions import Session
from tasks_app.starting import Attempt, adopt_running, start_assigned
from workers_app import heartbeats
from workers_app.heartbeats import BeatReply
from workers_app.lease import Lease
from workers_app.processes.executing import Executing
from workflows_app.callbacks.signing import seal

log = structlog.get_logger(__name__)

#: Most attempts one statement starts.
MAX_START: Final = 500


class Starter:
    """Knows whether there may be more to start, and whether the last start left something unknown behind."""

    def __init__(self, session: Session, worker_id: UUID, lease: Lease, executing: Executing) -> None:
        self.session = session
        #: The timeline on which attempts are started; empty until the worker is registered.
        self.timeline = ""
        self.may_have_more = True
        #: Since when the main thread has been in a step; None between two steps.
        self.stepping_since: float | None = None
        self._worker_id = worker_id
        self._lease = lease
        self._executing = executing
        self._floors = Floors(LOWERED_BY_BEATS)
        self._heard_timeline = ""
        #: Beats in a row by which more runs here than is held; above 1, it is looked for.
        self._missing = 0
        self._ended_before = 0

    @property
    def timeline_changed(self) -> bool:
        return self._heard_timeline != self.timeline

    # Main thread

    def begin_on(self, timeline: str) -> None:
        """Start on this timeline of the database from now on."""
        self.timeline = self._heard_timeline = timeline
        self.may_have_more = True

    def step(self) -> bool:
        """Start what is assigned; False when that is over for good, because the database is a former primary.

        Raises `DatabaseAway`, and whatever the database refuses.
        """
        self.stepping_since = time.monotonic()
        try:
            self._executing.pool.grow()
            if self.timeline_changed:
                return self._follow_timeline()
            if self._missing > 1:
                self._adopt()
            self._start()
            return True
        finally:
            self.stepping_since = None

    def _start(self) -> None:
        executing = self._executing
        free = executing.free_slots()
        if free <= 0 or not self.may_have_more or not self._lease.running:
            return
        limit = min(free, MAX_START)
        ended = executing.ended_slots
        occupied = executing.slots - free + ended - self._ended_before
        self._ended_before = ended
        self.may_have_more = False
        try:
            attempts = start_assigned(
                self.session, worker_id=self._worker_id, limit=limit, timeline=self.timeline, floors=self._floors
            )
            sealed = seal(self.session, attempts)
        except DatabaseAway:
            self.may_have_more = True
            self._missing = 2  # some may have been started all the same: look for them before the next start
            raise
        except psycopg.Error:
            self.may_have_more = True
            self._missing = 2
            raise
        # Before they begin: the first may be recorded before the last has begun.
        started = sum(attempt.slots for attempt in attempts)
        if started == limit:
            self.may_have_more = True
            executing.note_full()
        executing.begin(attempts, sealed)
        if started == limit:
            return
        if executing.take_untold() or (attempts and occupied + started >= executing.slots):
            # The pass that assigned these may still have counted what had ended meanwhile, and found us full.
            wakeups.notify_schedulers(self.session, only_new=True)

    def _adopt(self) -> None:
        attempts = self._started_unknown(self.timeline)
        self._missing = 0
        if attempts:
            log.warning("starts_adopted", count=len(attempts))
            self._executing.begin(attempts, seal(self.session, attempts))

    def _started_unknown(self, timeline: str) -> list[Attempt]:
        """What the database says runs here although it is not held."""
        held = self._executing.held.task_ids()
        return adopt_running(self.session, worker_id=self._worker_id, held=held, timeline=timeline)

    def _follow_timeline(self) -> bool:
        """The database is on another timeline, a promoted standby's: start there once both agree on what runs here.

        A standby that lagged behind has lost what the old primary acknowledged last. What is held but unknown there is
        dropped, and until it is gone nothing starts, because its fence may be given out again. What runs there in our
        name but is not held may have ended before, and that was lost: it is given back as begun. The rest goes on.
        """
        held = self._executing.held
        timeline, lost = heartbeats.compare_held(self.session, self._worker_id, held=held.fences())
        if timeline < self.timeline:  # a former primary that still takes writes
            log.error("timeline_behind", worker_id=str(self._worker_id), timeline=timeline, newest=self.timeline)
            return False
        for task_id in lost:
            held.stop(task_id, StopReason.RELEASE, immediate=True)
        forgotten = self._started_unknown(timeline)
        self._executing.give_back(forgotten)
        if not lost:
            log.info("timeline_followed", timeline=timeline, given_back=len(forgotten))
            self.begin_on(timeline)
        return True

    # Any thread

    def look_again(self) -> None:
        """Something may have been assigned: ask the database in the next step."""
        self.may_have_more = True

    # The heartbeat's thread

    def hear(self, reply: BeatReply) -> bool:
        """Take what a beat says about what is assigned and running; whether the main thread has to wake up for it."""
        if reply.timeline != self._heard_timeline:
            log.warning("timeline_changed", timeline=reply.timeline, was=self.timeline, dropped=len(reply.drops))
            self._heard_timeline = reply.timeline
        # A start whose reply was lost shows as RUNNING rows beyond what is held, twice in a row.
        self._missing = self._missing + 1 if reply.running > len(self._executing.held) else 0
        if reply.unstarted is not None:
            self._floors.lower(self._worker_id, reply.unstarted)
        wake = bool(reply.assigned and not self.may_have_more) or self._missing > 1 or self.timeline_changed
        if wake:
            self.may_have_more = True
        return wake
