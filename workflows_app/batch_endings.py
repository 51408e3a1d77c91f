"""The part of a round that is about batches: which are done, and what is made then; which have to stop.

Not each end in a batch leads here. A batch that runs is watched: one of its open tasks has the mark, or a batch in it
is open, and when that has ended, a round looks. If something else is open then, it has that watched from now on, in
the same transaction. So a batch costs its tasks nothing, and no crash leaves one that nobody looks at. What has FAILED
has the mark as well, because a batch may fail fast.

Behind the lock on a batch its open row is looked for anew: of two ends of its last two tasks, in whatever order they
are committed, a round sees both, or leaves the mark that it came for. A batch that somebody holds is left for the next
round, and so is one whose task to be watched somebody holds, and with it the marks that led to it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import psycopg

from tasks_app.sessions import BATCH, Row, Session
from workflows_app.batch_rules import Ends, fails_fast, status_of
from workflows_app.follow_ups import DoneBatch, make_follow_ups


class Look(NamedTuple):
    """A batch that is not done: whether anything of it is open, whether it runs or is to get more first, whether it is
    stopping, or may have to, and whether it has the mark that says that somebody has to look.
    """

    id: UUID
    open: bool
    runs: bool
    stopping: bool
    may_fail: bool
    marked: bool


class Failures(NamedTuple):
    """How many tasks of a batch have FAILED; of how many, where its limit is a part of them, as far as that matters."""

    id: UUID
    limit: int
    percent: bool
    failed: int
    total: int


class Judged(NamedTuple):
    """What there is in a batch without an open row."""

    id: UUID
    failed: bool
    cancelled: bool
    was_cancelled: bool


class Decided(NamedTuple):
    """The batches that need no look for what led to this one; how many were stopped or are done, what was made, what
    was cancelled.
    """

    held: Sequence[UUID] = ()
    changed: int = 0
    made: int = 0
    stopped: int = 0


NOTHING: Final = Decided()


def decide_batches(session: Session, batches: Collection[UUID], done: Collection[UUID]) -> Decided:
    """Look at batches whose tasks have ended, in the caller's transaction; clear marks of those that are ``done``."""
    ids = list({*batches, *done})
    with session.connection.pipeline():
        locked, seen = lock_batches(session, ids), look_at_batches(session, ids)
    held = {batch_id for (batch_id,) in locked.fetchall()}
    looks = [look for look in seen.fetchall() if look.id in held]
    failing = _failing(session, [look.id for look in looks if look.may_fail])
    stopping = [look.id for look in looks if look.stopping or look.id in failing]
    fresh = stop_batches(session, stopping) if stopping else []
    stopped = stop_waiting(session, stopping) if stopping else 0
    ended = [look.id for look in looks if not look.open]
    made = make_follow_ups(session, _end(session, ended)) if ended else 0
    held -= _unwatched(session, {look.id for look in looks if look.open and look.runs}.difference(fresh))
    if done or any(look.marked for look in looks):
        clear_batches(session, looked=held.difference(fresh), done=done, held=held)
    return Decided(list(held), len(ended) + len(fresh), made, stopped)


def _unwatched(session: Session, running: Collection[UUID]) -> set[UUID]:
    """Those that nothing would lead to another look at: they are looked at again for what has led to this one."""
    youngest = random.random() < 0.5  # noqa: S311 - a side, not a secret
    watched = watch_batches(session, running, youngest=youngest) if running else []
    return set(running).difference(watched)


def _failing(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    found = count_failures(session, ids) if ids else []
    return {f.id for f in found if fails_fast(f.limit, percent=f.percent, failed=f.failed, total=f.total)}


def _end(session: Session, ids: Sequence[UUID]) -> list[DoneBatch]:
    judged = judge_batches(session, ids)
    statuses = [str(status_of(Ends(each.failed, each.cancelled, each.was_cancelled))) for each in judged]
    return end_batches(session, [each.id for each in judged], statuses)


def lock_batches(session: Session, ids: Sequence[UUID]) -> psycopg.Cursor[Row]:
    """Lock those of the batches that nobody else holds; the rows are their ids."""
    return session.send("lock_batches", {"ids": ids})


def look_at_batches(session: Session, ids: Sequence[UUID]) -> psycopg.Cursor[Look]:
    """What is known of batches that are not done; it holds of those that are locked."""
    return session.send("look_at_batches", {"ids": ids}, of=Look)


def count_failures(session: Session, ids: Sequence[UUID]) -> list[Failures]:
    """How many tasks of batches have failed that have a limit for that."""
    return session.send("count_failures", {"ids": ids}, of=Failures).fetchall()


def stop_batches(session: Session, ids: Sequence[UUID]) -> list[UUID]:
    """Stop batches, and those in them; return the ones that were not stopped before."""
    return [batch_id for (batch_id,) in session.send("stop_batches", {"ids": ids}).fetchall()]


def stop_waiting(session: Session, ids: Sequence[UUID], *, limit: int = BATCH) -> int:
    """Cancel what waits in batches; return how many tasks."""
    [(stopped,)] = session.send("stop_waiting", {"ids": ids, "limit": limit}).fetchall()
    return int(stopped)


def judge_batches(session: Session, ids: Sequence[UUID]) -> list[Judged]:
    """How batches have ended in which nothing is open."""
    return session.send("judge_batches", {"ids": ids}, of=Judged).fetchall()


def end_batches(session: Session, ids: Sequence[UUID], statuses: Sequence[str]) -> list[DoneBatch]:
    """End batches, each under its next completion number."""
    return session.send("end_batches", {"ids": ids, "statuses": statuses}, of=DoneBatch).fetchall()


def watch_batches(session: Session, ids: Collection[UUID], *, youngest: bool) -> list[UUID]:
    """Mark an open task of each batch, unless something in it leads to another look; return those that are watched."""
    found = session.send("watch_batches", {"ids": list(ids), "youngest": youngest})
    return [batch_id for (batch_id,) in found.fetchall()]


def clear_batches(session: Session, *, looked: Collection[UUID], done: Collection[UUID], held: Collection[UUID]) -> int:
    """Clear the marks of batches that nobody has to look at any more; return of how many."""
    ids = {"looked": list(looked), "done": list(done), "held": list(held)}
    return len(session.send("clear_batches", ids).fetchall())
