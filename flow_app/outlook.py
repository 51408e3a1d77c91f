"""Where a scheduler's next survey and pass begin to look: what its last ones taught it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from tasks_app.floors import SCHEDULERS_FORGET_AFTER, Floors
from tasks_app.sessions import Session

#: Seconds: a pass or survey as long as this has walked over something.
SLOW: Final = 0.01

#: How many times its own length a slow survey is spared, and the most seconds of that.
SPARED: Final = 1000

MOST_SPARED: Final = 60.0

#: Seconds after which everything behind a locked head is looked at again, whether that head was let go or not.
LOOK_AGAIN: Final = 20.0

#: More pairs than a survey answers at once are not kept in mind.
MOST_PAIRS: Final = 2000

#: A queue and a priority.
Pair = tuple[str, int]


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
    #: Whether something waits in a pair that was not asked for.
    elsewhere: bool


class Passed(NamedTuple):
    """What ``assign_due_tasks.sql`` returns: the pass, its workers, and the pairs it found something in.

    ``workers``, ``given`` and ``floors`` are parallel, and so are ``queues``, ``priorities`` and ``earliest``: the
    first due time of the pair that it could lock.
    """

    parked: int
    room: int
    began_at: str
    workers: list[UUID]
    given: list[int]
    floors: list[str]
    queues: list[str]
    priorities: list[int]
    earliest: list[str]


def pairs_of(due: Iterable[Head]) -> Iterator[tuple[Pair, Head]]:
    return (((head.queue, head.priority), head) for head in due if head.queue is not None)


class KnownPairs:
    """The pairs surveys have found, each with its floor: nothing that waits there is due before it.

    Good for one unbroken connection. Used by the thread that owns the session; `forget` by any.
    """

    def __init__(self) -> None:
        self._floors: dict[Pair, str] = {}
        self._epoch = 0
        self._good_until = 0.0

    def current(self, session: Session) -> dict[Pair, str]:
        """The floors to look behind; empty when everything is to be looked at. Raises `DatabaseAway`."""
        if session.connection and session.epoch != self._epoch:
            self._floors, self._epoch, self._good_until = {}, session.epoch, 0.0
        return self._floors if time.monotonic() < self._good_until else {}

    def note(self, found: Iterable[tuple[Pair, str]]) -> None:
        """Remember what a survey answered."""
        self._floors.update(found)
        if len(self._floors) > MOST_PAIRS:
            self._floors.clear()

    def note_cost(self, seconds: float) -> None:
        """How long a survey of everything took: a slow one is not to be made again soon."""
        spared = min(SPARED * seconds, MOST_SPARED) if seconds >= SLOW else 0.0
        self._good_until = time.monotonic() + spared

    def forget(self) -> None:
        """Look at everything next time."""
        self._good_until = 0.0


class LockedHeads:
    """Where passes begin behind heads that somebody else has locked, by pair. Used by one thread."""

    def __init__(self) -> None:
        self._behind: dict[Pair, tuple[UUID, str, float]] = {}

    def behind(self, pair: Pair, head: UUID) -> str | None:
        """The due time to begin at, as long as the pair has this head; None: at the head."""
        known, run_at, until = self._behind.get(pair, (None, "", 0.0))
        return run_at if known == head and time.monotonic() < until else None

    def note(self, pair: Pair, head: UUID, run_at: str) -> None:
        """A slow pass could lock nothing of this pair that is due before ``run_at``."""
        if len(self._behind) > MOST_PAIRS:
            self._behind.clear()
        self._behind[pair] = (head, run_at, time.monotonic() + LOOK_AGAIN)


@dataclass(slots=True)
class Outlook:
    """Where a scheduler's next survey and pass begin to look: what its last ones taught it (``floors``)."""

    floors: Floors = field(default_factory=lambda: Floors(SCHEDULERS_FORGET_AFTER))
    pairs: KnownPairs = field(default_factory=KnownPairs)
    locked: LockedHeads = field(default_factory=LockedHeads)

    def learn(self, due: list[Head], passed: Passed, *, slow: bool) -> None:
        """Take what a pass over these heads found."""
        self.floors.note(zip(passed.workers, passed.floors, strict=True))
        pairs = zip(passed.queues, passed.priorities, strict=True)
        earliest = dict(zip(pairs, passed.earliest, strict=True))
        if slow and (passed.room or earliest):
            for pair, head in pairs_of(due):
                if (at := earliest.get(pair, passed.began_at)) != head.run_at:
                    self.locked.note(pair, head.task_id, at)
