"""The turns of tenants in a pass: what a pass reads and writes for queues that tenants share. Policy: ``sharing.py``.

Due tasks of a shared queue are *sorted in*: they leave the index of due tasks for one by tenant, and wait at the gate
TURN. A pass then looks at tenants, and locks of each no more than it may be given: what one tenant has queued is in
nobody's way. Whatever comes back (a retry, a task handed back, one freed by its key) has an open gate, and is sorted in
anew. A queue that is no longer shared is sorted out by the passes that follow. Both go in bounded steps, so that a
backlog of a million changes sides while passes go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from flow_app.matching import Candidate, Match
from flow_app.outlook import Head, Outlook
from flow_app.rooms import Room, ages_of, room_for
from flow_app.sharing import Sharer, Shares, TenantName, allot
from tasks_app.sessions import Row, Session

#: Most tasks of one pair that a pass sorts in, and a quarter as many of its newest: together all that it may give away.
#: Some 58 µs each, measured on two busy cores.
MOST_SORTED: Final = 800
#: Most tenants of a queue that one pass looks at; each costs some 20 µs, measured on two busy cores.
MOST_SHARERS: Final = 500
#: The priority of a head that stands for whatever waits for turns in its queue.
ANY_PRIORITY: Final = 101


class SharedQueue(NamedTuple):
    """A queue in which tasks may wait for turns; ``fair``: it is shared now. ``due_in``: seconds, or None."""

    queue: str
    fair: bool
    due_in: float | None


class Begun(NamedTuple):
    """What was sent for shared queues at the beginning of a pass."""

    moved: list[psycopg.Cursor[Row]]
    sharers: psycopg.Cursor[Sharer] | None


def survey_shared(session: Session) -> psycopg.Cursor[SharedQueue]:
    """Send, in the pipeline of a survey, what asks for the queues in which tasks may wait for turns."""
    return session.send("survey_shared", of=SharedQueue)


def heads_of(shared: Iterable[SharedQueue]) -> list[Head]:
    """Heads of what waits for turns, beside those of pairs."""
    return [
        Head(each.queue, ANY_PRIORITY, each.due_in, "", UUID(int=0), "") for each in shared if each.due_in is not None
    ]


def without_turns(due: Iterable[Head], shared: Mapping[str, bool]) -> list[Head]:
    """The heads whose tasks wait for nobody's turn. ``shared``: queues with turns, and whether they are shared now."""
    return [head for head in due if head.priority != ANY_PRIORITY and not shared.get(head.queue or "", False)]


def fair_queues(due: Iterable[Head], shared: Mapping[str, bool]) -> list[str]:
    """The queues of these heads that are shared."""
    return sorted({head.queue for head in due if head.queue is not None and shared.get(head.queue, False)})


def begin_turns(session: Session, due: list[Head], shared: Mapping[str, bool], outlook: Outlook) -> Begun:
    """Send, in the pipeline of a pass behind `take_pass`, what shared queues need before anything is decided.

    Raises `psycopg.Error`.
    """
    fair, ended = fair_queues(due, shared), [queue for queue, is_fair in shared.items() if not is_fair]
    places = outlook.places([head for head in due if head.queue in fair and head.priority != ANY_PRIORITY])
    del places["locked"]
    floors = outlook.workers.current(session)
    asked = {"queues": fair, "most": MOST_SHARERS, "workers": list(floors), "floors": list(floors.values())}
    moved = [_sort_in(session, places)] if places["queues"] else []
    if ended:
        moved.append(_sort_out(session, ended))
    return Begun(moved, _look_at_sharers(session, asked) if fair else None)


def _sort_in(session: Session, places: dict[str, list[Any]]) -> psycopg.Cursor[Row]:
    return session.send("sort_in", places | {"most": MOST_SORTED})


def _sort_out(session: Session, ended: list[str]) -> psycopg.Cursor[Row]:
    return session.send("sort_out", {"queues": ended, "most": MOST_SORTED})


def _look_at_sharers(session: Session, asked: dict[str, Any]) -> psycopg.Cursor[Sharer]:
    return session.send("look_at_sharers", asked, of=Sharer)


def lock_turns(session: Session, sharers: Sequence[Sharer], workers: Sequence[Room]) -> tuple[list[Candidate], Shares]:
    """Lock what the next turns of tenants are about, as far as there is room. Raises `DatabaseAway`."""
    lines = {queue: list(line) for queue, line in groupby(sharers, attrgetter("queue"))}
    turns = [
        (queue, tenant, number)
        for queue, line in lines.items()
        for tenant, number in allot(line, _share_of(queue, workers), all_seen=len(line) < MOST_SHARERS).items()
    ]
    if not turns:
        return [], Shares(lines)
    queues, names, numbers = map(list, zip(*turns, strict=True))
    ages = ages_of(workers)
    asked = {"queues": queues, "tenants": names, "tasks": numbers, "ages": [ages.get(queue) for queue in queues]}
    rows = session.rows("lock_turns", asked, binary=True)
    tenants: dict[UUID, TenantName] = {row[0]: (row[1], row[-1]) for row in rows}
    return [Candidate._make(row[:-1]) for row in rows], Shares(lines, tenants)


def _share_of(queue: str, workers: Sequence[Room]) -> int:
    """How many tasks of a queue one pass may give away, to all workers that serve it."""
    shares = {str(each.queues): each.share for each in workers if each.queues is None or queue in each.queues}
    return min(sum(shares.values()), room_for(queue, workers))


def note_turns(session: Session, shares: Shares, found: Match) -> None:
    """Note, in the pipeline of a pass, who was served last. Raises `psycopg.Error`."""
    if last := shares.served_last(found.tasks):
        tenants, used = map(list, zip(*last.values(), strict=True))
        parameters: dict[str, Any] = {"queues": list(last), "tenants": tenants, "used": used}
        session.send("note_turns", parameters)
