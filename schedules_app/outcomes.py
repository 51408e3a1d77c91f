"""How the newest tasks and batches of schedules ended, which their ledger does not say: it knows that one was made."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final
from uuid import UUID

from django.db import connection

from tasks_app.states import TaskStatus

#: So many of the newest tasks of a schedule are looked at, those that have not ended included.
MOST_LOOKED_AT: Final = 20

# How the newest tasks and batches of each schedule ended, newest first; a cancelled one says nothing. Indexes:
# tasks_schedule, batches_schedule. Not the ORM: a window would read every task of every schedule.
_NEWEST: Final = """
SELECT s.id, ARRAY(SELECT status
                     FROM ((SELECT t.id, t.status, t.finished_at FROM tasks t
                             WHERE t.schedule_id = s.id AND t.schedule_id IS NOT NULL
                             ORDER BY t.id DESC LIMIT %(most)s)
                           UNION ALL
                           (SELECT b.id, b.status, b.finished_at FROM batches b
                             WHERE b.schedule_id = s.id AND b.schedule_id IS NOT NULL
                             ORDER BY b.id DESC LIMIT %(most)s)
                           ORDER BY id DESC LIMIT %(most)s) AS newest
                    WHERE finished_at IS NOT NULL AND status <> 'CANCELLED'
                    ORDER BY id DESC)
  FROM unnest(%(schedules)s::uuid[]) AS s(id)
"""
_OPEN_BATCHES: Final = (
    "SELECT id FROM batches WHERE schedule_id = %s AND schedule_id IS NOT NULL AND finished_at IS NULL"
    " ORDER BY id LIMIT 1000"
)


def failed_in_a_row(schedule_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many of the newest ended tasks, or batches, of each schedule failed with no other ending between: one query
    for all.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, {"schedules": list(schedule_ids), "most": MOST_LOOKED_AT})
        ended = cursor.fetchall()
    return {schedule_id: len(list(takewhile(_failed, statuses))) for schedule_id, statuses in ended}


def open_batches(schedule_id: UUID) -> list[UUID]:
    """The batches of a schedule that are not done, oldest first, at most a thousand. Index: batches_schedule_open."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_BATCHES, [schedule_id])
        return [batch_id for (batch_id,) in cursor.fetchall()]


def statuses_of_batches(ids: Sequence[UUID]) -> dict[UUID, str]:
    """How batches stand; of those that there are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, status FROM batches WHERE id = ANY(%s)", [list(ids)])
        return dict(cursor.fetchall())


def _failed(status: str) -> bool:
    return status == TaskStatus.FAILED
