"""Bulk operations and dry runs as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from access_app.http.times import show_instant
from access_app.rights import Caller
from tasks_app.acting import MOST_QUEUES, DryRun
from tasks_app.api.outputs import samples_for
from tasks_app.executors.base import JsonObject
from tasks_app.models import BulkOperation


def dry_run_json(found: DryRun, caller: Caller) -> JsonObject:
    """``otherQueues``: in how many more queues tasks match than are named."""
    return {
        "count": found.count,
        "byStatus": dict(found.by_status),
        "byQueue": dict(found.by_queue.most_common(MOST_QUEUES)),
        "otherQueues": max(0, len(found.by_queue) - MOST_QUEUES),
        "sample": samples_for(caller, found.sample),
        "token": found.token,
    }


def operation_items(rows: Sequence[BulkOperation]) -> list[JsonObject]:
    return [operation_json(row) for row in rows]


def operation_json(row: BulkOperation) -> JsonObject:
    return {
        "id": str(row.pk),
        "action": row.action,
        "filter": row.filter,
        "priority": row.priority,
        "queue": row.queue,
        "state": row.state,
        "count": row.count,
        "done": row.done,
        "touched": row.touched,
        "skipped": row.skipped,
        "skips": row.skips,
        "failed": row.failed,
        "held": len(row.held),
        "ratePerSecond": row.rate_per_second,
        "askedBy": row.asked_by,
        "reason": row.reason,
        "error": row.error,
        "createdAt": show_instant(row.created_at),
        "updatedAt": show_instant(row.updated_at),
        "finishedAt": show_instant(row.finished_at) if row.finished_at else None,
        "version": row.version,
    }
