"""Noticing that workers died, and moving their tasks on. Two steps, never one: mark the death, then take the tasks.

A worker is declared dead when one observer has seen its beat counter unchanged for a whole lease of the observer's own
monotonic clock, over one unbroken database session. The observation begins after the beat was committed, so it ends
after the worker's own lease; outages, failovers and clock jumps only restart it. Who takes the tasks does not care who
marked the death: `recover_lost_tasks` looks for tasks whose worker has no live row.

There is a shortcut for a worker killed together with its guardian, off by default (WORKER_FAST_DEATH_ENABLED): a live
worker holds an advisory lock on its wake-up connection, which its kernel closes when it dies. A lock that was seen held
and is free, and two missed beats, count as death. A network that resets both connections of a live worker and then
drops all packets looks the same: hence it is for installations where none stands between worker and database.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from tasks_app import signals
from tasks_app.sessions import Session
from tasks_app.signals import RecoveredTask
from workers_app import heartbeats, invariants, lease
from workers_app.stop_signals import SelfPipe

RECOVERY_BATCH: Final = 500
#: Time between two looks of `recover_system` at workers whose beats are old.
LOOK_EVERY: Final = 0.2


class FailureDetector:
    """Remembers since when each worker's beat counter has not moved. One observer, one session; not thread-safe.

    ``shortcut`` is the silence that suffices for a worker that was seen to hold its lock and does not any more.
    """

    def __init__(self, timeout: timedelta, *, shortcut: timedelta | None = None) -> None:
        self._timeout = timeout.total_seconds()
        self._shortcut = self._timeout if shortcut is None else min(shortcut, timeout).total_seconds()
        self._seen: dict[UUID, tuple[int, float]] = {}
        self._holders: set[UUID] = set()
        self._epoch = -1
        self._began = 0.0

    def observe(
        self, beats: Mapping[UUID, int], *, epoch: int, now: float, holders: Collection[UUID] = ()
    ) -> dict[UUID, int]:
        """Take in the live workers' beats and return those silent for a whole lease, with the beat they stopped at.

        ``epoch`` names the session the beats were read over; a new one forgets everything seen before. ``holders`` are
        the workers whose lock was held when it was looked at, after the beats.
        """
        if epoch != self._epoch:
            self._seen, self._holders, self._epoch, self._began = {}, set(), epoch, now
        self._seen = {
            worker_id: seen if (seen := self._seen.get(worker_id)) and seen[0] == beat else (beat, now)
            for worker_id, beat in beats.items()
        }
        # Only a session that is itself a lease old: after a restart of the database all workers are without their lock.
        released = self._holders - set(holders) if now - self._began >= self._timeout else set()
        self._holders = (self._holders | set(holders)) & beats.keys()
        return {
            worker_id: beat
            for worker_id, (beat, since) in self._seen.items()
            if now - since >= (self._shortcut if worker_id in released else self._timeout)
        }

    @property
    def watched(self) -> int:
        return len(self._seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryReport:
    """What system recovery found and repaired."""

    workers_marked_dead: list[str] = field(default_factory=list)
    handed_back: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    invariants: dict[str, int] = field(default_factory=dict)
    duration_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return {
            "workersMarkedDead": values["workers_marked_dead"],
            "tasksRecovered": {
                "handedBack": self.handed_back,
                "retried": self.retried,
                "failed": self.failed,
                "cancelled": self.cancelled,
            },
            "invariants": {"ok": not any(self.invariants.values()), "violations": self.invariants},
            "durationMs": self.duration_ms,
        }


def mark_silent_workers(session: Session, silent: Mapping[UUID, int]) -> list[UUID]:
    """Mark workers DEAD that have still not beaten, and report them; return which were. Raises `DatabaseAway`."""
    marked = []
    reason = f"no beat for {settings.SCHEDULER.heartbeat_timeout.total_seconds():g} s"
    for worker_id, beat in sorted(silent.items()):
        if lost := heartbeats.mark_dead(session, worker_id, beat=beat):
            marked.append(worker_id)
            signals.worker_lost.send_robust(mark_silent_workers, **lost._asdict(), reason=reason)
    return marked


def held_locks(session: Session, workers: Collection[UUID]) -> list[UUID]:
    """Those of the workers that hold their lock. Raises `DatabaseAway`."""
    rows = session.rows("held_locks", {"workers": list(workers)})
    return [worker_id for (worker_id,) in rows]


def recover_lost_tasks(session: Session) -> list[RecoveredTask]:
    """Take all tasks of workers that are gone, in batches of one statement each. Raises `DatabaseAway`."""
    recovered: list[RecoveredTask] = []
    while True:
        parameters = {"max_crashes": settings.SCHEDULER.max_crashes, "limit": RECOVERY_BATCH}
        rows = session.rows("recover_lost_tasks", parameters, of=RecoveredTask)
        recovered += rows
        if len(rows) < RECOVERY_BATCH:
            return recovered


def recover_system(*, actor: str = "system", pipe: SelfPipe | None = None) -> RecoveryReport:
    """Recover now: take tasks of the dead at once, watch workers with old beats for one lease, check the invariants.

    Returns at once when no worker's beat is old, and early when ``pipe`` is asked to stop; safe to repeat and to run in
    parallel. Raises `DatabaseAway`.
    """
    session, began = Session("recovery", direct=True), time.monotonic()
    try:
        recovered = recover_lost_tasks(session)
        dead = _watch_old_beats(session, pipe or SelfPipe())
        recovered += recover_lost_tasks(session) if dead else []
        report = _report(dead, recovered, invariants.violations(session), time.monotonic() - began)
    finally:
        session.close()
    if recovered:
        signals.tasks_recovered.send_robust(recover_system, scheduler_id=None, rows=recovered)
    signals.system_recovered.send_robust(recover_system, actor=actor, report=report)
    return report


def _watch_old_beats(session: Session, pipe: SelfPipe) -> list[UUID]:
    """Watch workers whose last beat is older than three intervals, until each has beaten or been silent for a lease.

    The age by the database's clock only chooses whom to watch; it declares nobody dead.
    """
    config, dead = settings.SCHEDULER, []
    detector = FailureDetector(config.heartbeat_timeout)
    old = dict(_live_beats(session, config.heartbeat_interval * 3))
    waiting = dict(old)
    while waiting and not pipe.stop_requests:
        beats = {worker_id: beat for worker_id, beat in _live_beats(session, None) if worker_id in waiting}
        waiting = {worker_id: beat for worker_id, beat in waiting.items() if beats.get(worker_id) == beat}
        silent = detector.observe({w: waiting[w] for w in waiting}, epoch=session.epoch, now=lease.now())
        dead += mark_silent_workers(session, silent)
        waiting = {worker_id: beat for worker_id, beat in waiting.items() if worker_id not in silent}
        if waiting:
            pipe.wait(LOOK_EVERY)
    return dead


def _live_beats(session: Session, age: timedelta | None) -> list[tuple[UUID, int]]:
    """The beat counters of live workers; with ``age``, of those whose last beat is older than that."""
    rows = session.rows("live_beats", {"age": None if age is None else age.total_seconds()})
    return [(worker_id, beat) for worker_id, beat in rows]


def _report(
    dead: list[UUID], recovered: list[RecoveredTask], violations: dict[str, int], seconds: float
) -> RecoveryReport:
    return RecoveryReport(
        workers_marked_dead=sorted(map(str, dead)),
        handed_back=sum(row.was == "SCHEDULED" for row in recovered),
        retried=sum(row.was == "RUNNING" and row.next_status == "PENDING" for row in recovered),
        failed=sum(row.next_status == "FAILED" for row in recovered),
        cancelled=sum(row.next_status == "CANCELLED" for row in recovered),
        invariants=violations,
        duration_ms=round(seconds * 1000),
    )
