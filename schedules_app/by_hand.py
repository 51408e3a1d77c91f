"""Making what somebody asked for: the tasks, or batches, of slots that are given, with their rows in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from access_app import audit
from access_app.idempotency import Idempotency
from access_app.sql import Copying, database_now
from schedules_app import batch_templates
from schedules_app.batch_templates import NewSlot
from schedules_app.firing_rules import FireState, Overlap
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.outcomes import open_batches
from schedules_app.templates import Makes, new_slot
from tasks_app import wakeups
from tasks_app.bounds import admit, queue_full
from tasks_app.duplicates import DuplicateTask, holder_of
from tasks_app.edges import hold_batches
from tasks_app.inserting import SCHEDULED_COLUMNS, store_tasks, task_row


def run_by_hand(
    schedule: Schedule,
    makes: Makes,
    slots: Sequence[datetime],
    ids: Sequence[UUID],
    actor: str,
    state: FireState,
    idempotency: Idempotency | None = None,
    priority: int | None = None,
) -> None:
    """Make the tasks, or batches, of slots that somebody asked for, and write both to the ledger.

    Raises `DuplicateTask` and `QueueFull`: then for none.
    """
    how, what = "triggered" if state is FireState.FIRED else "backfilled", "task_id" if makes.new else "batch_id"
    note = f"{how} by {actor}"
    ScheduleFire.objects.bulk_create(
        ScheduleFire(schedule_id=schedule.pk, slot=slot, due_at=slot, state=state, note=note, **{what: made})
        for slot, made in zip(slots, ids, strict=True)
    )
    with connection.cursor() as cursor:
        refused = list(filter(None, admit(cursor, [*makes.rooms] * len(ids))))
        if refused:
            raise queue_full(cursor, refused[0], refused=len(refused))
        made = list(zip(slots, ids, strict=True))
        if makes.new is None:
            alone = state is FireState.LATE and schedule.overlap != Overlap.ALLOW
            _make_batches(cursor, schedule, makes, made, actor, idempotency, priority, alone=alone)
        else:
            _make_tasks(cursor, schedule, makes, made, actor, idempotency)
    transaction.on_commit(wakeups.notify_schedulers)


def _make_tasks(
    cursor: Copying,
    schedule: Schedule,
    makes: Makes,
    made: Sequence[tuple[datetime, UUID]],
    actor: str,
    idempotency: Idempotency | None,
) -> None:
    new, key, now = makes.task_of(schedule.pk, alone=False), idempotency.key if idempotency else None, database_now()
    common: dict[str, Any] = {"idempotency_key": key, "correlation": audit.correlation_id(), "now": now}
    rows = [(*task_row(pk, new, makes.text, actor, **common), schedule.pk, slot) for slot, pk in made]
    if store_tasks(cursor, SCHEDULED_COLUMNS, rows):
        holder = holder_of(new.queue, str(new.unique_key))
        raise DuplicateTask(holder.pk if holder else None)


def _make_batches(
    cursor: Copying,
    schedule: Schedule,
    makes: Makes,
    made: Sequence[tuple[datetime, UUID]],
    actor: str,
    idempotency: Idempotency | None,
    priority: int | None,
    *,
    alone: bool,
) -> None:
    """``alone``: each waits for the one before it, and the first for what is open. The key is that of the last one,
    which is there longest.
    """
    assert makes.batch is not None
    waits = open_batches(schedule.pk) if alone else []
    waits = [parent.id for parent in hold_batches(cursor, waits)] if waits else []
    common: dict[str, Any] = {"correlation": audit.correlation_id(), "priority": priority, "now": database_now()}
    slots: list[NewSlot] = []
    for slot, batch_id in made:
        key = idempotency.key if idempotency and batch_id == made[-1][1] else None
        more = common | {"created_by": actor, "idempotency_key": key, "after": (waits, ())}
        slots.append(new_slot(schedule, makes.batch, slot, **more))
        waits = [batch_id] if alone else []
    batch_templates.maker().make(cursor, slots)
