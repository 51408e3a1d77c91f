"""What a worker asks the database for: attempts to run. The fence of each is taken here; nothing is executed here."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tasks_app.floors import LOWEST, Floors
from tasks_app.sessions import Session


class Attempt(NamedTuple):
    """A started attempt as the database returned it; ``(task_id, attempt)`` is the fence it carries.

    ``started_at`` differs between two starts with the same fence: after a failover that lost the first one.
    ``payload`` and ``retry`` are JSON texts: most are never looked into by more than one thread, so they are parsed
    where they are used.
    """

    task_id: UUID
    attempt: int
    type: str
    payload: str
    timeout_ms: int
    #: None: its task's own id.
    correlation_id: str | None
    max_retries: int
    retry_count: int
    retry: str | None
    keyed: bool
    started_at: str
    scheduled_for: datetime | None = None
    #: How many of its worker it takes.
    slots: int = 1
    #: None: it gets no token; else the id of the batch that it may add to, or nothing.
    token_for: str | None = None
    #: Where the next start may begin to look; only from a start that was asked for it.
    next_floor: str | None = None


def start_assigned(
    session: Session, *, worker_id: UUID, limit: int, timeline: str, floors: Floors | None = None
) -> list[Attempt]:
    """Start what is assigned to this worker, at most ``limit`` slots of it; return it by priority, due time, id.

    What takes several slots starts first: room was made for it.

    RUNNING is committed when this returns. Nothing is started for a worker that is not ACTIVE, nor on another
    ``timeline`` of the database than its worker knows. ``floors`` are read and kept up. Raises `DatabaseAway`: then
    tasks may have been started all the same, and `adopt_running` finds them.
    """
    floor = floors.current(session).get(worker_id, LOWEST) if floors else LOWEST
    ask = floors is not None and floors.are_old
    parameters = {"worker_id": worker_id, "limit": limit, "timeline": timeline, "floor": floor, "ask": ask}
    started = session.rows("start_assigned", parameters, of=Attempt)
    if floors and started and (found := started[0].next_floor):
        floors.note([(worker_id, found)])
    return started


def adopt_running(session: Session, *, worker_id: UUID, held: list[UUID], timeline: str) -> list[Attempt]:
    """Return attempts RUNNING on this worker that are not among ``held``: started, but the reply was lost.

    None on another ``timeline``, where the attempt may have ended and its end been lost.

    Only the thread that starts may call this, with a copy of its held set made before the call; otherwise an attempt
    started in between would be taken twice.
    """
    parameters = {"worker_id": worker_id, "held": held, "timeline": timeline}
    return session.rows("adopt_running", parameters, of=Attempt)
