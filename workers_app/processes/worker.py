"""A worker: starts what is assigned to it, as much as it has free slots, executes, hands the endings to the recorder.

Each room says in its docstring which thread may call what:

    main        the loop here; ``registering.py``, ``starting.py``, ``leaving.py``; it sleeps on wake-ups
    pool        ``executing.py``: runs the bodies
    recorder    ``recorder.py``: writes how they ended; ``executing.py`` frees their slots
    heartbeat   ``heartbeat.py``: beats; ``vitals.py`` is what it asks and hears
    watchdog    `_watch` here: stops work that is past its deadline, or its worker's lease

Connections: start, record, beat, listen. The guardian (``guardian.py``) is the parent process; it hears of each beat,
and ends this process when the lease ends unnoticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings

from flow_app import assignment
from tasks_app import wakeups
from tasks_app.executors.base import StopReason
from tasks_app.sessions import Session
from workers_app.heartbeats import Registration
from workers_app.lease import Lease
from workers_app.processes.base import UNTIL_WOKEN, Process
from workers_app.processes.executing import Executing
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.heartbeat import Heartbeat, Watchdog
from workers_app.processes.leaving import Leaving
from workers_app.processes.registering import register
from workers_app.processes.starting import Starter
from workers_app.processes.vitals import Vitals, idle_interval
from workers_app.processes.wakeups import Listener
from workers_app.stop_signals import SelfPipe

#: How soon after submitting the pool may grow; instant tasks are done by then.
GROW_AFTER: Final = timedelta(milliseconds=2)
#: How soon to look again whether what was lost with the old timeline is dead.
FOLLOW_AGAIN: Final = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The command line of a worker, checked."""

    registration: Registration
    prefetch: int
    grace: timedelta
    burst: bool


class Worker(Process):
    """One incarnation. `run` returns when it has drained, or when its lease ended first."""

    def __init__(self, options: WorkerOptions, guardian: GuardianLink) -> None:
        config, registration, pipe = settings.SCHEDULER, options.registration, SelfPipe()
        self.id: UUID = registration.worker_id
        super().__init__(Listener(wakeups.WORKERS, pipe, self._concerns_us, holder=self.id), pipe)
        self.options = options
        self.lease = Lease(config.heartbeat_timeout, config.lease_margin)
        self.draining = False
        self._guardian = guardian
        session = Session("worker")
        self._executing = Executing(
            self.id, registration.slots, self.lease, self._room_made, lambda: self._starter.may_have_more
        )
        self._starter = Starter(session, self.id, self.lease, self._executing)
        self._leaving = Leaving(session, registration, self.lease, self._executing, pipe, grace=options.grace)
        self._vitals = Vitals(
            self.id,
            self.lease,
            guardian,
            self._starter,
            self._executing,
            pipe,
            prefetch=options.prefetch,
            drain=self._begin_drain,
            fence=self._fence,
        )
        self._heartbeat = Heartbeat(Session("heartbeat", direct=True), self.id, self._vitals, idle_interval())
        self._watchdog = Watchdog(self._watch)

    # The loop (main thread)

    @property
    def stopping(self) -> bool:
        return super().stopping or self._leaving.fenced or self.draining

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        self._register()
        for thread in (self._executing.recorder, self._heartbeat, self._watchdog):
            thread.start()
        try:
            yield
        finally:
            self._leave()

    def tick(self) -> timedelta:
        if not self._starter.step():
            self._fence()
        if self.options.burst and not self._executing.held and self._burst_is_over():
            self.draining = True
        return self._rest()

    def drain(self) -> None:
        self._leaving.drain(registered=self._is_registered)

    def _rest(self) -> timedelta:
        starter, executing = self._starter, self._executing
        if executing.pool.backlog:
            return GROW_AFTER
        if starter.timeline_changed:
            return FOLLOW_AGAIN
        if starter.may_have_more and executing.held.slots < executing.slots:
            return timedelta(0)
        if self.options.burst:
            return settings.SCHEDULER.polling_interval
        return UNTIL_WOKEN

    def _burst_is_over(self) -> bool:
        queues = self.options.registration.queues
        return not assignment.anything_due(self._starter.session, worker_id=self.id, queues=queues)

    def _concerns_us(self, message: str) -> bool:
        words = message.split(",")
        everybody = "*" in words
        if everybody or f"!{self.id}" in words:
            self._heartbeat.hurry()
        if f"+{self.id}" in words:
            self._executing.note_full()
        if everybody or str(self.id) in words:
            self._starter.look_again()
            return True
        return False

    # Coming and going (main thread)

    @property
    def exit_status(self) -> int:
        """What the guardian goes by, once `run` has returned."""
        return self._leaving.exit_status

    @property
    def _is_registered(self) -> bool:
        return self._starter.timeline != ""

    def _register(self) -> None:
        accepted = register(self._starter.session, self.options.registration, self.pipe)
        if accepted is not None:
            sent, timeline = accepted
            self.lease.renew(sent)
            self._guardian.beat(sent)
            self._starter.begin_on(timeline)

    def _leave(self) -> None:
        self._executing.close()
        self._heartbeat.close()
        self._watchdog.close()
        if self._is_registered:
            self._leaving.deregister()

    # Other threads

    def _room_made(self) -> None:
        """Wake who waits for a slot, or would have more assigned by a beat (the recorder's thread)."""
        if self._vitals.outgrown():
            self._heartbeat.hurry()
        if self._starter.may_have_more or self.stopping or self.options.burst:
            self.pipe.wake()

    def _begin_drain(self) -> None:
        """Leave in good order (the heartbeat's thread)."""
        if not self.stopping:
            self.draining = True
            self.pipe.wake()

    def _watch(self) -> None:
        """Look at deadlines and the lease (the watchdog's thread)."""
        held = self._executing.held
        for late in held.past_deadline():
            if late.execution.stop_reason is None:
                late.execution.stop(StopReason.DEADLINE)
        if not self._leaving.fenced and not self.lease.running:
            self._fence()
        if self._leaving.fenced and not held.running():
            self._guardian.confirm_fenced()

    def _fence(self) -> None:
        """Drop all work at once and never beat again (any thread)."""
        self._heartbeat.close()
        self._leaving.fence()
