"""Deleting what ended long ago, in small batches, so that no lock is held long and vacuum keeps up.

A task is kept beyond its age while another one that depends on it may still ask for its result: while that one is open,
and then for as long as that one's own age. What keeps that one in its turn does not count: each task that is named by
no new one goes in the end.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings

from tasks_app.sessions import BATCH, Session
from tasks_app.states import TaskStatus

#: How often what was kept for others is looked at again, in seconds.
LOOK_AGAIN: Final = 3600.0
_KINDS: Final = (("retention_success", (TaskStatus.SUCCESS, TaskStatus.CANCELLED)), ("retention_failed", ("FAILED",)))


class Looked(NamedTuple):
    """How many tasks were deleted of how many that were looked at, and the last of these, if there was one."""

    deleted: int
    looked: int
    finished_at: str | None
    id: UUID | None


BEGINNING: Final = Looked(0, 0, "-infinity", UUID(int=0))


class Retention:
    """Walks over ended tasks past their age, each kind from where it stood; now and then from the beginning."""

    def __init__(self) -> None:
        self._last: dict[str, Looked] = {}
        self._again_at = 0.0

    def delete(self, session: Session, *, limit: int = BATCH) -> int:
        """Delete what may go, ``limit`` tasks in each transaction; return how many. Raises `DatabaseAway`."""
        if time.monotonic() >= self._again_at:
            self._last, self._again_at = {}, time.monotonic() + LOOK_AGAIN
        return sum(self._delete(session, setting, statuses, limit) for setting, statuses in _KINDS)

    def _delete(self, session: Session, setting: str, statuses: tuple[str, ...], limit: int) -> int:
        age: timedelta | None = getattr(settings.SCHEDULER, setting)
        deleted = 0
        while age is not None:
            found = delete_ended_tasks(session, age, statuses, after=self._last.get(setting, BEGINNING), limit=limit)
            deleted += found.deleted
            if found.id is not None:
                self._last[setting] = found
            if found.looked < limit:
                break
        return deleted


def delete_ended_tasks(
    session: Session, age: timedelta, statuses: tuple[str, ...], *, after: Looked = BEGINNING, limit: int = BATCH
) -> Looked:
    """Look at up to ``limit`` tasks past their age, behind the last one of a look, and delete those that may go."""
    parameters = {
        "age": age,
        "statuses": list(map(str, statuses)),
        "success_age": settings.SCHEDULER.retention_success,
        "failed_age": settings.SCHEDULER.retention_failed,
        "after": after.finished_at,
        "after_id": after.id,
        "limit": limit,
    }
    [found] = session.rows("delete_ended_tasks", parameters, of=Looked)
    return found
