"""Forgetting slots decided long ago, in small batches like ended tasks."""

from __future__ import annotations

from django.conf import settings

from tasks_app.sessions import BATCH, Session


def delete_old_fires(session: Session, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` rows of the ledger past the retention of failed tasks. Raises `DatabaseAway`."""
    age = settings.SCHEDULER.retention_failed
    return 0 if age is None else len(session.rows("delete_old_fires", {"age": age, "limit": limit}))
