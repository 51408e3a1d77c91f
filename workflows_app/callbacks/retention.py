"""Deleting what is left of deliveries whose task was deleted: some each time, over and over."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tasks_app.sessions import Session

_FIRST: Final = UUID(int=0)
#: Deliveries looked at each time.
_SOME: Final = 5000


class OrphanedDeliveries:
    """Walks over all deliveries, and begins again at the end."""

    def __init__(self) -> None:
        self._after = _FIRST

    def delete(self, session: Session) -> int:
        """Raises `DatabaseAway`."""
        last, deleted = delete_orphaned_deliveries(session, after=self._after)
        self._after = last or _FIRST
        return deleted


def delete_orphaned_deliveries(session: Session, *, after: UUID, limit: int = _SOME) -> tuple[UUID | None, int]:
    """Delete rows without a task among the next ones; return the last one looked at, and how many were deleted."""
    [(last, deleted)] = session.rows("delete_orphaned_deliveries", {"after": after, "limit": limit})
    return last, deleted
