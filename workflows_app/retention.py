"""Deleting batches that ended long ago. A batch is kept at least as long as its tasks, and these as long as it is not
done (``tasks_app/sql/delete_ended_tasks.sql``).
"""

from __future__ import annotations

from django.conf import settings

from tasks_app.sessions import BATCH, Session
from workflows_app.batch_rules import BatchStatus


def delete_ended_batches(session: Session, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` batches of each kind past the retention of such tasks; return how many.

    Raises `DatabaseAway`.
    """
    config, deleted = settings.SCHEDULER, 0
    for age, statuses in (
        (config.retention_success, [BatchStatus.SUCCESS, BatchStatus.CANCELLED]),
        (config.retention_failed, [BatchStatus.FAILED]),
    ):
        if age is not None:
            parameters = {"age": age, "statuses": list(map(str, statuses)), "limit": limit}
            deleted += len(session.rows("delete_ended_batches", parameters))
    return deleted
