"""A scheduler: assigns due tasks, and keeps house. Any number may run; none of them leads.

The main thread fires the schedules that are due, surveys what waits and makes assignment passes, then sleeps until a
wake-up, the next due time or the poll interval. The housekeeper is a thread of its own (``housekeeper.py``).
Connections: assign, housekeeping, listen.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import uuid4

import psutil
import structlog

from access_app.database_faults import DatabaseAway
from flow_app import assignment, opening
from flow_app.outlook import Calm, Outlook
from flow_app.survey import Survey, survey_due
from schedules_app import firing
from tasks_app import signals, wakeups
from tasks_app.retention import Retention
from tasks_app.sessions import Session
from workers_app import recovery
from workers_app.processes import bulk, chores
from workers_app.processes.base import Process
from workers_app.processes.housekeeper import Housekeeper
from workers_app.processes.wakeups import Listener
from workers_app.stop_signals import SelfPipe
from workflows_app import endings

log = structlog.get_logger(__name__)

#: Seconds until ended tasks are looked at again whose dependents somebody held, the first time and each later one: most
#: hold them no longer than a statement takes. And most rounds between two passes.
SETTLE_SOON: Final = 0.005
SETTLE_AGAIN: Final = 0.05
MOST_ROUNDS: Final = 20
#: A head that falls due within less is due.
SHORTEST_REST: Final = 0.0005
#: Passes made without a new survey while each of them assigns as many as it may.
PASSES_PER_SURVEY: Final = 20
#: Seconds for which what was due is taken to be due again, so that a wake-up leads to a pass without a survey.
RECENT: Final = 0.1
#: Seconds until due schedules are looked at again that are in other hands, or after a pass over them failed.
FIRE_AGAIN: Final = 0.05
FAILED_FIRE_AGAIN: Final = 1.0


class Scheduler(Process):
    """The assigning half. `once` does one round of everything due."""

    def __init__(self) -> None:
        pipe = SelfPipe()
        super().__init__(Listener(wakeups.SCHEDULERS, pipe, self._hear), pipe)
        self.id = uuid4()
        # One that is frozen while it fires must not keep its schedules longer than this. In a pass, behind a pipeline,
        # the timer does not run: see `_watch_pass`.
        self._session = Session("scheduler", idle_in_transaction_session_timeout="2000")
        self._outlook = Outlook()
        self._housekeeper = Housekeeper(self.id, self._stats, self._outlook, pipe)
        self._passes = self._assigned = self._fired = 0
        #: By the monotonic clock: when the next schedule is due, and before when none is looked at.
        self._fire_at, self._fire_not_before = float("inf"), 0.0
        self._fire_fails = False
        #: Whether tasks may have ended whose dependents do not know of it, and whether somebody held all of these.
        self._ended, self._held = True, False
        self._recent: Survey | None = None
        self._recent_until = 0.0
        #: Since when each pass that was tried was made by another scheduler, by the monotonic clock.
        self._elsewhere_since = float("inf")
        self._new: set[wakeups.Pair] = set()

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
        """Fire what is due, assign until nothing more can be, and return how long to rest."""
        if time.monotonic() >= self._fire_at:
            self._outlook.calm = None
            self._fire()
        settle_in = self._settle()
        new, self._new = self._new, set()
        rest = self._assign_new(new) if new else self._postponed_rest()
        if rest is None:
            rest = self._assign_due()
        fire_in = max(0.0, self._fire_at - time.monotonic())
        return min(rest, timedelta(seconds=min(86_400.0, fire_in, settle_in)))

    def _hear(self, message: str) -> bool:
        """Every message wakes a scheduler; one about more than new tasks and room, to look at everything."""
        if pairs := wakeups.pairs_in(message):
            self._new |= pairs
            return True
        self._outlook.calm = None
        if message != wakeups.NEW:
            self._ended = True
            if message != wakeups.ENDED:
                self._outlook.pairs.doubt()
                self._outlook.frozen = True
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

    def _settle(self) -> float:
        """Let dependents know of what has ended, if anything may have; return in how many seconds to do so again."""
        if not self._ended:
            return float("inf")
        for _ in range(MOST_ROUNDS):
            report = endings.settle_endings(self._session)
            if report.opened or report.told:
                self._outlook.calm = None
            if report.told:
                self._outlook.pairs.doubt()
            if not report.moved:
                break
        held_before, self._held = self._held, report.left and not report.moved
        self._ended = report.left
        if self._held:
            return SETTLE_AGAIN if held_before else SETTLE_SOON
        return 0.0 if report.left else float("inf")

    def _postponed_rest(self) -> timedelta | None:
        """How long to rest yet, when the housekeeper has made the survey that was due; None: look at what is due."""
        calm = None if self._outlook.opens_gates else self._outlook.calm  # somebody has to open the gates
        return calm.rest if calm is not None and calm.postponed and calm.holds(self._outlook.pairs) else None

    def _assign_new(self, new: set[wakeups.Pair]) -> timedelta | None:
        """Assign what hints name, while nothing else is due; how long to rest, or None: look at what is due."""
        calm, self._outlook.calm = self._outlook.calm, None
        if calm is None or not calm.holds(self._outlook.pairs):
            return None
        heads = self._outlook.pairs.heads_of(self._session, new)
        if not self._assign(Survey(heads, calm.classes, shared=calm.shared)).took_all:
            return None
        self._outlook.calm = calm
        return calm.rest

    def _assign_due(self) -> timedelta:
        """Assign until nothing more can be, and return how long to rest: until woken, without room for more."""
        interval = wakeups.longest_rest()
        if self._recent is not None and time.monotonic() < self._recent_until:
            report = self._assign(self._recent)
            if report.out_of_room and len(self._recent.classes) == 1:
                return timedelta(seconds=max(0.0, self._recent_until - time.monotonic()))
            if not report.moved:
                self._recent = None
        began = time.monotonic()
        opens_in = opening.open_known(self._session, self._outlook)
        survey = self._survey()
        due_in = min(opens_in, float("inf") if survey.next_due_in is None else survey.next_due_in)
        rest = min(interval, timedelta(seconds=min(86_400.0, max(due_in, SHORTEST_REST))))
        if survey.has_due:
            self._recent, self._recent_until = survey, time.monotonic() + RECENT
            report = self._assign(survey)
            if report.took_all:
                self._recent = None  # the next survey sees whether there is more
            if report.moved and not report.out_of_room:
                return timedelta(0)
            # Out of room, another scheduler makes the pass, or all that is due is locked: somebody will wake us.
        else:
            self._outlook.calm = Calm(survey.classes, began, began + rest.total_seconds(), survey.shared)
        return rest

    def _survey(self) -> Survey:
        """What is waiting, and when the next schedule is due: one trip for both."""
        survey = survey_due(self._session, beside=firing.NEXT_DUE, outlook=self._outlook)
        [due_in] = survey.beside
        due_at = float("inf") if due_in is None else time.monotonic() + due_in
        self._fire_at = max(due_at, self._fire_not_before)
        return survey

    def _assign(self, survey: Survey) -> assignment.PassReport:
        """Make passes over what a survey found while they are as large as they may be; return the last one."""
        for _ in range(PASSES_PER_SURVEY):
            report = assignment.assign_due_tasks(self._session, survey, outlook=self._outlook)
            self._passes += 1
            self._assigned += report.assigned
            self._watch_pass(held=report.held)
            if report.assigned < assignment.MAX_BATCH:
                break
        return report

    def _watch_pass(self, *, held: bool) -> None:
        """When others have had the pass each time for long, look whether one of them froze in it."""
        now = time.monotonic()
        if held:
            self._elsewhere_since = float("inf")
        elif now - self._elsewhere_since >= assignment.FROZEN_AFTER.total_seconds():
            self._elsewhere_since = now
            if ended := assignment.end_frozen_pass(self._session):
                log.warning("frozen_pass_ended", sessions=ended)
        else:
            self._elsewhere_since = min(self._elsewhere_since, now)

    def once(self) -> dict[str, int]:
        """One round of everything due: recovery and expiry, then schedules, and what can be assigned."""
        report = recovery.recover_system(actor="runscheduler --once", pipe=self.pipe)
        expired = chores.expire_tasks(self._session)
        chores.follow_zone_rules(self._session)
        bulk.do_due(self._session)
        while self.tick() == timedelta(0) and not self.stopping:
            pass
        deleted = Retention().delete(self._session)
        chores.delete_ended_batches(self._session)
        chores.delete_ended_fires(self._session)
        recovered = report.handed_back + report.retried + report.failed + report.cancelled
        done = {"recovered": recovered, "expired": expired, "fired": self._fired}
        return done | {"assigned": self._assigned, "deleted": deleted}

    def _stats(self) -> dict[str, float]:
        rss = psutil.Process().memory_info().rss
        counts = {"passes": self._passes, "assigned": self._assigned, "fired": self._fired}
        return {**counts, "rss_mb": round(rss / 2**20)}
