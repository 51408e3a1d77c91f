"""Where passes and starts begin to look, so that they do not walk over the same useless rows many times a second.

While some transaction holds an old snapshot, the index of owned tasks keeps an entry of each task that has ended since.
Each pass, start, beat and round hands the next one a lower bound of what it found: a worker's *floor*. It is a second
below what was seen, because an assignment bears the moment its transaction began and is seen when it has committed.

The index of waiting tasks keeps such entries too, and a survey walks over them. Once one has been slow, the next ones
look only behind the floors of the pairs that are known, and whether anything waits in another pair, for up to a minute.
What comes in sight and is older than a second (a task handed back, freed by its concurrency key, or created in a long
transaction) is not missed: whoever makes it so wakes the schedulers with a hint to look at everything.

While somebody holds locks on thousands of due tasks, a pass tries each of them in turn. A slow pass that could not lock
the head of a pair makes the next ones begin behind what is locked, and try that head by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final
from uuid import UUID

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

#: The floor of a worker nothing is known of.
LOWEST: Final = "-infinity"
#: Seconds after which floors are forgotten: when the database's clock was set back, nothing stays unseen for longer.
FORGET_AFTER: Final = 10.0
#: The same for schedulers. A pass that counts too little assigns more than there is room for, and nothing else, and all
#: passes of an installation wait while one looks at everything.
SCHEDULERS_FORGET_AFTER: Final = 600.0
#: Seconds for which a floor is high enough.
ASK_EVERY: Final = 0.1


class Floors:
    """Lower bounds of ``assigned_at`` by worker, as the database wrote them. Good for one unbroken connection.

    Used by the thread that owns the session; `forget` by any.
    """

    def __init__(self, forget_after: float = FORGET_AFTER) -> None:
        self._floors: dict[UUID, str] = {}
        self._epoch = 0
        self._forget_after = forget_after
        self._forget_at = 0.0
        self._ask_at = 0.0

    @property
    def are_old(self) -> bool:
        """Whether it is time to look for higher ones, where that costs something."""
        return time.monotonic() >= self._ask_at

    def current(self, session: Session) -> dict[UUID, str]:
        """The floors that hold for the next statement of this session. Raises `DatabaseAway`."""
        now = time.monotonic()
        if now >= self._forget_at or (session.connection and session.epoch != self._epoch):
            self._floors = {}
            self._epoch, self._forget_at = session.epoch, now + self._forget_after
        return self._floors

    def note(self, found: Iterable[tuple[UUID, str]]) -> None:
        """Remember what a statement answered."""
        self._floors.update(found)
        self._ask_at = time.monotonic() + ASK_EVERY

    def forget(self) -> None:
        """Look at everything next time."""
        self._forget_at = 0.0


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
