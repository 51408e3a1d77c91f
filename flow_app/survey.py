"""What is waiting, by queue and priority: the look without a lock that comes before every pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import psycopg
from django.db.backends.utils import CursorWrapper

from access_app.sql import statement
from flow_app.outlook import Calm, Head, Outlook, lies_below, pairs_of
from flow_app.turns import SharedQueue, heads_of, survey_shared
from tasks_app import wakeups
from tasks_app.sessions import Row, Session
from tasks_app.wakeups import Pair

#: Most (queue, priority) pairs one pass looks into.
MAX_PAIRS: Final = 500

#: Most (queue, priority) pairs one look of a survey returns; each costs some 20 µs.
MAX_HEADS: Final = 2000

#: Most (needs, queue, priority) of one pass besides: what each worker meets is looked at for all of them.
MAX_LABELLED: Final = 100

# What live workers serve, and whether anything waits that needs something of its worker. Index: tasks_labelled.
_CLASSES = """
SELECT DISTINCT queues, (SELECT EXISTS (
         SELECT FROM tasks
          WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0
            AND crash_count = 0))
  FROM worker_heartbeats
 WHERE state = 'ACTIVE'"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is waiting, and the sets of queues that live workers serve (None: all queues).

    ``beside``: the row of the query that was sent in the same trip. ``shared``: the queues in which tasks may wait for
    the turns of tenants, and whether they are shared now; ``turns`` stand for what does. ``labelled``: something waits
    that needs something of its worker; its heads are there when some worker meets that.
    """

    heads: list[Head]
    classes: list[list[str] | None]
    beside: Row = ()
    shared: dict[str, bool] = field(default_factory=dict)
    turns: Sequence[Head] = ()
    labelled: bool = False

    def due(self, queues: list[str] | None) -> list[Head]:
        """The heads that are due and that workers of this class serve. Suspects belong to every class.

        Of more than a pass takes, those of the queues that have waited longest, each with all its priorities.
        """
        due = [
            head
            for head in self.heads
            if head.due_in <= 0 and (queues is None or head.queue is None or head.queue in queues)
        ]
        return due if len(due) <= MAX_LABELLED else _longest_waiting(due)

    @property
    def served(self) -> list[Head]:
        """The heads that are due and that some class of live workers serves, each once."""
        if len(self.classes) == 1:
            return self.due(self.classes[0])
        return list(dict.fromkeys(head for queues in self.classes for head in self.due(queues)))

    @property
    def has_due(self) -> bool:
        """Whether anything is due that some live worker serves."""
        return any(self.due(queues) for queues in self.classes)

    @property
    def next_due_in(self) -> float | None:
        """Seconds until the next head falls due that is not due yet; None when there is none."""
        return min((head.due_in for head in self.heads if head.due_in > 0), default=None)


class Sent(NamedTuple):
    """A survey that was sent behind a pipeline, to be read when that is over."""

    heads: psycopg.Cursor[Head]
    classes: psycopg.Cursor[Row]
    shared: psycopg.Cursor[SharedQueue]
    beside: psycopg.Cursor[Row]

    def read(self) -> Survey:
        """What was found. Raises `psycopg.Error`."""
        [row] = self.beside.fetchall()
        shared, found = self.shared.fetchall(), self.classes.fetchall()
        fair = {each.queue: each.fair for each in shared}
        classes, labelled = [served for served, _ in found], any(labelled for _, labelled in found)
        return Survey(self.heads.fetchall(), classes, row, fair, heads_of(shared), labelled)


def survey_due(
    session: Session, *, limit: int = MAX_HEADS, beside: str = "SELECT", outlook: Outlook | None = None
) -> Survey:
    """Look at what is waiting, ``limit`` heads at a time, without a lock.

    ``beside`` is a query of one row that is asked in the same trip and transaction. ``outlook`` is read and kept up.
    Raises `DatabaseAway`.
    """
    pairs = (outlook or Outlook()).pairs
    try:
        floors = pairs.current(session)
        seen = _survey_known(session, floors, beside) if floors else None
        if seen is None:
            began = time.monotonic()
            seen = _look_at_everything(session, limit, beside)
            pairs.note_look(began, seen.heads)
        heads = seen.heads + (_survey_labelled(session) if seen.labelled else [])
    except psycopg.Error as error:
        session.fail(error)
    pairs.note(seen.heads)
    return _dated(replace(seen, heads=heads))


def read_heads(cursor: CursorWrapper) -> list[Head]:
    """The same look for a page, over Django's connection: the first heads, also those of paused queues."""
    cursor.execute(statement("survey_due"), {"start": "", "limit": MAX_HEADS})
    return [*map(Head._make, cursor.fetchall()), *read_labelled(cursor)]


def read_labelled(cursor: CursorWrapper) -> list[Head]:
    """The heads of what needs something of its worker, over Django's connection."""
    cursor.execute(statement("survey_labelled"))
    return [Head._make(row) for row in cursor.fetchall()]


def find_overlooked(session: Session, outlook: Outlook) -> bool:
    """Look at everything beside surveys that do not; whether something waits that they cannot see.

    Then the next survey looks at everything, too. Nothing is done while all surveys do. May be called by another thread
    than the one that makes them, with a session of its own. Raises `DatabaseAway`.
    """
    began = time.monotonic()
    if not (floors := outlook.pairs.held()):
        return False
    try:
        heads = _look_at_everything(session).heads
    except psycopg.Error as error:
        session.fail(error)
    overlooked = any(lies_below(floors, pair, head) for pair, head in pairs_of(heads))
    if overlooked:
        outlook.pairs.doubt()
    else:
        outlook.pairs.note_look(began, heads)
    return overlooked


def send_survey(session: Session, *, beside: str) -> Sent:
    """Send a look at everything behind the pipeline the caller is in, in whose transaction it is made.

    ``beside`` is a query of one row, NULL or in how many seconds something else is due. Raises `psycopg.Error`.
    """
    return _send(session, "survey_due", {"start": "", "limit": MAX_HEADS}, beside)


def may_rest_on(sent: Sent, calm: Calm) -> bool:
    """Whether such a look, once its pipeline is over, says that nothing is due or falls due within a poll interval.

    Not when it has not seen everything (what needs something of its worker is looked at apart), nor when other queues
    are served than the scheduler knows. Raises `psycopg.Error`.
    """
    seen = sent.read()
    if seen.labelled:
        return False
    if len(seen.heads) >= MAX_HEADS or sorted(map(str, seen.classes)) != sorted(map(str, calm.classes)):
        return False
    if seen.shared != calm.shared:
        return False
    seen = _dated(seen)
    rest = wakeups.longest_rest().total_seconds()
    return not seen.has_due and all(due_in is None or due_in > rest for due_in in (seen.next_due_in, *seen.beside))


def _survey_known(session: Session, floors: dict[Pair, str], beside: str) -> Survey | None:
    """Look at known pairs from their floors on; None when something waits in another pair."""
    queues, priorities = zip(*floors, strict=True)
    parameters = {"queues": list(queues), "priorities": list(priorities), "floors": list(floors.values())}
    seen = _ask(session, "survey_known", parameters, beside)
    return seen if seen.heads else None


def _survey_labelled(session: Session) -> list[Head]:
    return session.send("survey_labelled", of=Head).fetchall()


def _look_at_everything(session: Session, limit: int = MAX_HEADS, beside: str = "SELECT") -> Survey:
    heads: list[Head] = []
    start = ""
    while True:
        page = _ask(session, "survey_due", {"start": start, "limit": limit}, beside)
        heads += page.heads
        queues = [head.queue for head in page.heads if head.queue is not None]
        if len(queues) < limit:
            return replace(page, heads=heads)
        # A queue that was cut off is looked at again from its beginning: it has 201 priorities at most.
        start = queues[-1]
        heads = [head for head in heads if head.queue is not None and head.queue != start]


def _ask(session: Session, name: str, parameters: dict[str, Any], beside: str) -> Survey:
    with session.connection.pipeline():
        sent = _send(session, name, parameters, beside)
    return sent.read()


def _send(session: Session, name: str, parameters: dict[str, Any], beside: str) -> Sent:
    heads = session.send(name, parameters, of=Head)
    classes = session.connection.execute(_CLASSES, prepare=session.prepares)
    shared = survey_shared(session)
    return Sent(heads, classes, shared, session.connection.execute(beside, prepare=session.prepares))


def _dated(seen: Survey) -> Survey:
    """With what waits for turns, and without the heads that have no time.

    Those are of pairs in which nothing waits, and of queues paused until somebody resumes them.
    """
    return replace(seen, heads=[head for head in (*seen.heads, *seen.turns) if head.due_in is not None])


def _longest_waiting(due: list[Head]) -> list[Head]:
    """The suspects' head, and the heads of the queues whose oldest head is oldest, up to `MAX_PAIRS` of them.

    Besides, those of what needs something of its worker, up to `MAX_LABELLED`: it must not keep out what needs nothing.
    """
    age: dict[str | None, float] = {}
    for head in due:
        age[head.queue] = min(age.get(head.queue, 0.0), head.due_in)
    age[None] = float("-inf")
    ordered = sorted(due, key=lambda head: (age[head.queue], head.queue or ""))
    plain = [head for head in ordered if head.needs_id is None]
    labelled = sorted((head for head in due if head.needs_id is not None), key=lambda head: head.due_in)
    return plain[:MAX_PAIRS] + labelled[:MAX_LABELLED]
