"""Queues that are full: of which no more than so many tasks may wait, all in all or for each concurrency key.

Whoever makes tasks asks first, once for all of a call, and what does not fit is refused. There is no counter that could
leak: what waits is counted from rows, whatever it waits for. Calls that come at the same time do not see each other,
and may all be let in by the same room: a bound is exceeded by no more than they bring.

Whoever inserts one task asks in the same statement (`inserting.insert_task`), and does without for a second once a
queue was found to have no bound: planning the question is a tenth of the insert. So a bound that is set holds within a
second, and at once in the process that sets it.

A count that stops at a small bound is made each time. One of millions takes its time: it is remembered for `HOLDS`
times as long as it took, with what this process has let in since. Other processes remember their own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from access_app.sql import Cursor, statement

#: A queue and a concurrency key of it; None: the queue itself, or no key.
Name = tuple[str, str | None]

#: Up to this bound, what waits is counted on each call: 0.3 ms of the server.
EACH_TIME: Final = 1000
#: Seconds beyond which such a count is kept, too: it walks over entries of tasks that have gone and are not vacuumed.
SLOW: Final = 0.1
#: A longer count holds so many times as long as it took, so that counting never takes more than a part of a process.
HOLDS: Final = 20
#: Seconds in which a process takes a queue for one without bounds.
UNBOUNDED_FOR: Final = 1.0
#: More counts, or queues, than these are not kept in mind.
MOST_KEPT: Final = 1000
#: Seconds a refused caller is asked to wait at least and at most.
SOONEST: Final = 1
LATEST: Final = 60


class Full(NamedTuple):
    """What takes no more: a queue, or a concurrency key of it. ``waiting`` is counted to one more than ``most``."""

    queue: str
    key: str | None
    most: int
    waiting: int

    @property
    def rule(self) -> str:
        """What the rule is called in JSON."""
        return "maxWaiting" if self.key is None else "perKey.maxWaiting"

    @property
    def field(self) -> str:
        """The field of a task that brings it there."""
        return "queue" if self.key is None else "concurrencyKey"

    def __str__(self) -> str:
        named = f"queue {self.queue}" if self.key is None else f"concurrency key {self.key} of queue {self.queue}"
        more = f"more than {self.most:,}" if self.waiting > self.most else f"{self.waiting:,}"
        return f"{named} is full: {more} tasks wait, and its {self.rule} is {self.most:,}"


class QueueFull(Exception):
    """A task was refused, because too many wait. ``retry_after``: seconds until it is worth trying again."""

    def __init__(self, full: Full, retry_after: int) -> None:
        super().__init__(str(full))
        self.full = full
        self.retry_after = retry_after


@dataclass(slots=True)
class Room:
    """How much more may come to wait: of each bound, how many may wait and do."""

    most: dict[Name, int] = field(default_factory=dict)
    waiting: dict[Name, int] = field(default_factory=dict)

    def take(self, queue: str, key: str | None) -> Full | None:
        """Let a task in, under all bounds that it comes under; else what is full."""
        names = [name for name in dict.fromkeys(((queue, None), (queue, key))) if name in self.most]
        for name in names:
            if self.waiting[name] >= self.most[name]:
                return Full(*name, self.most[name], self.waiting[name])
        for name in names:
            self.waiting[name] += 1
        return None


class Counts:
    """What was counted lately by this process, and is too dear to be counted again each time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: How many wait, the bound it was counted for, and until when that holds, by the monotonic clock.
        self._counted: dict[Name, tuple[int, int, float]] = {}

    def known(self, name: Name, most: int, now: float) -> int | None:
        """How many wait, as far as is known; a count that stopped at a lower bound says nothing of a higher one."""
        with self._lock:
            waiting, counted_to, until = self._counted.get(name, (0, 0, 0.0))
        return waiting if now < until and (counted_to >= most or waiting <= counted_to) else None

    def holds(self, name: Name, now: float) -> bool:
        """Whether it was counted lately."""
        with self._lock:
            return name in self._counted and now < self._counted[name][2]

    def note(self, name: Name, most: int, waiting: int, *, took: float, now: float) -> None:
        """A count that took so many seconds, and ended now."""
        with self._lock:
            if len(self._counted) >= MOST_KEPT:
                self._counted.clear()
            self._counted[name] = (waiting, most, now + HOLDS * took)

    def add(self, name: Name, number: int) -> None:
        """So many were let in."""
        with self._lock:
            if name in self._counted:
                waiting, most, until = self._counted[name]
                self._counted[name] = (waiting + number, most, until)


class Unbounded:
    """Queues that had no bounds a moment ago, and until when they are taken for such, by the monotonic clock."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def holds(self, queue: str, now: float) -> bool:
        return now < self._until.get(queue, 0.0)

    def note(self, queue: str, now: float) -> None:
        """It had none when somebody asked who began after this."""
        if len(self._until) >= MOST_KEPT:
            self._until.clear()
        self._until[queue] = now + UNBOUNDED_FOR

    def forget(self, queue: str) -> None:
        """Its bounds are changed by this process."""
        self._until.pop(queue, None)


unbounded: Final = Unbounded()
_counts: Final = Counts()
#: Of queues that refused a task lately: how many of their tasks ended in how many seconds, and until when that holds.
_paces: Final[dict[str, tuple[int, float, float]]] = {}


def admit(cursor: Cursor, asked: Sequence[Name]) -> list[Full | None]:
    """Let in tasks of these queues and keys, in their order; of each that is not, say what is full.

    One trip, and another when something is to be counted that is not known. Those that are let in are to be made in the
    same transaction: it holds no place for them.
    """
    room = _look_at_bounds(cursor, set(asked))
    before = room.waiting.copy()
    found = [room.take(*name) for name in asked]
    for name, waiting in room.waiting.items():
        _counts.add(name, waiting - before[name])
    return found


def require_room(cursor: Cursor, queue: str, key: str | None) -> None:
    """Let in one task. Raises `QueueFull`."""
    [full] = admit(cursor, [(queue, key)])
    if full is not None:
        raise queue_full(cursor, full)


def queue_full(cursor: Cursor, full: Full, refused: int = 1) -> QueueFull:
    """The refusal of so many tasks, with a time to wait for as many to end as the queue ends in its last minute."""
    return QueueFull(full, retry_after(refused, *_pace_of(cursor, full.queue)) if full.most else LATEST)


def retry_after(refused: int, ended: int, ended_in: float) -> int:
    """Seconds until so many more tasks have ended, at the pace of ``ended`` in so many seconds; bounded."""
    seconds = refused * ended_in / ended if ended else math.inf
    return math.ceil(min(max(seconds, SOONEST), LATEST))


def _look_at_bounds(cursor: Cursor, names: Collection[Name]) -> Room:
    queues, keys = zip(*names, strict=True)
    began = time.monotonic()
    known = {name for name in {*names, *((queue, None) for queue in queues)} if _counts.holds(name, began)}
    asked: dict[str, Any] = {"queues": list(queues), "keys": list(keys), "each_time": EACH_TIME}
    asked["known"] = [f"{queue} {key or ''}" for queue, key in known]
    cursor.execute(statement("look_at_bounds"), asked)
    rows, ended, room = cursor.fetchall(), time.monotonic(), Room()
    took = (ended - began) / max(1, len(rows))
    for queue, key, most, waiting in rows:
        name = queue, key
        room.most[name] = most
        room.waiting[name] = _count(cursor, name, most) if waiting is None else waiting
        if waiting is not None and took >= SLOW:
            _counts.note(name, most, waiting, took=took, now=ended)
    return room


def _count(cursor: Cursor, name: Name, most: int) -> int:
    """How many wait, as it is known or counted now."""
    known = _counts.known(name, most, time.monotonic())
    if known is not None:
        return known
    began = time.monotonic()
    cursor.execute("SELECT waiting_tasks(%s, %s, %s)", [*name, most + 1])
    [(waiting,)] = cursor.fetchall()
    ended = time.monotonic()
    _counts.note(name, most, waiting, took=ended - began, now=ended)
    return int(waiting)


def _pace_of(cursor: Cursor, queue: str) -> tuple[int, float]:
    """How many tasks of a queue have ended in how many seconds, as of a second ago at most: refusals come in floods."""
    ended, ended_in, until = _paces.get(queue, (0, 0.0, 0.0))
    if time.monotonic() < until:
        return ended, ended_in
    if len(_paces) >= MOST_KEPT:
        _paces.clear()
    ended, ended_in = _measure_pace(cursor, queue)
    _paces[queue] = ended, ended_in, time.monotonic() + SOONEST
    return ended, ended_in


def _measure_pace(cursor: Cursor, queue: str) -> tuple[int, float]:
    cursor.execute(statement("measure_pace"), {"queue": queue})
    [(ended, ended_in)] = cursor.fetchall()
    return ended, ended_in
