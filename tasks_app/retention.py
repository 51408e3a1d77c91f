"""Deleting what ended long ago, in small batches, so that no lock is held long and vacuum keeps up."""

from __future__ import annotations

from django.conf import settings

from tasks_app.sessions import BATCH, Session
from tasks_app.states import TaskStatus


def delete_ended_tasks(session: Session, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` tasks of each kind past its retention; return how many. Raises `DatabaseAway`."""
    config, deleted = settings.SCHEDULER, 0
    for age, statuses in (
        (config.retention_success, [TaskStatus.SUCCESS, TaskStatus.CANCELLED]),
        (config.retention_failed, [TaskStatus.FAILED]),
    ):
        if age is not None:
            parameters = {"age": age, "statuses": list(map(str, statuses)), "limit": limit}
            deleted += len(session.rows("delete_ended_tasks", parameters))
    return deleted
