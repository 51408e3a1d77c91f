"""Results that came after their attempt was taken away: kept on its row of the history, and told to who wants to hear.

Both in one transaction: what is kept is told, at least once and under one id, whatever dies when.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog

from tasks_app import wakeups
from tasks_app.sessions import Session
from workers_app.endings import Ending
from workflows_app.callbacks.telling import tell_late

log = structlog.get_logger(__name__)


def keep_late_results(session: Session, worker_id: UUID, batch: Sequence[Ending]) -> list[Ending]:
    """Keep endings whose attempt was taken away on their LOST or RELEASED row, and tell of them; return those that were
    new. Raises `DatabaseAway`; then it may have been committed.
    """
    try:
        with session.connection.transaction():
            rows = session.send("keep_late_results", _columns(batch) | {"worker_id": worker_id}).fetchall()
            told = _tell(session, rows) if rows else 0
    except psycopg.Error as error:
        session.fail(error)
    if told:
        wakeups.notify_schedulers(session)
    kept = {(task_id, attempt) for task_id, attempt in rows}
    return [ending for ending in batch if (ending.task_id, ending.attempt) in kept]


def _tell(session: Session, kept: Sequence[tuple[UUID, int]]) -> int:
    """What cannot be told, by a defect of ours, is kept all the same."""
    try:
        with session.connection.transaction(), session.connection.cursor() as cursor:
            return tell_late(cursor, kept)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except Exception:
        log.exception("late_results_not_told", task_ids=[str(task_id) for task_id, _ in kept[:10]])
        return 0


def _columns(batch: Sequence[Ending]) -> dict[str, object]:
    return {
        "ids": [ending.task_id for ending in batch],
        "attempts": [ending.attempt for ending in batch],
        "statuses": [ending.status for ending in batch],
        "error_codes": [ending.error_code for ending in batch],
        "error_messages": [ending.error_message for ending in batch],
        "results": [ending.result for ending in batch],
    }
