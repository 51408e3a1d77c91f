"""What becomes of tasks that passed their expiresAt before they started, and of those nobody has approved in time."""

from __future__ import annotations

from tasks_app.sessions import BATCH, Session


def expire_tasks(session: Session, *, limit: int = BATCH) -> int:
    """End up to ``limit`` waiting tasks that passed their expiresAt; return how many."""
    return len(session.rows("expire_tasks", {"limit": limit}))


def time_out_approvals(session: Session, *, limit: int = BATCH) -> int:
    """Decide about up to ``limit`` tasks that nobody has approved in time; return how many."""
    return len(session.rows("time_out_approvals", {"limit": limit}))
