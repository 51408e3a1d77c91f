"""A worker's row: register, beat, drain, stop, die. A process is a row with a heartbeat; DEAD never lives again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from access_app import audit
from access_app.refusals import NotFound
from tasks_app import wakeups
from tasks_app.floors import LOWEST, Floors
from tasks_app.sessions import Session
from tasks_app.states import LIVE_WORKER_STATES, WorkerState
from workers_app.models import Worker


class WorkerNotFound(NotFound):
    """No worker has this id, or the one that had it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Who a worker is. The id is made at start and never derived from a host or a name."""

    worker_id: UUID
    host: str
    pid: int
    name: str
    slots: int
    queues: list[str] | None
    labels: dict[str, str]
    version: str


class Gone(NamedTuple):
    """A worker that has left the state it was in, as people know it."""

    worker_id: UUID
    name: str
    host: str


class BeatReply(NamedTuple):
    """What the database returned to a beat: state, timeline, rows owned, what of the held to stop, what is lost."""

    state: WorkerState
    #: Which history of the database this is: another one after a standby was promoted.
    timeline: str
    assigned: int
    running: int
    cancels: list[UUID]
    drops: list[UUID]
    #: Where the next beat begins to look.
    floor: str
    #: Where the next start has to begin to look; None when nothing waits for one.
    unstarted: str | None = None


def known_workers(*, ended_within: timedelta) -> QuerySet[Worker]:
    """Live workers and those that ended lately, the latest first."""
    shown = Q(state__in=sorted(LIVE_WORKER_STATES)) | Q(state_changed_at__gt=Now() - ended_within)
    return Worker.objects.filter(shown).order_by("-started_at")


def register_worker(session: Session, registration: Registration) -> str:
    """Insert the row of a new incarnation and return the database's timeline; safe to resend. Raises `DatabaseAway`."""
    parameters = {name: getattr(registration, name) for name in Registration.__slots__}
    parameters |= {"labels": json.dumps(registration.labels)}
    [(timeline,)] = session.rows("register_worker", parameters)
    return str(timeline)


def beat(
    session: Session, worker_id: UUID, *, held: dict[UUID, int], prefetch: int, floors: Floors | None = None
) -> BeatReply | None:
    """Raise the beat counter and learn what changed; None when this incarnation is not alive any more.

    ``held`` maps the ids of the tasks being executed to their attempts. ``floors`` are read and kept up. Raises
    `DatabaseAway`.
    """
    floors = floors or Floors()
    parameters = {
        "worker_id": worker_id,
        "running": len(held),
        "prefetch": prefetch,
        "ids": list(held),
        "attempts": list(held.values()),
        "floor": floors.current(session).get(worker_id, LOWEST),
    }
    for reply in session.rows("beat", parameters, of=BeatReply):
        floors.note([(worker_id, reply.floor)])
        return reply._replace(state=WorkerState(reply.state))
    return None


def compare_held(session: Session, worker_id: UUID, *, held: dict[UUID, int]) -> tuple[str, list[UUID]]:
    """Return the database's timeline, and which held attempts are not this worker's on it. Raises `DatabaseAway`."""
    parameters = {"worker_id": worker_id, "ids": list(held), "attempts": list(held.values())}
    [(timeline, lost)] = session.rows("compare_held", parameters)
    return timeline, lost


def begin_drain(session: Session, worker_id: UUID) -> bool:
    """Stop being assigned tasks. False when the incarnation is not ACTIVE any more."""
    return _change_worker_state(session, worker_id, WorkerState.DRAINING, [WorkerState.ACTIVE]) is not None


def mark_stopped(session: Session, worker_id: UUID) -> bool:
    """Leave in good order; DEAD instead when tasks are still owned, so that recovery takes them."""
    return _change_worker_state(session, worker_id, WorkerState.STOPPED, sorted(LIVE_WORKER_STATES)) is not None


def mark_dead(session: Session, worker_id: UUID, *, beat: int | None = None) -> Gone | None:
    """Declare an incarnation dead; with ``beat``, only if it has not beaten since. None when it was too late."""
    return _change_worker_state(session, worker_id, WorkerState.DEAD, sorted(LIVE_WORKER_STATES), beat=beat)


def request_drain(worker_id: UUID, *, actor: str) -> None:
    """Ask a worker to drain: it takes nothing new, finishes or gives back what it has, and exits with 0.

    Safe to repeat. Raises `WorkerNotFound` for one that is unknown or has ended.
    """
    with transaction.atomic():
        # Without NO KEY: the row lock must wait for whoever assigns to this worker at this moment.
        worker = Worker.objects.select_for_update().filter(pk=worker_id, state__in=LIVE_WORKER_STATES).first()
        if worker is None:
            raise WorkerNotFound(f"there is no live worker {worker_id}")
        if worker.state == WorkerState.ACTIVE:
            Worker.objects.filter(pk=worker_id).update(state=WorkerState.DRAINING, state_changed_at=Now())
            audit.record(actor, "worker.drain_requested", f"worker:{worker_id}")
        transaction.on_commit(lambda: wakeups.notify_stop(worker_id))


def _change_worker_state(
    session: Session, worker_id: UUID, state: WorkerState, sources: list[WorkerState], *, beat: int | None = None
) -> Gone | None:
    parameters = {"worker_id": worker_id, "state": state, "sources": list(map(str, sources)), "beat": beat}
    rows = session.rows("change_worker_state", parameters, of=Gone)
    return rows[0] if rows else None
