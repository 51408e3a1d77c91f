"""Where a scheduler's next survey and pass begin to look: what its last ones taught it.

While some transaction holds an old snapshot, the index of waiting tasks keeps an entry of each task that was assigned
since, and a look at everything walks over them. Once one has been slow, surveys begin at the *floors* of the pairs they
know. What comes in sight below was due long before: it was handed back, freed by its concurrency key, or created in a
long transaction. When a hint says so, the next survey looks at everything. Else the housekeeper finds it, who looks at
everything twice in a poll interval and keeps no pass waiting. Floors do not hold when no look has confirmed them for a
poll interval.

While somebody holds locks on thousands of due tasks, a pass tries each of them in turn. A slow pass that could not lock
the head of a pair makes the next ones begin behind what is locked, and try that head by itself.

Floors of what a worker owns are ``tasks_app/floors.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from flow_app.matching import Candidate
from flow_app.rooms import Room, room_for
from tasks_app import wakeups
from tasks_app.floors import LOWEST, SCHEDULERS_FORGET_AFTER, Floors
from tasks_app.sessions import Session
from tasks_app.wakeups import Pair

#: Seconds: a pass or a look at everything as long as this has walked over something,
SLOW: Final = 0.01
#: unless the look found many heads: each may take it as many seconds more.
A_HEAD: Final = 0.0001
#: How many times its own length a slow look holds good, if that is more than a poll interval.
HOLDS: Final = 20
#: Seconds after which everything behind a locked head is looked at again, whether that head was let go or not.
LOOK_AGAIN: Final = 20.0
#: Of a floor below what was seen, as in the statements.
MARGIN: Final = timedelta(seconds=1)
#: More pairs than a survey returns at once are not kept in mind.
MOST_PAIRS: Final = 2000

_NIL: Final = UUID(int=0)


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
    #: What the tasks need of their worker; None: nothing. Each needs have heads of their own.
    needs_id: int | None = None


def pairs_of(due: Iterable[Head]) -> Iterator[tuple[Pair, Head]]:
    """The heads of tasks that any worker of their queue can run."""
    return (((head.queue, head.priority), head) for head in due if head.queue is not None and head.needs_id is None)


def labelled_places(due: Iterable[Head]) -> dict[str, list[Any]]:
    """Where a pass begins to look at the others, as parallel arrays. They have no floors, and are not begun behind."""
    heads = [head for head in due if head.needs_id is not None]
    return {
        "needs": [head.needs_id for head in heads],
        "queues": [head.queue for head in heads],
        "priorities": [head.priority for head in heads],
        "from": [head.run_at for head in heads],
        "ids": [head.task_id for head in heads],
    }


class Look(NamedTuple):
    """A look at everything: when it began, by the monotonic clock, and its length in seconds, 0 when it was quick."""

    began: float
    took: float


class KnownPairs:
    """The pairs surveys have found, each with its floor: when it was noted, nothing due before was waiting there.

    Good for one unbroken connection. Two threads use it: that of the surveys, and the one that looks beside them.
    """

    def __init__(self) -> None:
        self._floors: dict[Pair, str] = {}
        self._epoch = 0
        self._look = Look(0.0, 0.0)
        self._doubted_at = 0.0

    def current(self, session: Session) -> dict[Pair, str]:
        """The floors to begin at; empty when everything is to be looked at. Raises `DatabaseAway`."""
        if session.connection and session.epoch != self._epoch:
            self._floors, self._epoch = {}, session.epoch
        return self.held()

    def note(self, heads: Iterable[Head]) -> None:
        """Remember what a survey found."""
        self._floors.update((pair, head.floor) for pair, head in pairs_of(heads))
        if len(self._floors) > MOST_PAIRS:
            self._floors = {}

    def heads_of(self, session: Session, pairs: Iterable[Pair]) -> list[Head]:
        """Heads that stand for new tasks of these pairs, wherever in them they lie. Raises `DatabaseAway`."""
        floors = self.current(session)
        places = [(queue, priority, floors.get((queue, priority), LOWEST)) for queue, priority in pairs]
        return [Head(queue, priority, 0.0, floor, _NIL, floor) for queue, priority, floor in places]

    def note_new(self, earliest: Mapping[Pair, datetime]) -> None:
        """Remember where passes over `heads_of` these pairs found the first task: no survey may ever see one there."""
        if self.held():
            self._floors.update((pair, (at - MARGIN).isoformat()) for pair, at in earliest.items())

    # Both threads, and `doubt` any

    def held(self) -> dict[Pair, str]:
        """A copy of the floors while they hold: a look has begun since the last doubt, and not long ago."""
        look = self._look
        until = look.began + max(wakeups.longest_rest().total_seconds(), HOLDS * look.took)
        holds = look.took and self._doubted_at < look.began and time.monotonic() < until
        return self._floors.copy() if holds else {}

    def note_look(self, began: float, heads: list[Head]) -> None:
        """Note a look at everything that found these heads, and nothing that surveys behind the floors do not see."""
        took = time.monotonic() - began
        self._look = Look(began, took if took >= SLOW + A_HEAD * len(heads) else 0.0)

    def trusted_since(self, began: float) -> bool:
        """Whether nobody has had a doubt since then, by the monotonic clock."""
        return self._doubted_at < began

    def doubt(self) -> None:
        """Something may wait out of sight: look at everything next time."""
        self._doubted_at = time.monotonic()

    @property
    def rest(self) -> float:
        """Seconds until somebody should look at everything beside the surveys; infinite while they do so themselves."""
        longest, took = wakeups.longest_rest().total_seconds(), self._look.took
        return max(longest / 2, took) if took else float("inf")


def lies_below(floors: dict[Pair, str], pair: Pair, head: Head) -> bool:
    """Whether surveys from these floors on do not see this head."""
    floor = floors.get(pair)
    return floor is not None and datetime.fromisoformat(head.run_at) < datetime.fromisoformat(floor)


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


class Place(NamedTuple):
    """How far the walk of a thaw over what waits behind freezes has come, and whether it has found nothing so far."""

    level: int = -101
    run_at: str = "-infinity"
    task_id: UUID = _NIL
    clean: bool = True


#: Where each walk begins.
BEGINNING: Final = Place()


@dataclass(slots=True)
class Calm:
    """What a survey left that found nothing due: what becomes due later comes with a hint, or is found by the next one.

    ``shared`` are the queues in which tasks may wait for turns, and whether they are shared now.

    ``until`` is when that one is made, by the monotonic clock: when the next task falls due, or a poll interval later.
    It may be postponed once, by a thread beside that looked for the same and found nothing either.
    """

    classes: list[list[str] | None]
    began: float
    until: float
    shared: dict[str, bool] = field(default_factory=dict)
    postponed: bool = False

    def holds(self, pairs: KnownPairs) -> bool:
        return time.monotonic() < self.until and pairs.trusted_since(self.began)

    @property
    def rest(self) -> timedelta:
        return timedelta(seconds=max(0.0, self.until - time.monotonic()))

    def postpone(self, began: float) -> None:
        """Have the next survey a poll interval behind a look that began then."""
        self.until, self.postponed = max(self.until, began + wakeups.longest_rest().total_seconds()), True


@dataclass(slots=True)
class Outlook:
    """What one scheduler has learnt: its surveys and passes read it and keep it up."""

    workers: Floors = field(default_factory=lambda: Floors(SCHEDULERS_FORGET_AFTER))
    pairs: KnownPairs = field(default_factory=KnownPairs)
    locked: LockedHeads = field(default_factory=LockedHeads)
    #: While nothing was due when last looked for.
    calm: Calm | None = None
    #: Whether tasks may wait behind a gate that this scheduler opens: for their targets,
    gated: bool = True
    #: for tokens of their concurrency keys,
    awaits_tokens: bool = True
    #: or for the thaw of a freeze, which has begun or has a time;
    frozen: bool = True
    #: of which each has come so far.
    thaws: dict[UUID, Place] = field(default_factory=dict)
    #: By the monotonic clock: until when passes do without hints to workers.
    quiet_until: float = 0.0

    @property
    def opens_gates(self) -> bool:
        """Whether somebody has to open gates before each survey."""
        return self.gated or self.awaits_tokens or self.frozen

    def calm_ending(self, *, within: float) -> Calm | None:
        """That of the scheduler, if its next survey comes within so many seconds and may be postponed.

        One that has been may not: every other survey is its own, over its own session. Nor while looks are slow.
        """
        calm = self.calm
        if calm is None or calm.postponed or calm.rest.total_seconds() > within or self.pairs.rest < float("inf"):
            return None
        return calm

    def places(self, due: list[Head]) -> dict[str, list[Any]]:
        """Where a pass over these heads begins to look: parallel arrays, without the suspects' head."""
        places: dict[str, list[Any]] = {"queues": [], "priorities": [], "from": [], "ids": [], "locked": []}
        for pair, head in pairs_of(due):
            behind = self.locked.behind(pair, head.task_id)
            if behind is not None:
                places["locked"].append(head.task_id)
            places["queues"].append(pair[0])
            places["priorities"].append(pair[1])
            places["from"].append(head.run_at if behind is None else behind)
            places["ids"].append(head.task_id if behind is None else _NIL)
        return places

    def learn(self, due: list[Head], workers: Sequence[Room], candidates: Iterable[Candidate], slow_from: str) -> None:
        """Take what a pass over these heads found. ``slow_from`` is when a slow one began; empty: it was quick."""
        self.workers.note((worker.worker_id, worker.floor) for worker in workers)
        new = any(head.task_id == _NIL for head in due)
        if not slow_from and not new:
            return
        earliest: dict[Pair, datetime] = {}
        for each in candidates:
            if not each.suspect and each.needs_id is None:
                pair = each.queue, each.priority
                earliest[pair] = min(each.run_at, earliest.get(pair, each.run_at))
        if new:
            self.pairs.note_new(earliest)
            return
        for pair, head in pairs_of(due):
            at = earliest.get(pair)
            # Where there was no room nothing was locked by us, and nothing is known to be locked by others.
            if at != datetime.fromisoformat(head.run_at) and (at or room_for(pair[0], workers)):
                self.locked.note(pair, head.task_id, slow_from if at is None else at.isoformat())
