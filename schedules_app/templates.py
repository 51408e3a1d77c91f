"""What the slots of a schedule make, read from its row: a task each, or a batch each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from access_app.sql import Cursor
from schedules_app import batch_templates
from schedules_app.batch_templates import NewSlot, Open, OpenBatch, Template, batch_id_of
from schedules_app.firing_rules import Overlap
from schedules_app.stored import StoredSchedule, checked_template
from tasks_app.fields import NewTask

#: Most tasks that the batches of one pass have, or of one backfill: it is one transaction. One batch may have more.
MOST_IN_BATCHES: Final = 10_000
#: The tasks of such a schedule wait for each other.
ONE_AT_A_TIME: Final = frozenset({Overlap.QUEUE_ONE, Overlap.CANCEL_RUNNING})
#: Read when a slot runs, and not with the row: it may be large.
_BATCH: Final = "SELECT batch::text FROM schedules WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Makes:
    """A task, with its payload as JSON text; or a batch."""

    new: NewTask | None = None
    text: str = ""
    batch: Template | None = None

    @property
    def most_slots(self) -> int | None:
        """For how many slots it may be made at once; None: as many as there are."""
        return None if self.batch is None else max(1, MOST_IN_BATCHES // max(1, self.batch.size))

    @property
    def rooms(self) -> Sequence[tuple[str, str | None]]:
        """Queue and concurrency key of all that it makes for a slot."""
        if self.batch is not None:
            return self.batch.rooms
        return [(self.new.queue, self.new.concurrency_key)] if self.new is not None else []

    def task_of(self, schedule_id: UUID, *, alone: bool) -> NewTask:
        """The task; ``alone``: it waits for others of its schedule. Batches do so by what they come ``after``."""
        assert self.new is not None
        return one_at_a_time(self.new, schedule_id) if alone else self.new


def one_at_a_time(new: NewTask, schedule_id: UUID) -> NewTask:
    """The task, made to wait for others of its schedule: by its own concurrency key, or else one of the schedule's."""
    return new if new.concurrency_key is not None else replace(new, concurrency_key=f"schedule:{schedule_id}")


def made_by(cursor: Cursor, row: StoredSchedule) -> Makes:
    """What a locked schedule makes. Raises `InvalidInput`: this installation may have lost an executor since."""
    callback = row.callback and json.loads(row.callback)
    if row.task is not None:
        new, text = checked_template(row.task)
        return Makes(replace(new, callback=callback) if callback and new.callback is None else new, text)
    cursor.execute(_BATCH, [row.id])
    [(text,)] = cursor.fetchall()
    template = batch_templates.maker().read(json.loads(text))
    return Makes(batch=template.with_callback(callback) if callback else template)


def new_slot(row: Any, template: Template, slot: datetime, **more: Any) -> NewSlot:
    """A slot of a schedule whose batch is to be made."""
    return NewSlot(batch_id_of(row.id, slot), row.id, slot, template, **more)


def all_of(open_ones: Sequence[Open]) -> tuple[list[UUID], list[UUID]]:
    """What is open of a schedule: batches, and tasks."""
    batches = [each.id for each in open_ones if isinstance(each, OpenBatch)]
    return batches, [each for each in open_ones if isinstance(each, UUID)]
