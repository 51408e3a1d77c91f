"""Where looks at what a worker owns begin, so that they do not walk over the same useless rows many times a second.

While some transaction holds an old snapshot, the index of owned tasks keeps an entry of each task that has ended since.
Each pass, start, beat and round hands the next one a lower bound of what it found: a worker's *floor*. It is a second
below what was seen, because an assignment bears the moment its transaction began and is seen when it has committed.

Where surveys begin is ``flow_app/outlook.py``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from tasks_app.sessions import Session

#: The floor of a worker nothing is known of.
LOWEST: Final = "-infinity"
#: Seconds after which floors are forgotten: when the database's clock was set back, nothing stays unseen for longer.
FORGET_AFTER: Final = 10.0
#: Of starts: they would wait for a look at everything. Beats make one in a thread of their own, and say what they saw.
LOWERED_BY_BEATS: Final = math.inf
#: The same for schedulers. A pass that counts too little assigns more than there is room for, and nothing else, and all
#: passes of an installation wait while one looks at everything.
SCHEDULERS_FORGET_AFTER: Final = 600.0
#: Seconds for which a floor is high enough.
ASK_EVERY: Final = 0.1


class Floors:
    """Lower bounds of ``assigned_at`` by worker, as the database wrote them. Good for one unbroken connection.

    Used by the thread that owns the session; `lower` by any.
    """

    def __init__(self, forget_after: float = FORGET_AFTER) -> None:
        self._floors: dict[UUID, str] = {}
        self._epoch = 0
        self._forget_after = forget_after
        self._forget_at = 0.0
        self._ask_at = 0.0
        self._seen: dict[UUID, str] = {}

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
        while self._seen:
            worker_id, floor = self._seen.popitem()
            if _is_lower(floor, self._floors.get(worker_id, LOWEST)):
                self._floors[worker_id] = floor
        return self._floors

    def note(self, found: Iterable[tuple[UUID, str]]) -> None:
        """Remember what a statement returned."""
        self._floors.update(found)
        self._ask_at = time.monotonic() + ASK_EVERY

    def lower(self, worker_id: UUID, floor: str) -> None:
        """Begin there from the next statement on, if that is lower, whatever the one under way may note."""
        self._seen[worker_id] = floor


def _is_lower(floor: str, than: str) -> bool:
    """Whether one floor, as the database wrote it, lies before another."""
    return than != LOWEST and datetime.fromisoformat(floor) < datetime.fromisoformat(than)
