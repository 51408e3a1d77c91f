"""Making what somebody asked for: the tasks, or batches, of slots that are given, with their rows in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ByHand:
    """What somebody asked for: ``made`` are the slots, and the ids of what is made for each, oldest first."""

    schedule: Schedule
    makes: Makes
    made: Sequence[tuple[datetime, UUID]]
    actor: str
    #: FIRED of one that is triggered, LATE of those that are backfilled.
    state: FireState
    idempotency: Idempotency | None = None
    #: Of batches: that of all their tasks.
    priority: int | None = None

    @property
    def key(self) -> str | None:
        return self.idempotency.key if self.idempotency else None

    @property
    def alone(self) -> bool:
        """Whether batches wait for each other."""
        return self.state is FireState.LATE and self.schedule.overlap != Overlap.ALLOW


def run_by_hand(asked: ByHand) -> None:
    """Make the tasks, or batches, of slots that somebody asked for, and write both to the ledger.

    Raises `DuplicateTask` and `QueueFull`: then for none.
    """
    _record(asked)
    with connection.cursor() as cursor:
        refused = list(filter(None, admit(cursor, [*asked.makes.rooms] * len(asked.made))))
        if refused:
            raise queue_full(cursor, refused[0], refused=len(refused))
        (_make_batches if asked.makes.new is None else _make_tasks)(cursor, asked)
    transaction.on_commit(wakeups.notify_schedulers)


def _record(asked: ByHand) -> None:
    how = "triggered" if asked.state is FireState.FIRED else "backfilled"
    what = "task_id" if asked.makes.new else "batch_id"
    row = {"schedule_id": asked.schedule.pk, "state": asked.state, "note": f"{how} by {asked.actor}"}
    ScheduleFire.objects.bulk_create(
        ScheduleFire(slot=slot, due_at=slot, **row, **{what: made}) for slot, made in asked.made
    )


def _make_tasks(cursor: Copying, asked: ByHand) -> None:
    schedule_id, makes = asked.schedule.pk, asked.makes
    new = makes.task_of(schedule_id, alone=False)
    common: dict[str, Any] = {
        "correlation": audit.correlation_id(),
        "idempotency_key": asked.key,
        "now": database_now(),
    }
    rows = [(*task_row(pk, new, makes.text, asked.actor, **common), schedule_id, slot) for slot, pk in asked.made]
    if store_tasks(cursor, SCHEDULED_COLUMNS, rows):
        holder = holder_of(new.queue, str(new.unique_key))
        raise DuplicateTask(holder.pk if holder else None)


def _make_batches(cursor: Copying, asked: ByHand) -> None:
    """If ``alone``, each waits for the one before it, and the first for what is open. The key is that of the last one,
    which is there longest.
    """
    assert asked.makes.batch is not None
    waits = open_batches(asked.schedule.pk) if asked.alone else []
    waits = [parent.id for parent in hold_batches(cursor, waits)] if waits else []
    common: dict[str, Any] = {"correlation": audit.correlation_id(), "priority": asked.priority, "now": database_now()}
    slots: list[NewSlot] = []
    for slot, batch_id in asked.made:
        key = asked.key if batch_id == asked.made[-1][1] else None
        more = common | {"created_by": asked.actor, "idempotency_key": key, "after": (waits, ())}
        slots.append(new_slot(asked.schedule, asked.makes.batch, slot, **more))
        waits = [batch_id] if asked.alone else []
    batch_templates.maker().make(cursor, slots)
