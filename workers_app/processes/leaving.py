"""How a worker leaves: it drains, gives back what is not its own any more, and says its last words; or it is fenced.

Threads: the main one drains and says goodbye. `fence` may come from any: from the watchdog when the lease ends, from
the heartbeat when the database says that this incarnation is dead, from the main one when it meets a former primary.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import Final

import structlog

from access_app.database_faults import DatabaseAway, backoff
from flow_app import assignment
from tasks_app import signals, wakeups
from tasks_app.executors.base import StopReason
from tasks_app.sessions import Session
from workers_app import heartbeats
from workers_app.heartbeats import Registration
from workers_app.lease import Lease
from workers_app.processes.executing import Executing
from workers_app.processes.guardian_link import FENCED, UNFINISHED
from workers_app.stop_signals import SelfPipe

log = structlog.get_logger(__name__)

#: Seconds of the grace kept for stopping what has not ended by itself: TERM, 5 s, KILL, and a write.
STOP_RESERVE: Final = 6.5


class Leaving:
    """``fenced`` says whether the lease ended first; then nobody else runs this work before it is dead."""

    def __init__(
        self,
        session: Session,
        registration: Registration,
        lease: Lease,
        executing: Executing,
        pipe: SelfPipe,
        *,
        grace: timedelta,
    ) -> None:
        self.fenced = False
        self._session = session
        self._registration = registration
        self._lease = lease
        self._executing = executing
        self._pipe = pipe
        self._grace = grace.total_seconds()
        self._unfinished = False
        self._started_at = time.monotonic()

    @property
    def exit_status(self) -> int:
        """What the guardian goes by, once the last words are said."""
        return FENCED if self.fenced else UNFINISHED if self._unfinished else 0

    def fence(self) -> None:
        """The lease is over: drop all work at once, and let the guardian start a new incarnation."""
        self._lease.end()
        self.fenced = True
        held = self._executing.held
        log.error("lease_ended", worker_id=str(self._registration.worker_id), running=len(held))
        held.stop_all(StopReason.RELEASE, immediate=True)
        self._pipe.wake()

    def drain(self, *, registered: bool) -> None:
        """Stop taking; let running work end within the grace; stop and give back the rest, once it is seen dead."""
        held, pipe = self._executing.held, self._pipe
        worker_id = str(self._registration.worker_id)
        log.info("worker_draining", worker_id=worker_id, running=len(held), fenced=self.fenced)
        end = time.monotonic() + self._grace
        if not self.fenced and registered:
            self._hand_back(end)
            self._await_idle(end - min(STOP_RESERVE, self._grace / 2), until_signals=2)
        held.stop_all(StopReason.RELEASE, immediate=self.fenced or pipe.stop_requests > 1)
        self._await_idle(max(end - 1, time.monotonic() + 0.5), until_signals=2)
        held.stop_all(StopReason.RELEASE, immediate=True)
        self._await_idle(time.monotonic() + 2, until_signals=3)
        while self.fenced and held and self._executing.recorder.is_alive() and not pipe.stop_requests:
            pipe.wait(1.0)  # nobody else runs this work: there is time to say how it ended

    def deregister(self) -> None:
        """Become STOPPED when nothing is owned any more, DEAD otherwise, and say so.

        Not while work still runs, which then ends with this process: others would begin it before that.
        """
        worker_id = self._registration.worker_id
        self._unfinished = bool(self._executing.held.running())
        if not self._unfinished:
            mark = heartbeats.mark_dead if self._is_lost else heartbeats.mark_stopped
            with contextlib.suppress(DatabaseAway):
                mark(self._session, worker_id)
        wakeups.notify_schedulers(self._session)
        self._report_end()

    @property
    def _is_lost(self) -> bool:
        return self.fenced or len(self._executing.held) > 0

    def _await_idle(self, end: float, *, until_signals: int) -> None:
        """Wait until nothing is held, the time is over, or the operator asks once more."""
        held, pipe = self._executing.held, self._pipe
        while held and (rest := end - time.monotonic()) > 0 and pipe.stop_requests < until_signals:
            pipe.wait(min(1.0, rest))

    def _hand_back(self, end: float) -> None:
        """Leave the ranks, and give back what was assigned but not started; tries until ``end``."""
        worker_id, failures = self._registration.worker_id, 0
        while time.monotonic() < end and self._pipe.stop_requests < 2:
            try:
                heartbeats.begin_drain(self._session, worker_id)
                assignment.hand_back_assigned(self._session, worker_id=worker_id, reason="its worker drains")
                wakeups.notify_schedulers(self._session)
                return  # noqa: TRY300
            except DatabaseAway:
                failures += 1
                self._pipe.wait(backoff(failures))

    def _report_end(self) -> None:
        who = self._registration
        if self._is_lost:
            reason = "its lease ended" if self.fenced else f"{len(self._executing.held)} tasks did not end in time"
            signals.worker_lost.send_robust(
                type(self), worker_id=who.worker_id, name=who.name, host=who.host, reason=reason
            )
        else:
            uptime, ended = time.monotonic() - self._started_at, self._executing.recorder.recorded
            signals.worker_stopped.send_robust(
                type(self), worker_id=who.worker_id, name=who.name, uptime_s=uptime, ended=ended
            )
