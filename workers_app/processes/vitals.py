"""What a worker says of itself with each beat, and what it does about the reply.

Threads: the heartbeat's alone. The beats themselves are ``heartbeat.py``'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import psutil
import structlog
from django.conf import settings

from tasks_app import signals, wakeups
from tasks_app.executors.base import StopReason
from tasks_app.states import WorkerState
from workers_app.heartbeats import BeatReply
from workers_app.lease import Lease
from workers_app.processes.executing import Executing
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.starting import Starter
from workers_app.stop_signals import SelfPipe

log = structlog.get_logger(__name__)

#: Seconds between two lines of statistics.
STATS_EVERY: Final = 60.0
#: Work that ignores its deadline for this long makes its worker stop beating.
OVERDUE: Final = 6.0
#: Seconds from the end of one task to the start of the next through both processes, on a busy machine.
ROUND_TRIP: Final = 0.05


class Vitals:
    """``drain`` and ``fence`` are the worker's two ways to leave: in good order, and dropping everything at once."""

    def __init__(
        self,
        worker_id: UUID,
        lease: Lease,
        guardian: GuardianLink,
        starter: Starter,
        executing: Executing,
        pipe: SelfPipe,
        *,
        prefetch: int,
        drain: Callable[[], None],
        fence: Callable[[], None],
    ) -> None:
        self._worker_id = worker_id
        self._lease = lease
        self._guardian = guardian
        self._starter = starter
        self._executing = executing
        self._pipe = pipe
        self._prefetch = prefetch
        self._drain = drain
        self._fence = fence
        self._stats_at = time.monotonic() + STATS_EVERY

    def held_attempts(self) -> dict[UUID, int]:
        return self._executing.held.fences()

    def measured_prefetch(self) -> int:
        """What the worker would end while room is refilled; nothing for tasks longer than some hundred milliseconds."""
        refill = int(self._executing.rate.per_second() * ROUND_TRIP) - self._executing.slots // 8
        self._executing.prefetch = max(0, min(self._prefetch, refill))
        return self._executing.prefetch

    def outgrown(self) -> bool:
        """Whether a beat before its time would raise the prefetch (the recorder's thread)."""
        return self._executing.prefetch < self._prefetch and self._executing.rate.rising

    def stuck(self) -> str | None:
        """A part that makes no progress: such a worker must not look alive."""
        since = self._starter.stepping_since
        if since is not None and time.monotonic() - since > settings.SCHEDULER.heartbeat_timeout.total_seconds():
            return "starter"
        if not self._executing.recorder.is_alive():
            return "recorder"
        return "executor" if self._executing.held.past_deadline(by=OVERDUE) else None

    def heard(self, reply: BeatReply, sent: float) -> None:
        self._report_stats(reply)
        if self._lease.renew(sent):
            self._guardian.beat(sent)
        for task_id in reply.cancels:
            self._executing.held.stop(task_id, StopReason.CANCEL)
        for task_id in reply.drops:
            self._executing.held.stop(task_id, StopReason.RELEASE)
        if reply.state == WorkerState.DRAINING:
            self._drain()
        if self._starter.hear(reply):
            self._pipe.wake()

    def disowned(self) -> None:
        log.error("worker_disowned", worker_id=str(self._worker_id))
        self._fence()

    def _report_stats(self, reply: BeatReply) -> None:
        if (now := time.monotonic()) >= self._stats_at:
            self._stats_at = now + STATS_EVERY
            stats = {
                "ended": self._executing.recorder.recorded,
                "per_second": round(self._executing.rate.per_second(), 1),
                "running": reply.running,
                "assigned": reply.assigned,
                "slots": self._executing.slots,
                "rss_mb": round(psutil.Process().memory_info().rss / 2**20),
            }
            signals.process_stats.send_robust(type(self), role="worker", process_id=self._worker_id, stats=stats)


def idle_interval() -> timedelta:
    """Time between two beats of an idle worker. Without wake-ups only a beat shows what it was assigned."""
    interval: timedelta = settings.SCHEDULER.heartbeat_interval
    return interval if wakeups.enabled() else min(interval, wakeups.longest_rest())
