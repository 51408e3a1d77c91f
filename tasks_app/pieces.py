"""One piece of a bulk operation: the next tasks that match are changed, and how far that is, in one transaction.

Any number of schedulers take pieces: whoever has the operation's row does the next one, and a crash leaves all as it
was. A piece waits for no lock. A task that a worker, a pass or a person holds is put on the operation's list of held
ones, and the next pieces come back to it; so each task that matches when it is locked is touched, skipped for a reason,
or failed, and is that once.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import structlog

from access_app.sql import statement
from tasks_app.acts import BulkAction, Candidate, OperationState, Skip, Target, skip_by_status, skip_of
from tasks_app.conditions import Condition
from tasks_app.many import Deed, change, refused
from tasks_app.rerunning import lock_batches_of
from tasks_app.sessions import Session, named

log = structlog.get_logger(__name__)

#: Returns the condition of a stored filter; raises `conditions.UnreadableFilter`.
ReadFilter = Callable[[Mapping[str, Any]], Condition]

#: Seconds that a piece is to take, and how many tasks it changes at first and at most. Who commits meanwhile waits
#: until its log is written: beside pieces of 20 ms the p99 of pick-ups was seven times what it is without; of 5, twice.
AIM: Final = 0.005
FIRST: Final = 200
MOST: Final = 2000
#: A piece looks at so many tasks for each one that this process changes in one; and at so many at least: where a commit
#: alone takes longer than `AIM`, pieces become small, and one task of a thousand would be looked for ten at a time.
LOOKS: Final = 10
LEAST_LOOK: Final = 2000
#: Of the time a piece took, the operation rests so much before the next: others have the database, too.
REST: Final = 1.0
#: Seconds until tasks are looked for again that somebody held; and how many are kept in mind before no more are met.
HELD_AGAIN: Final = 0.1
MOST_HELD: Final = 1000
#: A rate is kept in parts of so many seconds: a piece changes no more than one of them allows.
PART: Final = 0.25


class Taken(NamedTuple):
    """A bulk operation whose next piece is ours."""

    id: UUID
    action: str
    filter: Any
    priority: int | None
    queue: str | None
    position: UUID
    before: UUID
    held: list[UUID]
    barred: list[str]
    skips: Any
    asked_by: str
    reason: str
    rate_per_second: int | None

    @property
    def deed(self) -> Deed:
        """The reason names the operation, for whoever reads the timeline of one of its tasks."""
        name = f"bulk operation {self.id}"
        reason = f"{self.reason} ({name})" if self.reason else name
        return Deed(BulkAction(self.action), Target(self.priority, self.queue), self.asked_by, reason)


class Found(NamedTuple):
    """Tasks that match, their statuses, and up to where was looked; None: to the end."""

    ids: list[UUID]
    statuses: list[str]
    position: UUID | None


@dataclass(slots=True)
class Pace:
    """How many tasks a piece of this process changes, by how long the last ones took."""

    size: int = FIRST

    def note(self, took: float) -> None:
        """A piece took so many seconds: the next is to take `AIM`, and is no more than twice as large."""
        self.size = max(1, min(MOST, 2 * self.size, int(self.size * AIM / max(took, 0.001))))

    def size_for(self, rate: int | None) -> int:
        return self.size if rate is None else max(1, min(self.size, int(rate * PART)))


@dataclass(slots=True)
class Piece:
    """What was done. ``stop``: workers that run tasks which are to end; ``rest``: seconds until the next is due."""

    operation: UUID
    action: BulkAction
    position: UUID
    state: OperationState = OperationState.RUNNING
    touched: int = 0
    failed: int = 0
    error: str | None = None
    skips: Counter[str] = field(default_factory=Counter)
    held: list[UUID] = field(default_factory=list)
    stop: list[UUID] = field(default_factory=list)
    awaited: bool = False
    rest: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether the operation is over with it."""
        return self.state is not OperationState.RUNNING

    def skip(self, why: Skip | None, count: int = 1) -> None:
        if why is not None:
            self.skips[str(why)] += count


def do_piece(session: Session, pace: Pace, read: ReadFilter) -> Piece | None:
    """Do the piece that is due first; None: no operation is due, or others have them all.

    Raises `DatabaseAway`, then it may have been committed; and `psycopg.Error` for one that failed and left no trace.
    """
    began = time.monotonic()
    try:
        with session.connection.transaction():
            taken = take_bulk_operation(session)
            if taken is None:
                return None
            piece = _attempted(session, taken, pace, read)
            advance_bulk_operation(session, taken, piece, rest=_rest(piece, time.monotonic() - began))
    except psycopg.Error as error:
        session.fail(error)
    pace.note(time.monotonic() - began)
    return piece


def _rest(piece: Piece, took: float) -> float:
    return max(REST * took, HELD_AGAIN if piece.held else 0.0)


def _attempted(session: Session, taken: Taken, pace: Pace, read: ReadFilter) -> Piece:
    """The piece; one that cannot be done ends its operation, which would else stand before all others for good."""
    try:
        with session.connection.transaction():
            return _done(session, taken, pace, read)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except Exception as error:
        log.exception("bulk_operation_failed", bulk_operation=str(taken.id))
        return Piece(
            taken.id, taken.deed.action, taken.position, OperationState.FAILED, held=taken.held, error=str(error)[:1000]
        )


def _done(session: Session, taken: Taken, pace: Pace, read: ReadFilter) -> Piece:
    piece, condition = Piece(taken.id, taken.deed.action, taken.position), read(taken.filter)
    size = pace.size_for(taken.rate_per_second)
    found = find_matching(session, taken, condition, size=size, window=max(LOOKS * pace.size, LEAST_LOOK))
    able = _able(piece, taken.deed.action, found)
    rows = lock_matching(session, able, condition) if able else []
    if rows and taken.deed.action is BulkAction.RETRY:
        kept = lock_batches_of(session.connection.cursor(), [row.id for row in rows])
        rows = [row for row in rows if row.id not in kept]
    locked = {row.id for row in rows}
    piece.held = [task_id for task_id in able if task_id not in locked]
    _change(session, taken, rows, piece)
    if found.position is None and not piece.held:
        piece.state = OperationState.DONE
    piece.position = found.position or taken.before
    return piece


def _able(piece: Piece, action: BulkAction, found: Found) -> list[UUID]:
    """Those that may be changed; the others need no lock to be left as they are."""
    able = []
    for task_id, status in zip(found.ids, found.statuses, strict=True):
        skip = skip_by_status(action, status)
        piece.skip(skip)
        if skip is None:
            able.append(task_id)
    return able


def _change(session: Session, taken: Taken, rows: Sequence[Candidate], piece: Piece) -> None:
    """Change the locked tasks that can be changed, and say of each what became of it."""
    deed, cursor = taken.deed, session.connection.cursor()
    can = []
    for row in rows:
        skip = skip_of(deed.action, row, deed.target, taken.barred)
        piece.skip(skip)
        if skip is None:
            can.append(row)
    no = refused(cursor, deed, can)
    for why in no.values():
        piece.skip(why)
    chosen = [row for row in can if row.id not in no]
    if chosen:
        _change_all(session, deed, chosen, piece)


def _change_all(session: Session, deed: Deed, chosen: Sequence[Candidate], piece: Piece) -> None:
    """Change tasks in one statement; if it fails, the halves of them: one that cannot be changed fails alone."""
    try:
        with session.connection.transaction():
            stop = change(session.connection.cursor(), deed, [row.id for row in chosen])
    except psycopg.Error as error:
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            raise
        if len(chosen) == 1:
            _note_failure(piece, chosen[0].id, error)
            return
        middle = len(chosen) // 2
        for half in (chosen[:middle], chosen[middle:]):
            _change_all(session, deed, half, piece)
        return
    piece.stop += stop
    piece.touched += len(chosen)
    piece.awaited |= any(row.awaited for row in chosen)


def _note_failure(piece: Piece, task_id: UUID, error: psycopg.Error) -> None:
    if isinstance(error, psycopg.errors.UniqueViolation):  # somebody has made a task with this key just now
        piece.skip(Skip.DUPLICATE)
    else:
        piece.failed, piece.error = piece.failed + 1, f"task {task_id}: {str(error).strip()}"[:1000]


def take_bulk_operation(session: Session) -> Taken | None:
    """Take the operation whose next piece is due first, until the transaction ends; None: there is none to have."""
    rows: list[Taken] = session.send("take_bulk_operation", of=Taken).fetchall()
    return rows[0]._replace(filter=json.loads(rows[0].filter), skips=json.loads(rows[0].skips)) if rows else None


def find_matching(session: Session, taken: Taken, condition: Condition, *, size: int, window: int) -> Found:
    """The next tasks that match, and those that were held; while too many are held, these alone."""
    full = len(taken.held) >= MOST_HELD
    parameters = {"held": taken.held, "position": taken.before if full else taken.position, "before": taken.before}
    parameters |= {"size": size, "window": window, **condition.parameters}
    cursor = session.connection.cursor(row_factory=named(Found))
    text = condition.put_into(statement("find_matching"))
    found: Found = cursor.execute(text.encode(), parameters, prepare=session.prepares).fetchall()[0]
    return found._replace(position=taken.position) if full else found


def lock_matching(session: Session, ids: Sequence[UUID], condition: Condition) -> list[Candidate]:
    """Lock those that still match and that nobody else holds."""
    cursor = session.connection.cursor(row_factory=named(Candidate))
    text = condition.put_into(statement("lock_matching"))
    return cursor.execute(text.encode(), {"ids": ids, **condition.parameters}, prepare=session.prepares).fetchall()


def advance_bulk_operation(session: Session, taken: Taken, piece: Piece, *, rest: float) -> None:
    """Note what a piece has done, with the transaction that did it; and in it, when the next is due."""
    skips = Counter(taken.skips) + piece.skips
    parameters = {
        "id": taken.id,
        "position": piece.position,
        "held": piece.held,
        "skips": json.dumps(skips),
        "touched": piece.touched,
        "skipped": piece.skips.total(),
        "failed": piece.failed,
        "error": piece.error,
        "state": str(piece.state),
        "rest": rest,
    }
    [(piece.rest,)] = session.send("advance_bulk_operation", parameters).fetchall()
