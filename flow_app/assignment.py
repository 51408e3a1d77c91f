"""Giving due tasks to workers: the assignment pass, and taking back what should not have been given.

A pass is one short transaction in two trips: take the pass, count room and lock candidates; then write what
``matching.py``, where all policy is, made of them. The pass lock makes counting exact, so any number of schedulers may
run and none of them leads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg

from flow_app.freezing import Frozen
from flow_app.locking import (
    Locked,
    begin_pass,
    charge_buckets,
    firsts_of,
    given,
    look_at_keys,
    look_at_targets,
    note_costly,
    park_behind_keys,
    park_behind_rates,
    park_behind_targets,
    refused_by_targets,
    tokens_of,
)
from flow_app.matching import UNSHARED, Candidate, Key, KeyName, Match, match
from flow_app.outlook import SLOW, Head, Outlook
from flow_app.rooms import ages_of, room_for
from flow_app.survey import Survey
from flow_app.turns import lock_turns, note_turns, without_turns
from tasks_app import wakeups
from tasks_app.sessions import BATCH, Row, Session

#: Most tasks one pass assigns to one class of workers: the batch at which a statement's fixed cost has vanished.
MAX_BATCH: Final = 1000
#: Seconds in which passes do without hints to workers after one was refused.
QUIET: Final = 10.0
#: A scheduler that has kept the pass from everybody for so long, and does nothing in it, is frozen.
FROZEN_AFTER: Final = timedelta(seconds=2)
#: An assignment its worker has not started for this long goes to a worker with a free slot.
STALE_AFTER: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did. ``wake`` are the workers that were given tasks, and notified of it by the commit.

    ``room`` is how many more it could have assigned, had more been due; 0 also when it assigned as many as it may.
    ``took_all``: it assigned something, and nothing is left of what it looked for and could lock. ``sorted`` tasks of
    shared queues wait for their tenants' turns since, or wait no longer.
    """

    assigned: int
    parked: int
    wake: list[UUID]
    held: bool = True
    room: int = 0
    took_all: bool = False
    sorted: int = 0

    @property
    def out_of_room(self) -> bool:
        """Whether every slot it knew of is taken now."""
        return self.held and not self.room and self.assigned < MAX_BATCH and not self.sorted

    @property
    def moved(self) -> bool:
        """Whether another pass, at once, may find more to do."""
        return bool(self.assigned or self.parked or self.sorted)


def assign_due_tasks(
    session: Session, survey: Survey, *, limit: int = MAX_BATCH, outlook: Outlook | None = None
) -> PassReport:
    """Make one assignment pass over what a survey found; nothing when another scheduler is making one.

    ``outlook`` is read and kept up. Raises `DatabaseAway`; then the pass may have been committed, and its workers find
    their tasks with the next beat.
    """
    if not (due := survey.served):
        return PassReport(0, 0, [])
    outlook, began = outlook or Outlook(), time.monotonic()
    try:
        locked = begin_pass(session, due, survey, limit, outlook)
        turned, shares = lock_turns(session, locked.sharers, locked.workers) if locked.sharers else ([], UNSHARED)
        frozen = Frozen(session, locked.workers)
        candidates = frozen.without(locked.candidates + turned)
        keys = frozen.without_firsts(look_at_keys(session, candidates, ages_of(locked.workers)))
        budgets = look_at_targets(session, [*candidates, *firsts_of(keys)]) | tokens_of(keys)
        found = match(locked.workers, candidates, keys, limit, shares, budgets=budgets, met=locked.met)
        with session.connection.pipeline():
            if found.tasks:
                session.send("assign_due_tasks", given(found))
                charge_buckets(session, found, keys)
                note_costly(session, found)
            if began >= outlook.quiet_until:
                wakeups.notify_workers(session, found.workers, awaited=found.awaited)
            note_turns(session, shares, found)
            parked = _park(session, found, candidates, keys, outlook)
            session.connection.execute("COMMIT")
    except psycopg.Error as error:
        if isinstance(
            error, psycopg.errors.ProgramLimitExceeded
        ):  # the queue of NOTIFY is full: a hint may be lost, not a pass
            outlook.quiet_until = began + QUIET
        session.close()
        session.fail(error)
    except BaseException:  # it must not keep the pass
        session.close()
        raise
    slow_from = locked.began_at if time.monotonic() - began > SLOW else ""
    outlook.learn(without_turns(due, survey.shared), locked.workers, locked.candidates, slow_from)
    # Also one that was full when the pass looked: it may have ended a task, and found nothing more, before the commit.
    wake = sorted(set(found.workers))
    number = frozen.parked + sum(cursor.fetchall()[0][0] for cursor in parked)
    took_all = not survey.shared and _took_all(due, locked, found, limit)
    return PassReport(len(found.tasks), number, wake, locked.held, found.room, took_all, locked.sorted)


def _park(
    session: Session, found: Match, candidates: Sequence[Candidate], keys: Mapping[KeyName, Key], outlook: Outlook
) -> list[psycopg.Cursor[Row]]:
    """Park what waits for a key, a token of it, or a target; one row each says how many."""
    parked = [park_behind_keys(session, found, keys)] if keys else []
    if tokens_of(keys):
        outlook.awaits_tokens = True
        parked += park_behind_rates(session, found, keys, candidates)
    if refused := refused_by_targets(found, [*candidates, *firsts_of(keys)]):
        outlook.gated = True
        parked.append(park_behind_targets(session, refused))
    return parked


def _took_all(due: list[Head], locked: Locked, found: Match, limit: int) -> bool:
    """Whether more would have been locked, had there been more, and all that was locked was given away."""
    queues = {head.queue for head in due}
    if any(head.needs_id is not None for head in due):
        return False
    if len(queues) > 1 or not found.tasks or len(found.tasks) < len(locked.candidates):
        return False  # each of several queues has only its share of the room, and may have more than that
    [queue] = queues
    return queue is not None and len(found.tasks) < min(limit, room_for(queue, locked.workers))


def end_frozen_pass(session: Session, *, after: timedelta = FROZEN_AFTER) -> int:
    """End the sessions of schedulers that froze in the middle of a pass; return how many. Raises `DatabaseAway`."""
    return len(session.rows("end_frozen_pass", {"after": after.total_seconds()}))


def hand_back_stale(session: Session, *, limit: int = BATCH) -> int:
    """Take back assignments their workers sit on while another worker has a free slot; return how many."""
    reason = "its worker had not started it while another one was free"
    return hand_back_assigned(session, older_than=STALE_AFTER, reason=reason, limit=limit)


def hand_back_assigned(
    session: Session,
    *,
    reason: str,
    actor: str = "scheduler",
    worker_id: UUID | None = None,
    target: str | None = None,
    frozen: bool = False,
    older_than: timedelta | None = None,
    limit: int = 10_000,
) -> int:
    """Give back what was assigned and has not started; return how many.

    Of this worker, or what calls this target, or is frozen, or was assigned so long ago, whose ever it is.
    """
    parameters = {
        "worker_id": worker_id,
        "queue": None,
        "target": target,
        "key": None,
        "frozen": frozen,
        "older_than": None if older_than is None else older_than.total_seconds(),
        "actor": actor if worker_id is None else f"worker:{worker_id}",
        "reason": reason,
        "limit": limit,
    }
    return len(session.rows("hand_back_assigned", parameters))


def anything_due(session: Session, *, worker_id: UUID, queues: list[str] | None) -> bool:
    """Whether this worker owns anything, or something is due in the queues that it serves (None: all)."""
    [(found,)] = session.rows("anything_due", {"worker_id": worker_id, "queues": queues})
    return bool(found)
