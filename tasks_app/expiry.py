"""The end of tasks that passed their expiresAt before they started."""

from __future__ import annotations

from tasks_app.sessions import BATCH, Session

#: Most tasks one statement ends.


def expire_tasks(session: Session, *, limit: int = BATCH) -> int:
    """End up to ``limit`` waiting tasks that passed their expiresAt; return how many."""
    return len(session.rows("expire_tasks", {"limit": limit}))
