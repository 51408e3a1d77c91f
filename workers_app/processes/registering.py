"""How a worker becomes known: its row is written, however long the database is away. Main thread, before all others."""

from __future__ import annotations

import structlog

from access_app.database_faults import DatabaseAway, backoff, kind_of, short
from tasks_app import signals, wakeups
from tasks_app.sessions import Session
from workers_app import heartbeats, lease
from workers_app.heartbeats import Registration
from workers_app.stop_signals import SelfPipe

log = structlog.get_logger(__name__)


def register(session: Session, who: Registration, pipe: SelfPipe) -> tuple[float, str] | None:
    """Register, and return when that was sent and the database's timeline; None when asked to stop before it worked."""
    failures = 0
    while not pipe.stop_requests:
        try:
            sent = lease.now()
            timeline = heartbeats.register_worker(session, who)
        except DatabaseAway as error:
            failures += 1
            if failures == 1:
                log.warning("database_away", kind=kind_of(error), error=short(error))
            pipe.wait(backoff(failures))
        else:
            wakeups.notify_schedulers(session)
            _report(who)
            return sent, timeline
    return None


def _report(who: Registration) -> None:
    signals.worker_registered.send_robust(
        register,
        worker_id=who.worker_id,
        name=who.name,
        host=who.host,
        pid=who.pid,
        slots=who.slots,
        queues=who.queues,
        labels=who.labels,
    )
