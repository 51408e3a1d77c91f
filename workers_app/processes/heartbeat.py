"""A worker's beats, from a thread and a connection of their own; and the watchdog of its deadlines and its lease.

Two threads, because a beat may hang in a dead network for as long as TCP likes, while the lease must end on time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog

from access_app.database_faults import DatabaseAway, backoff, kind_of, leaves_reads, short
from tasks_app.floors import Floors
from tasks_app.sessions import Session
from workers_app import lease
from workers_app.heartbeats import BeatReply, beat

log = structlog.get_logger(__name__)

#: A worker that runs tasks beats at least this often, so that a cancel is heard within a second without wake-ups.
BUSY_INTERVAL: Final = timedelta(milliseconds=900)
WATCHDOG_INTERVAL: Final = 0.1
#: Seconds in which ends are counted at least before they make a rate.
SHORTEST_LOOK: Final = 0.2


class Beating(Protocol):
    """What the heartbeat asks of its worker. All of it is called from the heartbeat thread."""

    def held_attempts(self) -> dict[UUID, int]: ...
    def measured_prefetch(self) -> int: ...
    def stuck(self) -> str | None:
        """What makes no progress, if anything: then no beat is sent, and the lease runs out."""

    def heard(self, reply: BeatReply, sent: float) -> None: ...
    def disowned(self) -> None:
        """The database says this incarnation is dead."""


class Heartbeat(threading.Thread):
    """Beats until closed; `hurry` asks for a beat at once."""

    def __init__(self, session: Session, worker_id: UUID, worker: Beating, interval: timedelta) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._session = session
        self._worker_id = worker_id
        self._worker = worker
        self._interval = interval
        self._wake = threading.Event()
        self._closed = False
        self._failures, self._logged = 0, False
        self._floors = Floors()

    def hurry(self) -> None:
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def run(self) -> None:
        while not self._closed:
            rest = self.step()
            if self._wake.wait(rest):
                self._wake.clear()

    def step(self) -> float:
        """One beat, and how many seconds to rest after it."""
        if part := self._worker.stuck():
            log.error("no_beat_without_progress", part=part)
            return self._interval.total_seconds()
        sent = lease.now()
        held = self._worker.held_attempts()
        try:
            prefetch = self._worker.measured_prefetch()
            reply = beat(self._session, self._worker_id, held=held, prefetch=prefetch, floors=self._floors)
        except DatabaseAway as error:
            self._failures += 1
            if leaves_reads(error) and not self._logged:  # the main thread writes nothing while it has enough to do
                log.warning("database_away", part="heartbeat", kind=kind_of(error), error=short(error))
                self._logged = True
            return min(backoff(self._failures), self._interval.total_seconds())
        self._failures, self._logged = 0, False
        if reply is None:
            if not self._closed:  # closed: the worker left by itself while this beat was under way
                self._worker.disowned()
            return self._interval.total_seconds()
        self._worker.heard(reply, sent)
        return (min(self._interval, BUSY_INTERVAL) if held else self._interval).total_seconds()


class Watchdog(threading.Thread):
    """Calls ``look`` ten times a second; ``look`` only compares clocks and stops work, and never blocks."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._look = look
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def run(self) -> None:
        while not self._closed.wait(WATCHDOG_INTERVAL):
            try:
                self._look()
            except Exception:
                # A third party's stop callback, say: deadlines and the lease must be watched all the same.
                log.exception("watchdog_failed")


class CompletionRate:
    """Tasks ended a second: rises within half a second, falls within two. Written by one thread, read by another."""

    def __init__(self) -> None:
        self.latest = 0.0
        self._count = 0
        self._at = time.monotonic()

    def add(self, count: int) -> None:
        self._count += count

    def per_second(self) -> float:
        """The rate; folds in what was counted since the last call."""
        now = time.monotonic()
        elapsed = now - self._at
        if elapsed > SHORTEST_LOOK:
            count, self._count, self._at = self._count, 0, now
            change = count / elapsed - self.latest
            self.latest += change * min(1.0, elapsed / (0.5 if change > 0 else 2.0))
        return self.latest

    @property
    def rising(self) -> bool:
        """Whether what was counted since the last look says that a new one would find much more."""
        elapsed = time.monotonic() - self._at
        return elapsed > SHORTEST_LOOK and self._count / elapsed > 1.25 * self.latest
