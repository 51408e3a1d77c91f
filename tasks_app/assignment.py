"""Giving due tasks to workers: the assignment pass, and taking back what should not have been given.

All policy is decided here, in one short transaction at a time: the pass lock makes counting exact, so any number of
schedulers may run and none of them leads. What is picked, and why, is in ``sql/assign_due_tasks.sql``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from tasks_app.sessions import Row, Session
from tasks_app.sql import statement

#: Most tasks one pass assigns to one class of workers: the batch at which a statement's fixed cost has vanished.
MAX_BATCH: Final = 1000
#: Most tasks one statement of housekeeping changes.
BATCH: Final = 1000
#: Most (queue, priority) pairs one pass looks into.
MAX_PAIRS: Final = 500
#: Most (queue, priority) pairs one look of a survey answers; each costs some 20 µs.
MAX_HEADS: Final = 2000
#: An assignment its worker has not started for this long goes to a worker with a free slot.
STALE_AFTER: Final = timedelta(seconds=2)

_CLASSES = "SELECT DISTINCT queues FROM worker_heartbeats WHERE state = 'ACTIVE'"


class Head(NamedTuple):
    """The first waiting task of one (queue, priority); ``queue`` is None for the earliest suspect of all."""

    queue: str | None
    priority: int | None
    due_in: float


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


@dataclass(frozen=True, slots=True)
class Survey:
    """What is waiting, and the sets of queues that live workers serve (None: all queues).

    ``beside``: the answer of the question that was asked in the same trip.
    """

    heads: list[Head]
    classes: list[list[str] | None]
    beside: Row = ()

    def due(self, queues: list[str] | None) -> list[Head]:
        """The heads that are due and that workers of this class serve. Suspects belong to every class.

        Of more than a pass takes, those of the queues that have waited longest, each with all its priorities.
        """
        due = [
            head
            for head in self.heads
            if head.due_in <= 0 and (queues is None or head.queue is None or head.queue in queues)
        ]
        return due if len(due) <= MAX_PAIRS else _longest_waiting(due)

    @property
    def has_due(self) -> bool:
        """Whether anything is due that some live worker serves."""
        return any(self.due(queues) for queues in self.classes)

    @property
    def next_due_in(self) -> float | None:
        """Seconds until the next head falls due that is not due yet; None when there is none."""
        return min((head.due_in for head in self.heads if head.due_in > 0), default=None)


def survey_due(session: Session, *, limit: int = MAX_HEADS, beside: str = "SELECT") -> Survey:
    """Look at what is waiting, ``limit`` heads at a time, without a lock.

    ``beside`` is a query of one row that is asked in the same trip and transaction. Raises `DatabaseAway`.
    """
    heads, start = [], ""
    try:
        while True:
            with session.connection.pipeline():
                parameters = {"start": start, "limit": limit}
                rows = session.connection.execute(statement("survey_due"), parameters, prepare=session.prepares)
                classes = session.connection.execute(_CLASSES, prepare=session.prepares)
                answer = session.connection.execute(beside, prepare=session.prepares)
            found = [Head._make(row) for row in rows]
            # Without a time: its queue is paused until somebody resumes it.
            heads += [head for head in found if head.due_in is not None]
            queues = [head.queue for head in found if head.queue is not None]
            if len(queues) < limit:
                [row] = answer.fetchall()
                return Survey(heads, [served for (served,) in classes], row)
            # A queue that was cut off is looked at again from its beginning: it has 201 priorities at most.
            start = queues[-1]
            heads = [head for head in heads if head.queue is not None and head.queue != start]
    except psycopg.Error as error:
        raise session.away(error) from error


def _longest_waiting(due: list[Head]) -> list[Head]:
    """The suspects' head, and the heads of the queues whose oldest head is oldest, up to `MAX_PAIRS` of them."""
    age: dict[str | None, float] = {}
    for head in due:
        age[head.queue] = min(age.get(head.queue, 0.0), head.due_in)
    age[None] = float("-inf")
    return sorted(due, key=lambda head: (age[head.queue], head.queue or ""))[:MAX_PAIRS]


def assign_due_tasks(session: Session, survey: Survey, *, limit: int = MAX_BATCH) -> PassReport:
    """Make one assignment pass over what a survey found; nothing when another scheduler is making one.

    Workers that serve named queues are served before those that serve all, so that general workers leave them their
    own. One pipelined transaction: begin, take the pass, one statement per class of workers, commit. Raises
    `DatabaseAway`; then the pass may have been committed, and its workers find their tasks with the next beat.
    """
    batches = [(queues, due) for queues in _specialists_first(survey.classes) if (due := survey.due(queues))]
    if not batches:
        return PassReport(0, 0, [])
    try:
        connection = session.connection
        with connection.pipeline():
            connection.execute("BEGIN")
            taken = connection.execute(statement("take_pass"), prepare=session.prepares)
            passes = [
                connection.execute(
                    statement("assign_due_tasks"),
                    {
                        "class": queues,
                        "limit": limit,
                        "queues": [head.queue for head in due if head.queue is not None],
                        "priorities": [head.priority for head in due if head.queue is not None],
                    },
                    prepare=session.prepares,
                )
                for queues, due in batches
            ]
            connection.execute("COMMIT")
        [(_, held)] = taken.fetchall()
        return _report(held, [row for done in passes for row in done.fetchall()])
    except psycopg.Error as error:
        session.close()
        raise session.away(error) from error


def expire_tasks(session: Session, *, limit: int = BATCH) -> int:
    """End up to ``limit`` waiting tasks that passed their expiresAt; answer how many."""
    return len(session.rows("expire_tasks", {"limit": limit}))


def hand_back_stale(session: Session, *, limit: int = BATCH) -> int:
    """Take back assignments their workers sit on while another worker has a free slot; answer how many."""
    parameters = {"worker_id": None, "queue": None, "older_than": STALE_AFTER.total_seconds(), "limit": limit}
    reason = "its worker had not started it while another one was free"
    return len(session.rows("hand_back_assigned", parameters | {"actor": "scheduler", "reason": reason}))


def hand_back_assigned(session: Session, *, worker_id: UUID, reason: str, limit: int = 10_000) -> int:
    """Give back what this worker was assigned and has not started; answer how many."""
    parameters = {"worker_id": worker_id, "queue": None, "older_than": None, "limit": limit}
    return len(session.rows("hand_back_assigned", parameters | {"actor": f"worker:{worker_id}", "reason": reason}))


def _specialists_first(classes: Iterable[list[str] | None]) -> list[list[str] | None]:
    return sorted(classes, key=lambda queues: (queues is None, len(queues or ()), queues or []))


def _report(held: bool, rows: list[Row]) -> PassReport:
    given = [row for row in rows if row[0] is not None]
    rest = [row for row in rows if row[0] is None]
    # Also one that was full when the pass looked: it may have ended a task, and found nothing more, before the commit.
    wake = sorted({worker_id for worker_id, _, _ in given})
    assigned, parked, room = sum(row[1] for row in given), sum(row[1] for row in rest), sum(row[2] for row in rest)
    return PassReport(assigned, parked, wake, held, room)
