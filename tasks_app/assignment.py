"""Giving due tasks to workers: the assignment pass, and taking back what should not have been given.

All policy is decided here, in one short transaction at a time: the pass lock makes counting exact, so any number of
schedulers may run and none of them leads. What is picked, and why, is in ``sql/assign_due_tasks.sql``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from tasks_app.floors import SCHEDULERS_FORGET_AFTER, SLOW, Floors, KnownPairs, LockedHeads, Pair
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

_NIL = UUID(int=0)
_CLASSES = "SELECT DISTINCT queues FROM worker_heartbeats WHERE state = 'ACTIVE'"


class Head(NamedTuple):
    """The first waiting task of one (queue, priority); ``queue`` is None for the earliest suspect of all.

    ``run_at`` and ``task_id`` are where it lies: a pass begins there, behind the entries of those that have gone.
    Nothing of its pair waits before ``floor``.
    """

    queue: str | None
    priority: int
    due_in: float
    run_at: str
    task_id: UUID
    floor: str


class Answer(NamedTuple):
    """A row of ``assign_due_tasks.sql``: of a worker, of a queue and priority (``number``), or of the whole pass."""

    worker_id: UUID | None
    number: int
    room: int
    at: str
    queue: str | None


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


@dataclass(slots=True)
class Outlook:
    """Where a scheduler's next survey and pass begin to look: what its last ones taught it (``floors``)."""

    floors: Floors = field(default_factory=lambda: Floors(SCHEDULERS_FORGET_AFTER))
    pairs: KnownPairs = field(default_factory=KnownPairs)
    locked: LockedHeads = field(default_factory=LockedHeads)

    def learn(self, due: list[Head], answer: list[Answer], *, slow: bool) -> None:
        """Take what a pass over these heads answered."""
        self.floors.note((row.worker_id, row.at) for row in answer if row.worker_id is not None)
        earliest = {(row.queue, row.number): row.at for row in answer if row.queue is not None}
        [summary] = [row for row in answer if row.worker_id is None and row.queue is None]
        if slow and (summary.room or earliest):
            for pair, head in _pairs(due):
                if (at := earliest.get(pair, summary.at)) != head.run_at:
                    self.locked.note(pair, head.task_id, at)


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


def survey_due(
    session: Session, *, limit: int = MAX_HEADS, beside: str = "SELECT", outlook: Outlook | None = None
) -> Survey:
    """Look at what is waiting, ``limit`` heads at a time, without a lock.

    ``beside`` is a query of one row that is asked in the same trip and transaction. ``outlook`` is read and kept up.
    Raises `DatabaseAway`.
    """
    outlook = outlook or Outlook()
    try:
        survey = _survey_known(session, outlook.pairs, beside) or _survey_all(session, outlook.pairs, beside, limit)
    except psycopg.Error as error:
        raise session.away(error) from error
    return survey


def _survey_known(session: Session, pairs: KnownPairs, beside: str) -> Survey | None:
    """Look behind the floors of the pairs that are known; None to look at everything."""
    floors = pairs.current(session)
    if not floors:
        return None
    queues, priorities = zip(*floors, strict=True)
    parameters = {"queues": list(queues), "priorities": list(priorities), "floors": list(floors.values())}
    rows, classes, answer = _ask(session, "survey_known", parameters, beside)
    pairs.note(((queue, priority), floor) for queue, priority, _, _, _, floor, _ in rows if queue is not None)
    if any(row[-1] for row in rows):
        return None
    return Survey(_scheduled(Head._make(row[:-1]) for row in rows), classes, answer)


def _survey_all(session: Session, pairs: KnownPairs, beside: str, limit: int) -> Survey:
    heads: list[Head] = []
    start, began = "", time.monotonic()
    while True:
        rows, classes, answer = _ask(session, "survey_due", {"start": start, "limit": limit}, beside)
        found = [Head._make(row) for row in rows]
        pairs.note((pair, head.floor) for pair, head in _pairs(found))
        heads += _scheduled(found)
        queues = [head.queue for head in found if head.queue is not None]
        if len(queues) < limit:
            pairs.note_cost(time.monotonic() - began)
            return Survey(heads, classes, answer)
        # A queue that was cut off is looked at again from its beginning: it has 201 priorities at most.
        start = queues[-1]
        heads = [head for head in heads if head.queue is not None and head.queue != start]


def _ask(
    session: Session, name: str, parameters: dict[str, Any], beside: str
) -> tuple[list[Row], list[list[str] | None], Row]:
    """The rows of a survey, the sets of queues that are served, and the row of ``beside``."""
    with session.connection.pipeline():
        rows = session.connection.execute(statement(name), parameters, prepare=session.prepares)
        classes = session.connection.execute(_CLASSES, prepare=session.prepares)
        answer = session.connection.execute(beside, prepare=session.prepares)
    [row] = answer.fetchall()
    return rows.fetchall(), [served for (served,) in classes], row


def _scheduled(heads: Iterable[Head]) -> list[Head]:
    """Those with a time. The others' queues are paused until somebody resumes them, or nothing waits there."""
    return [head for head in heads if head.due_in is not None]


def _longest_waiting(due: list[Head]) -> list[Head]:
    """The suspects' head, and the heads of the queues whose oldest head is oldest, up to `MAX_PAIRS` of them."""
    age: dict[str | None, float] = {}
    for head in due:
        age[head.queue] = min(age.get(head.queue, 0.0), head.due_in)
    age[None] = float("-inf")
    return sorted(due, key=lambda head: (age[head.queue], head.queue or ""))[:MAX_PAIRS]


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
        workers = _owned_from(outlook.floors.current(session))
        with connection.pipeline():
            connection.execute("BEGIN")
            taken = connection.execute(statement("take_pass"), prepare=session.prepares)
            passes = [
                connection.execute(
                    statement("assign_due_tasks"),
                    {"class": queues, "limit": limit} | workers | _places(due, outlook.locked),
                    prepare=session.prepares,
                )
                for queues, due in batches
            ]
            connection.execute("COMMIT")
        [(_, held)] = taken.fetchall()
        answers = [[Answer._make(row) for row in done] for done in passes]
    except psycopg.Error as error:
        session.close()
        raise session.away(error) from error
    slow = time.monotonic() - began > SLOW
    for (_, due), answer in zip(batches, answers, strict=True):
        outlook.learn(due, answer, slow=slow)
    return _report(held, [row for answer in answers for row in answer])


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


def _owned_from(floors: dict[UUID, str]) -> dict[str, list[Any]]:
    return {"workers": list(floors), "floors": list(floors.values())}


def _places(due: list[Head], locked: LockedHeads) -> dict[str, list[Any]]:
    """Where the statement begins to look: parallel arrays, without the suspects' head."""
    places: dict[str, list[Any]] = {"queues": [], "priorities": [], "from": [], "ids": [], "locked": []}
    for pair, head in _pairs(due):
        behind = locked.behind(pair, head.task_id)
        if behind is not None:
            places["locked"].append(head.task_id)
        places["queues"].append(pair[0])
        places["priorities"].append(pair[1])
        places["from"].append(head.run_at if behind is None else behind)
        places["ids"].append(head.task_id if behind is None else _NIL)
    return places


def _pairs(due: Iterable[Head]) -> Iterator[tuple[Pair, Head]]:
    return (((head.queue, head.priority), head) for head in due if head.queue is not None)


def _specialists_first(classes: Iterable[list[str] | None]) -> list[list[str] | None]:
    return sorted(classes, key=lambda queues: (queues is None, len(queues or ()), queues or []))


def _report(held: bool, rows: list[Answer]) -> PassReport:
    given = [row for row in rows if row.worker_id is not None and row.number]
    summaries = [row for row in rows if row.worker_id is None and row.queue is None]
    # Also one that was full when the pass looked: it may have ended a task, and found nothing more, before the commit.
    wake = sorted({row.worker_id for row in given if row.worker_id is not None})
    assigned, parked = sum(row.number for row in given), sum(row.number for row in summaries)
    return PassReport(assigned, parked, wake, held, sum(row.room for row in summaries))
