"""Giving due tasks to workers: the assignment pass, and taking back what should not have been given.

All policy is decided here, in one short transaction at a time: the pass lock makes counting exact, so any number of
schedulers may run and none of them leads. What is picked, and why, is in ``sql/assign_due_tasks.sql``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from access_app.sql import statement
from flow_app.outlook import SLOW, Outlook, Passed
from flow_app.survey import Survey
from tasks_app.sessions import BATCH, Row, Session, named

#: Most tasks one pass assigns to one class of workers: the batch at which a statement's fixed cost has vanished.
MAX_BATCH: Final = 1000
#: An assignment its worker has not started for this long goes to a worker with a free slot.
STALE_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did. ``wake`` are the workers that were given tasks, and may be asleep.

    ``room`` is how many more it could have assigned, had more been due; 0 also when it assigned as many as it may.
    """

    assigned: int
    parked: int
    wake: list[UUID]
    held: bool = True
    room: int = 0

    @property
    def out_of_room(self) -> bool:
        """Whether every slot it knew of is taken now."""
        return self.held and not self.room and self.assigned < MAX_BATCH

    @property
    def moved(self) -> bool:
        """Whether another pass, at once, may find more to do."""
        return bool(self.assigned or self.parked)


def assign_due_tasks(
    session: Session, survey: Survey, *, limit: int = MAX_BATCH, outlook: Outlook | None = None
) -> PassReport:
    """Make one assignment pass over what a survey found; nothing when another scheduler is making one.

    Workers that serve named queues are served before those that serve all, so that general workers leave them their
    own. One pipelined transaction: begin, take the pass, one statement per class of workers, commit. ``outlook`` is
    read and kept up. Raises `DatabaseAway`; then the pass may have been committed, and its workers find their tasks
    with the next beat.
    """
    batches = [(queues, due) for queues in _specialists_first(survey.classes) if (due := survey.due(queues))]
    if not batches:
        return PassReport(0, 0, [])
    outlook, began = outlook or Outlook(), time.monotonic()
    try:
        connection = session.connection
        floors = outlook.workers.current(session)
        workers = {"workers": list(floors), "floors": list(floors.values())}
        with connection.pipeline():
            connection.execute("BEGIN")
            taken = _take_pass(session)
            passes = [
                connection.cursor(row_factory=named(Passed)).execute(
                    statement("assign_due_tasks"),
                    {"class": queues, "limit": limit} | workers | outlook.places(due),
                    prepare=session.prepares,
                )
                for queues, due in batches
            ]
            connection.execute("COMMIT")
        [(_, held)] = taken.fetchall()
        passed = [done.fetchall()[0] for done in passes]
    except psycopg.Error as error:
        session.close()
        session.fail(error)
    slow = time.monotonic() - began > SLOW
    for (_, due), found in zip(batches, passed, strict=True):
        outlook.learn(due, found, slow=slow)
    return _report(held, passed)


def hand_back_stale(session: Session, *, limit: int = BATCH) -> int:
    """Take back assignments their workers sit on while another worker has a free slot; return how many."""
    reason = "its worker had not started it while another one was free"
    return hand_back_assigned(session, older_than=STALE_AFTER, reason=reason, limit=limit)


def hand_back_assigned(
    session: Session,
    *,
    reason: str,
    worker_id: UUID | None = None,
    older_than: timedelta | None = None,
    limit: int = 10_000,
) -> int:
    """Give back what this worker was assigned and has not started, or anybody's old assignments; return how many."""
    parameters = {
        "worker_id": worker_id,
        "queue": None,
        "older_than": None if older_than is None else older_than.total_seconds(),
        "actor": "scheduler" if worker_id is None else f"worker:{worker_id}",
        "reason": reason,
        "limit": limit,
    }
    return len(session.rows("hand_back_assigned", parameters))


def anything_due(session: Session, *, worker_id: UUID, queues: list[str] | None) -> bool:
    """Whether this worker owns anything, or something is due in the queues that it serves (None: all)."""
    [(found,)] = session.rows("anything_due", {"worker_id": worker_id, "queues": queues})
    return bool(found)


class LastKey(NamedTuple):
    """The last concurrency key that was looked at; empty names behind the last of all."""

    queue: str
    concurrency_key: str
    released: int


def release_idle_keys(session: Session, *, after: tuple[str, str] = ("", ""), limit: int = BATCH) -> LastKey:
    """Make the next task of idle concurrency keys visible, of at most ``limit`` keys behind this (queue, key)."""
    queue, key = after
    rows = session.rows("release_idle_keys", {"queue": queue, "key": key, "limit": limit}, of=LastKey)
    return rows[0] if rows else LastKey("", "", 0)


def _take_pass(session: Session) -> psycopg.Cursor[Row]:
    """Ask for the pass, in the transaction that is open; whether it was got comes with the other results."""
    return session.connection.execute(statement("take_pass"), prepare=session.prepares)


def _specialists_first(classes: Iterable[list[str] | None]) -> list[list[str] | None]:
    return sorted(classes, key=lambda queues: (queues is None, len(queues or ()), queues or []))


def _report(held: bool, passed: list[Passed]) -> PassReport:
    given = [(worker, tasks) for one in passed for worker, tasks in zip(one.workers, one.given, strict=True) if tasks]
    # Also one that was full when the pass looked: it may have ended a task, and found nothing more, before the commit.
    wake = sorted({worker for worker, _ in given})
    assigned, parked = sum(tasks for _, tasks in given), sum(one.parked for one in passed)
    return PassReport(assigned, parked, wake, held, sum(one.room for one in passed))
