"""What a pass counts and locks before anything is decided: the room of workers, due tasks, concurrency keys.

All of it in the pass's transaction, so that it stays true until the commit. What is made of it: ``matching.py``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from flow_app.ageing import order_by
from flow_app.budgets import Budget, key_rate
from flow_app.matching import NOTHING, Candidate, Key, KeyName, Match, Met
from flow_app.outlook import Head, Outlook, labelled_places
from flow_app.reserving import PATIENCE
from flow_app.rooms import Room
from flow_app.sharing import Sharer
from flow_app.survey import Survey
from flow_app.turns import Begun, begin_turns, fair_queues, without_turns
from tasks_app.sessions import Row, Session


@dataclass(frozen=True, slots=True)
class Locked:
    """What a pass has counted and locked; nothing when ``held`` is false, because somebody else makes one.

    ``began_at`` is the database's time at its beginning. ``sharers`` are the tenants of shared queues, and ``sorted``
    is how many tasks were sorted in or out. ``met`` are the needs of candidates that each worker meets.
    """

    held: bool
    began_at: str
    workers: list[Room]
    candidates: list[Candidate]
    sharers: list[Sharer]
    sorted: int
    met: Met


class KeyRow(NamedTuple):
    """A concurrency key that is held or that nobody may have; with a ``first``, one of those that may have it next."""

    queue: str
    concurrency_key: str
    most: int
    tokens: int | None
    holders: list[UUID] | None
    slots: list[int] | None
    first: UUID | None
    priority: int
    run_at: datetime
    suspect: bool
    target: str | None
    needs_id: int | None
    #: How many slots of its worker it takes.
    takes: int | None


class TargetRow(NamedTuple):
    """How many more tasks that call a host may be given away, by its limit and by its rate. None: it has none."""

    host: str
    room: int | None
    tokens: int | None


def begin_pass(session: Session, due: list[Head], survey: Survey, limit: int, outlook: Outlook) -> Locked:
    """Begin a transaction, take the pass, count room and lock what is due of these heads: one trip.

    Raises `psycopg.Error`; the transaction is open then.
    """
    shared = survey.shared
    places, floors = outlook.places(without_turns(due, shared) if shared else due), outlook.workers.current(session)
    suspects = any(head.queue is None for head in due)
    labelled = labelled_places(due)
    counted = {"workers": list(floors), "floors": list(floors.values())}
    room = counted | {"limit": limit, "suspects": suspects}
    room["queues"] = places["queues"] + labelled["queues"] + fair_queues(due, shared)
    with session.connection.pipeline():
        session.connection.execute("BEGIN")
        taken = take_pass(session)
        workers = _count_room(session, room)
        found = [_lock_candidates(session, places)]
        if suspects:
            found.append(_lock_suspects(session, survey.classes))
        if labelled["needs"]:
            found.append(_lock_labelled(session, counted | labelled | {"before": len(places["queues"])}))
        met = _meet_needs(session, labelled["needs"], suspects=suspects) if suspects or labelled["needs"] else None
        begun = begin_turns(session, due, shared, outlook) if shared else Begun([], None)
    [(_, held, began_at)] = taken.fetchall()
    sharers = begun.sharers.fetchall() if begun.sharers else []
    moved = sum(number for cursor in begun.moved for (number,) in cursor.fetchall())
    candidates = [row for cursor in found for row in cursor.fetchall()]
    met_by = dict(met.fetchall()) if met else NOTHING
    return Locked(held, began_at, workers.fetchall(), candidates, sharers, moved, met_by)


def look_at_keys(
    session: Session, candidates: Iterable[Candidate], ages: Mapping[str, int] = MappingProxyType({})
) -> dict[KeyName, Key]:
    """Who holds, or comes first for, the concurrency keys of candidates. Raises `DatabaseAway`."""
    wanted = Counter((each.queue, each.concurrency_key) for each in candidates if each.concurrency_key is not None)
    if not wanted:
        return {}
    names = sorted(wanted)
    asked: dict[str, Any] = {"queues": [queue for queue, _ in names], "keys": [key for _, key in names]}
    asked["ages"] = [ages.get(queue) for queue, _ in names]
    rows = session.rows("look_at_keys", asked | {"wanted": [wanted[name] for name in names]}, of=KeyRow, binary=True)
    found: dict[KeyName, Key] = {}
    for row in rows:
        if row.first is None:
            found[row.queue, row.concurrency_key] = Key(row.most, row.holders or (), row.slots or (), [], row.tokens)
    for row in rows:
        if row.first is not None:
            name, needs = (row.queue, row.concurrency_key), (row.needs_id, row.takes or 1)
            if name not in found:
                found[name] = Key(row.most, (), (), [], row.tokens)
            found[name].firsts.append(
                Candidate(row.first, row.queue, row.priority, row.run_at, name[1], row.suspect, row.target, *needs)
            )
    for name in wanted.keys() - found.keys():
        found[name] = Key(1, (), (), [])  # nobody holds it, and who waits for it is in other hands
    order = order_by(ages)
    for each in found.values():
        if len(each.firsts) > 1:
            each.firsts.sort(key=order)
    return found


def tokens_of(keys: Mapping[KeyName, Key]) -> dict[Budget, int]:
    """How many tasks of these keys may start now, by the rates of their queues for each key."""
    return {key_rate(*name): key.tokens for name, key in keys.items() if key.tokens is not None}


def firsts_of(keys: Mapping[KeyName, Key]) -> list[Candidate]:
    """The tasks that are next for concurrency keys."""
    return [first for key in keys.values() for first in key.firsts]


def given(found: Match) -> dict[str, Any]:
    """Parameters of ``assign_due_tasks.sql`` for what was matched."""
    slots = [found.key_slots.get(task_id) for task_id in found.tasks] if found.key_slots else []
    limited = {"limited": found.limited("queue"), "targets": found.limited("target")}
    return {"ids": found.tasks, "workers": found.workers, "key_slots": slots} | limited


def look_at_targets(session: Session, wanted: Iterable[Candidate]) -> dict[Budget, int]:
    """How many more tasks may be given away that call the hosts of these, where those have a limit or rate or back off.

    Raises `DatabaseAway`.
    """
    hosts = {each.target for each in wanted if each.target is not None}
    if not hosts:
        return {}
    found: dict[Budget, int | None] = {}
    for each in session.rows("look_at_targets", {"hosts": sorted(hosts)}, of=TargetRow):
        found |= {("target", each.host): each.room, ("target rate", each.host): each.tokens}
    return {budget: number for budget, number in found.items() if number is not None}


def refused_by_targets(found: Match, wanted: Iterable[Candidate]) -> list[Candidate]:
    """Those whose target leaves no room any more, and that were not given away."""
    full = {name for (kind, name), left in found.limits.items() if kind in ("target", "target rate") and left <= 0}
    given = set(found.tasks) if full else set()
    return [each for each in wanted if each.target in full and each.task_id not in given]


def park_behind_targets(session: Session, refused: Sequence[Candidate]) -> psycopg.Cursor[Row]:
    """Park what a pass has locked and its targets leave no room for, and what lies behind it; one row says how many."""
    hosts = sorted({each.target for each in refused if each.target is not None})
    return session.send("park_behind_targets", _places_of(refused) | {"hosts": hosts})


def _refused_by_rates(found: Match, keys: Mapping[KeyName, Key], wanted: Iterable[Candidate]) -> list[Candidate]:
    """Those of keys that would have room and have no token any more, and that were not given away."""
    taken = Counter(found.keys)
    empty = {
        name
        for name, key in keys.items()
        if found.limits.get(key_rate(*name), 1) <= 0 and len(key.holders) + taken[name] < key.most
    }
    given = set(found.tasks) if empty else set()
    return [each for each in wanted if (each.queue, each.concurrency_key) in empty and each.task_id not in given]


def park_behind_rates(
    session: Session, found: Match, keys: Mapping[KeyName, Key], wanted: Iterable[Candidate]
) -> list[psycopg.Cursor[Row]]:
    """Park what a pass has locked and that has no token of its key, and what lies behind it; if any, how many."""
    if not (refused := _refused_by_rates(found, keys, wanted)):
        return []
    names = sorted({(each.queue, each.concurrency_key or "") for each in refused})
    named = {"key_queues": [queue for queue, _ in names], "keys": [key for _, key in names]}
    return [session.send("park_behind_rates", _places_of(refused) | named)]


def _places_of(refused: Sequence[Candidate]) -> dict[str, list[Any]]:
    """Who was refused, and in which pairs, from where on, others may be to whom the same happens."""
    places: dict[tuple[str, int], datetime] = {}
    for each in refused:
        pair = each.queue, each.priority
        places[pair] = min(each.run_at, places.get(pair, each.run_at))
    return {
        "ids": [each.task_id for each in refused],
        "queues": [queue for queue, _ in places],
        "priorities": [priority for _, priority in places],
        "from": list(places.values()),
    }


def park_behind_keys(session: Session, found: Match, keys: Mapping[KeyName, Key]) -> psycopg.Cursor[Row]:
    """Park what waits for keys that are full with what was given away, or kept for others; one row says how many."""
    given = Counter(found.keys)
    kept = places_kept(found, keys)
    full = [name for name, key in keys.items() if len(key.holders) + given[name] + len(kept.get(name, ())) >= key.most]
    asked: dict[str, Any] = {"queues": [queue for queue, _ in full], "keys": [key for _, key in full]}
    asked["held"] = [len(keys[name].holders) for name in full]
    asked["holders"] = [holder for name in full for holder in keys[name].holders]
    asked["kept"] = [task_id for name in full for task_id in kept.get(name, ())]
    return session.send("park_behind_keys", asked)


def places_kept(found: Match, keys: Mapping[KeyName, Key]) -> dict[KeyName, list[UUID]]:
    """For whom a slot of their key stays free: first in its line, and not given away for want of a worker of their own.

    Without that what waits behind them would be looked at by every pass, in the place of what could run.
    """
    gone = set(found.tasks)
    waiting = [first for first in firsts_of(keys) if first.suspect or first.needs_id is not None]
    kept: dict[KeyName, list[UUID]] = defaultdict(list)
    for first in waiting:
        if first.task_id not in gone:
            kept[first.queue, first.concurrency_key or ""].append(first.task_id)
    return kept


def charge_buckets(session: Session, found: Match, keys: Mapping[KeyName, Key]) -> None:
    """Charge the rates of queues, targets and keys for what was given away of them, if one of these has a rate."""
    charge_target_buckets(session, found)
    charge_key_buckets(session, found, keys)
    if charged := _charged(found, "rate"):
        session.send("charge_buckets", {"ids": list(charged), "queues": list(charged.values())})


def charge_target_buckets(session: Session, found: Match) -> None:
    """Charge the rates of targets."""
    if charged := _charged(found, "target rate"):
        session.send("charge_target_buckets", {"ids": list(charged), "hosts": list(charged.values())})


def _charged(found: Match, kind: str) -> dict[UUID, str]:
    """The tasks that take tokens of budgets of this kind, and the names of these."""
    return {task_id: name for task_id, (each, name) in found.charged if each == kind}


def note_costly(session: Session, found: Match) -> None:
    """Note that tasks of several slots were given away, if any was: the next ones begin to wait."""
    if found.costly:
        session.send("note_costly", {"needs": sorted(found.costly)})


def charge_key_buckets(session: Session, found: Match, keys: Mapping[KeyName, Key]) -> None:
    """Charge the rates of concurrency keys for what was given away of them, if one of these has a rate."""
    names = {key_rate(*name): name for name, key in keys.items() if key.tokens is not None}
    if charged := [(task_id, *names[budget]) for task_id, budget in found.charged if budget in names]:
        ids, queues, keys_of = zip(*charged, strict=True)
        session.send("charge_key_buckets", {"ids": list(ids), "queues": list(queues), "keys": list(keys_of)})


def take_pass(session: Session) -> psycopg.Cursor[Row]:
    """Take the pass in the transaction that is open, without waiting; the statements behind look whether it is held."""
    return session.send("take_pass")


def _count_room(session: Session, asked: dict[str, Any]) -> psycopg.Cursor[Room]:
    return session.send("count_room", asked, of=Room)


def _lock_candidates(session: Session, places: dict[str, list[Any]]) -> psycopg.Cursor[Candidate]:
    return session.send("lock_candidates", places, of=Candidate, binary=True)


def _lock_labelled(session: Session, places: dict[str, Any]) -> psycopg.Cursor[Candidate]:
    return session.send("lock_labelled", places, of=Candidate, binary=True)


def _meet_needs(session: Session, needs: Collection[int], *, suspects: bool) -> psycopg.Cursor[Row]:
    return session.send("meet_needs", {"needs": list(set(needs)), "suspects": suspects})


def _lock_suspects(session: Session, classes: Iterable[list[str] | None]) -> psycopg.Cursor[Candidate]:
    texts = [None if queues is None else "{" + ",".join(f'"{queue}"' for queue in queues) + "}" for queues in classes]
    return session.send("lock_suspects", {"classes": texts, "patience": PATIENCE}, of=Candidate, binary=True)
