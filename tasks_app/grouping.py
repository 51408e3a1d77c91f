"""Reading the executions as they come, and putting those that failed into groups: a chore, never in anybody's way.

Ids of executions are given out before they are committed, so whoever reads up to the highest one may have passed by a
lower one. Everything is therefore read twice: as soon as it can be seen, and once more when every transaction has ended
that was under way the first time. What a stuck transaction of somebody else holds up is the second reading alone.
Reading twice, or from the beginning after a restore, adds nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from tasks_app.fingerprints import LOOKED_AT, fingerprint_of
from tasks_app.sessions import BATCH, Session

#: Executions read in one transaction.
MOST_READ: Final = 2_000
#: Seconds that one call spends on a backlog: others wait for the thread that calls.
LONGEST: Final = 0.25
#: No retention deletes a task that ended within it.
FRESH: Final = timedelta(hours=12)
#: Characters of a message that a group keeps.
LONGEST_MESSAGE: Final = 500


class Mark(NamedTuple):
    """How far executions have been read, how far there are some, and whether the second reading can go on.

    ``next_read`` and ``next_sure``: the first execution behind each of the two.
    """

    read_id: int
    sure_id: int
    noted_id: int
    highest: int
    is_settled: bool
    next_read: int
    next_sure: int


class Span(NamedTuple):
    """Executions that are read next, behind ``low`` up to ``high``, and the mark after that.

    ``notes``: whoever is still writing now is to be waited for, before they are read again up to ``noted_id``.
    ``more``: there may be others behind it.
    """

    low: int
    high: int
    read_id: int
    sure_id: int
    noted_id: int
    notes: bool
    more: bool


class Failed(NamedTuple):
    """An attempt that failed."""

    task_id: UUID
    attempt: int
    at: datetime
    type: str
    queue: str
    code: str
    message: str

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.type, self.code, self.message)


def next_span(mark: Mark) -> Span:
    """What is read next: again what may be, which is bounded by what was read before, and then what is new. Pure.

    When there is less than what was read, the history is another one, emptied or restored: from its beginning.
    """
    read, sure, noted = mark.read_id, mark.sure_id, mark.noted_id
    if mark.highest < read:
        return Span(0, 0, 0, 0, 0, notes=False, more=mark.highest > 0)
    low = high = read
    if sure < noted and mark.is_settled:
        low = min(max(sure, mark.next_sure - 1), noted)
        sure = high = min(low + MOST_READ, noted)
    elif read < mark.highest:
        low = mark.next_read - 1
        read = high = min(low + MOST_READ, mark.highest)
    notes = sure == noted < read  # a note that is not settled stays: renewed at each look, it would never grow old
    more = read < mark.highest or sure < noted
    return Span(low, high, read, sure, read if notes else noted, notes, more)


def group_failures(session: Session) -> int:
    """Put new failures into their groups, for `LONGEST` seconds at most; return how many. Raises `DatabaseAway`."""
    began, total, more = time.monotonic(), 0, True
    while more and time.monotonic() - began < LONGEST:
        added, more = group_next(session)
        total += added
    return total


def group_next(session: Session) -> tuple[int, bool]:
    """Group those of one span, in a transaction; return how many were new, and whether to go on at once.

    Nothing is done when there is nothing to read, or when another scheduler reads. Raises `DatabaseAway`.
    """
    try:
        with session.connection.transaction():
            mark = take_failure_mark(session)
            if mark is None:
                return 0, False
            span = next_span(mark)
            return add_failures(session, find_failures(session, span), span), span.more
    except psycopg.Error as error:
        session.fail(error)


def take_failure_mark(session: Session) -> Mark | None:
    """The right to read on, until the transaction ends; None: nobody may, or there is nothing."""
    rows: list[Mark] = session.send("take_failure_mark", of=Mark).fetchall()
    return rows[0] if rows else None


def find_failures(session: Session, span: Span) -> list[Failed]:
    """The attempts of a span that failed and are in no group yet."""
    if span.low == span.high:
        return []
    parameters = {"low": span.low, "high": span.high, "longest": LOOKED_AT}
    found: list[Failed] = session.send("find_failures", parameters, of=Failed).fetchall()
    return found


def add_failures(session: Session, failed: Sequence[Failed], span: Span) -> int:
    """Add them to their groups, and note how far executions have been read; return how many were new."""
    prints = [each.fingerprint for each in failed]
    latest = dict(sorted(zip(prints, failed, strict=True), key=lambda pair: pair[1].at))
    parameters = {
        "task_ids": [each.task_id for each in failed],
        "attempts": [each.attempt for each in failed],
        "ats": [each.at for each in failed],
        "queues": [each.queue for each in failed],
        "fingerprints": prints,
        "groups": list(latest),
        "types": [each.type for each in latest.values()],
        "codes": [each.code for each in latest.values()],
        "messages": [each.message[:LONGEST_MESSAGE] for each in latest.values()],
        "fresh": FRESH,
        "read_id": span.read_id,
        "sure_id": span.sure_id,
        "noted_id": span.noted_id,
        "notes": span.notes,
    }
    [(added,)] = session.send("add_failures", parameters).fetchall()
    return int(added)


def forget_groups(session: Session) -> int:
    """Delete groups whose last failure has gone with its task; return how many. Raises `DatabaseAway`."""
    try:
        with session.connection.transaction():
            # A statement of its own: what is deleted is looked at behind the lock, when nobody adds to it any more.
            held = session.connection.execute("SELECT id FROM failure_marks FOR NO KEY UPDATE SKIP LOCKED").fetchall()
            return delete_unused_groups(session) if held else 0
    except psycopg.Error as error:
        session.fail(error)


def delete_unused_groups(session: Session, *, limit: int = BATCH) -> int:
    """Delete groups that no failure is in. The caller has the mark."""
    return len(session.send("delete_unused_groups", {"limit": limit}).fetchall())
