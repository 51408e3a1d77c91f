"""What freezes of types and targets keep from a pass. Those of queues it never meets: see ``count_room.sql``.

What such a freeze holds waits at the gate FREEZE, so that no pass reads it again; ``thawing.py`` opens that. A pass
that meets one of them parks it, with what lies behind it. Freezes begin and end with the pass held, so that none
changes in the middle of one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from flow_app.locking import firsts_of
from flow_app.matching import Candidate, Key, KeyName
from flow_app.rooms import Room, are_frozen
from tasks_app.sessions import Session


class Frozen:
    """What a pass has locked and may not give away. While no freeze of types or targets is open, it asks nothing."""

    def __init__(self, session: Session, workers: Sequence[Room]) -> None:
        self._session = session
        self._looks = are_frozen(workers)
        #: How many tasks were parked, with those that the pass had not locked.
        self.parked = 0

    def without(self, candidates: list[Candidate]) -> list[Candidate]:
        """The others of these. Raises `DatabaseAway`."""
        held = self._held(candidates)
        return [each for each in candidates if each.task_id not in held] if held else candidates

    def without_firsts(self, keys: dict[KeyName, Key]) -> Mapping[KeyName, Key]:
        """The same keys; those that come first for them and are held are parked and out of their way.

        Raises `DatabaseAway`.
        """
        if not (held := self._held(firsts_of(keys))):
            return keys
        return {
            name: key._replace(firsts=[each for each in key.firsts if each.task_id not in held])
            for name, key in keys.items()
        }

    def _held(self, candidates: Collection[Candidate]) -> set[UUID]:
        if not self._looks or not candidates:
            return set()
        held = park_frozen(self._session, [each.task_id for each in candidates])
        self.parked += len(held)
        return held


def park_frozen(session: Session, task_ids: Sequence[UUID]) -> set[UUID]:
    """Park what is frozen of these tasks, which the pass has locked, and what lies behind; return all of it."""
    return {task_id for (task_id,) in session.rows("park_frozen", {"ids": task_ids})}
