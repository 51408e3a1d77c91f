"""The outbox of ends: tasks that have ended and have dependents, until these know of it.

An end itself does nothing about dependents: it would wait for rows that others hold. The mark on the task puts it in
the index ``tasks_ended_parents``, and a round takes it from there, in one transaction: note the outcome on the open
edges of children that nobody else holds, decide about these children, open their gate or end them, tell callbacks
(``callbacks.telling``), decide about the batches of what has ended (``batch_endings``), clear the mark of parents
without an open edge. A crash anywhere leaves all as it was. Any number of rounds may run at once: no round waits for a
lock, and what was locked is decided with a snapshot taken behind the lock, so of two ends of one task's parents the
later sees the earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from tasks_app.sessions import Row, Session
from tasks_app.states import Otherwise, TaskStatus
from workflows_app.batch_endings import NOTHING, decide_batches
from workflows_app.callbacks.telling import tell_endings
from workflows_app.rules import Ends, Verdict, decide

#: Most ended tasks, and most edges, of one round: its transaction stays short.
MOST_PARENTS: Final = 1000
MOST_EDGES: Final = 5000
_STATUS: Final = {Otherwise.CANCEL: TaskStatus.CANCELLED, Otherwise.FAIL: TaskStatus.FAILED}


class Edges(NamedTuple):
    """The ended tasks and batches that were looked at, how many edges were settled, the waiting tasks that were locked
    for it, and the batches to look at.
    """

    parents: list[UUID]
    done: list[UUID]
    settled: int
    waiting: list[UUID]
    batches: list[UUID]
    #: Whether the end of any of them is yet to be told.
    tells: bool


class Join(NamedTuple):
    """A waiting task: when it runs, what becomes of it else, and how those it depends on have ended."""

    task_id: UUID
    run_if: str
    otherwise: str
    open: bool
    success: bool
    failed: bool
    cancelled: bool

    @property
    def verdict(self) -> Verdict:
        return decide(self.run_if, Ends(self.open, self.success, self.failed, self.cancelled))


class Settled(NamedTuple):
    """What a round did: edges settled, tasks that wait no longer or were made, tasks that were ended, marks of tasks
    cleared, ends told, and batches that were stopped or are done.

    ``left``: there is more, or somebody held what belongs to it.
    """

    edges: int = 0
    opened: int = 0
    ended: int = 0
    cleared: int = 0
    told: int = 0
    batches: int = 0
    left: bool = False

    @property
    def moved(self) -> bool:
        """Whether another round, at once, may find more to do."""
        return self.left and any((self.edges, self.cleared, self.told, self.ended, self.batches))


def settle_endings(session: Session, *, parents: int = MOST_PARENTS, edges: int = MOST_EDGES) -> Settled:
    """Make one round over ended tasks that have dependents. Raises `DatabaseAway`; then it may have been committed."""
    try:
        with session.connection.transaction():
            found = settle_edges(session, parents=parents, edges=edges)
            told = tell_endings(session) if found.tells else 0
            if not (found.parents or found.done or found.batches):
                return Settled()
            return _decide(session, found)._replace(told=told)
    except psycopg.Error as error:
        session.fail(error)


def _decide(session: Session, found: Edges) -> Settled:
    joins = look_at_joins(session, found.waiting) if found.waiting else []
    runs = [join.task_id for join in joins if join.verdict is Verdict.RUNS]
    never = [join for join in joins if join.verdict is Verdict.NEVER]
    with session.connection.pipeline():
        if runs:
            open_dependents(session, runs)
        if never:
            end_dependents(session, never)
        held = lock_parents(session, found.parents)
    batches = decide_batches(session, found.batches, found.done) if found.batches or found.done else NOTHING
    cleared, left = clear_parents(session, [task_id for (task_id,) in held.fetchall()], batches.held)
    opened, ended = len(runs) + batches.made, len(never) + batches.stopped
    return Settled(found.settled, opened, ended, cleared, batches=batches.changed, left=left)


def settle_edges(session: Session, *, parents: int, edges: int) -> Edges:
    """Note how tasks have ended on the edges to them, and lock who waits behind these."""
    found: Edges
    [found] = session.send("settle_edges", {"parents": parents, "edges": edges}, of=Edges).fetchall()
    return found


def look_at_joins(session: Session, waiting: Sequence[UUID]) -> list[Join]:
    """What is known of tasks that wait, and are locked."""
    return session.send("look_at_joins", {"ids": waiting}, of=Join).fetchall()


def open_dependents(session: Session, ids: Sequence[UUID]) -> None:
    """Let tasks run, as far as those they depend on are concerned."""
    session.send("open_dependents", {"ids": ids})


def end_dependents(session: Session, never: Sequence[Join]) -> None:
    """End tasks that never run, each as it was asked for."""
    statuses = [_STATUS[Otherwise(join.otherwise)] for join in never]
    session.send("end_dependents", {"ids": [join.task_id for join in never], "statuses": statuses})


def lock_parents(session: Session, ids: Sequence[UUID]) -> psycopg.Cursor[Row]:
    """Lock ended tasks that nobody else holds; the rows are their ids."""
    return session.send("lock_parents", {"ids": ids})


def clear_parents(session: Session, ids: Sequence[UUID], batches: Sequence[UUID] = ()) -> tuple[int, bool]:
    """Clear the mark of locked tasks that have no open edge, and whose batch is one of those that were looked at.

    Return of how many, and whether any other has one.
    """
    [(cleared, left)] = session.send("clear_parents", {"ids": ids, "batches": list(batches)}).fetchall()
    return cleared, left
