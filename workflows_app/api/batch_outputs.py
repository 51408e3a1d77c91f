"""Batches as JSON. What is to be made when one is done may hold secrets: only who may read tasks sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from access_app.http.times import show_instant
from access_app.rights import Action, Caller
from tasks_app.executors.base import JsonObject
from workflows_app import selectors
from workflows_app.batch_table import Batch

_TIMES: Final = ("created_at", "updated_at", "completed_at", "cancelled_at", "finished_at")


def batch_json(caller: Caller, batch: Batch) -> JsonObject:
    """A batch with its counts, and what it makes when it is done, for who may see that."""
    counts = selectors.counts_of(batch)
    shown = batch_item(batch) | {
        "counts": {**counts.by_status, "total": counts.total},
        "batches": {"open": counts.open_batches, "done": counts.done_batches},
        "progress": round(counts.progress, 4),
        "followUps": {str(which): str(task_id) for which, task_id in selectors.follow_ups_made(batch).items()},
    }
    if caller.may(Action.BATCH_READ):
        shown |= {str(which): task for which, task in selectors.templates_of(batch).items()}
    return shown


def batch_items(batches: Sequence[Batch]) -> list[JsonObject]:
    """Batches in a list: nothing of them is counted."""
    return [batch_item(batch) for batch in batches]


def batch_item(batch: Batch) -> JsonObject:
    limit = selectors.fail_fast_of(batch)
    return {
        "id": str(batch.pk),
        "name": batch.name,
        "status": batch.status,
        "parentBatchId": batch.parent_id and str(batch.parent_id),
        "scheduleId": batch.schedule_id and str(batch.schedule_id),
        "scheduledFor": _instant(batch.scheduled_for),
        "failFast": limit and limit.json,
        "completion": batch.completion,
        "correlationId": batch.correlation_id,
        "idempotencyKey": batch.idempotency_key,
        "createdBy": batch.created_by,
        "version": batch.version,
        **{_camel(column): _instant(getattr(batch, column)) for column in _TIMES},
    }


def _instant(value: Any) -> str | None:
    return None if value is None else show_instant(value)


def _camel(column: str) -> str:
    first, *rest = column.split("_")
    return first + "".join(map(str.capitalize, rest))
