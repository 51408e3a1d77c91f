"""What one firing pass makes for the slots that run: tasks and batches, and what makes way for them.

Nothing is decided here but what finds no room: ``batches`` says for which slots, and owns the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from access_app.ids import new_task_id
from access_app.sql import Copying
from schedules_app import batch_templates
from schedules_app.batch_templates import NewSlot, Open
from schedules_app.stored import StoredSchedule
from schedules_app.templates import MOST_IN_BATCHES, ONE_AT_A_TIME, Makes, all_of, new_slot
from tasks_app.bounds import admit
from tasks_app.cancelling import cancel_tasks
from tasks_app.duplicates import holders_of
from tasks_app.edges import hold_batches
from tasks_app.inserting import KEY_AT, QUEUE_AT, SCHEDULED_COLUMNS, UNIQUE_KEY_AT, store_tasks, task_row

_MAKES_WAY: Final = "its schedule starts the next one"


class Making:
    """Tasks as rows, and batches as slots, by their ids; what makes way, by the schedules that start the next one."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.tasks: dict[UUID, tuple[Any, ...]] = {}
        self.batches: dict[UUID, NewSlot] = {}
        self._cancels: dict[UUID, tuple[str, Sequence[Open]]] = {}
        #: Tasks that are stored already.
        self._early: set[UUID] = set()

    def __len__(self) -> int:
        return len(self.tasks) + len(self.batches)

    @property
    def is_full(self) -> bool:
        """Whether its batches have so many tasks that the rest is for the next pass."""
        return sum(slot.template.size for slot in self.batches.values()) >= MOST_IN_BATCHES

    def add(self, row: StoredSchedule, makes: Makes, slot: datetime, after: Sequence[Open]) -> UUID:
        """Make something for a slot; return its id. A batch comes ``after`` others, where a task has a key."""
        by = f"schedule:{row.name}"
        if makes.batch is not None:
            new = new_slot(row, makes.batch, slot, created_by=by, now=self._now, after=all_of(after))
            self.batches[new.id] = new
            return new.id
        task_id, task = new_task_id(), makes.task_of(row.id, alone=row.overlap in ONE_AT_A_TIME)
        self.tasks[task_id] = (*task_row(task_id, task, makes.text, by, now=self._now), row.id, slot)
        return task_id

    def cancel(self, row: StoredSchedule, open_ones: Sequence[Open]) -> None:
        """Let what is open of a schedule make way."""
        self._cancels[row.id] = (f"schedule:{row.name}", open_ones)

    def drop_full(self, cursor: Copying) -> dict[UUID, str]:
        """Drop tasks, and batches with a task, whose queues take no more; return what is full for each."""
        asked = [(task_id, (row[QUEUE_AT], row[KEY_AT])) for task_id, row in self.tasks.items()]
        asked += [(batch_id, room) for batch_id, slot in self.batches.items() for room in slot.template.rooms]
        found = zip(asked, admit(cursor, [room for _, room in asked]), strict=True)
        notes = {made: str(full) for (made, _), full in found if full is not None}
        self.tasks = {task_id: row for task_id, row in self.tasks.items() if task_id not in notes}
        self.batches = {batch_id: slot for batch_id, slot in self.batches.items() if batch_id not in notes}
        return notes

    def keep_for(self, schedules: Collection[UUID]) -> None:
        """Let nothing make way for other schedules than these: nothing is made there."""
        self._cancels = {schedule: each for schedule, each in self._cancels.items() if schedule in schedules}

    def store_unique(self, cursor: Copying) -> dict[UUID, str]:
        """Store the tasks that have unique keys; return who has those of the others, which are dropped.

        Before anything is locked, because it may wait for who has just taken a key.
        """
        unique = {task_id: row for task_id, row in self.tasks.items() if row[UNIQUE_KEY_AT] is not None}
        if not unique:
            return {}
        taken = store_tasks(cursor, SCHEDULED_COLUMNS, unique.values())
        self._early = unique.keys() - taken
        keys = {task_id: (unique[task_id][QUEUE_AT], unique[task_id][UNIQUE_KEY_AT]) for task_id in taken}
        holders = holders_of(cursor, set(keys.values())) if keys else {}
        return {task_id: _has_its_key(holders.get(key)) for task_id, key in keys.items()}

    def make_way(self, cursor: Copying) -> list[UUID]:
        """Hold the batches that others wait for, and cancel what makes way; return the workers that run some of it.

        Batches before tasks, as everybody locks them.
        """
        self._hold_batches(cursor)
        stop: list[UUID] = []
        for actor, open_ones in self._cancels.values():
            if batches := all_of(open_ones)[0]:
                stop += batch_templates.maker().cancel(cursor, batches, actor=actor, reason=_MAKES_WAY)
        tasks = [(task, actor) for actor, open_ones in self._cancels.values() for task in all_of(open_ones)[1]]
        return stop + (cancel_tasks(cursor, tasks, reason=_MAKES_WAY) if tasks else [])

    def _hold_batches(self, cursor: Copying) -> None:
        """What is gone, and was not made either, is waited for by nobody."""
        waited = {batch for slot in self.batches.values() for batch in slot.after[0]} - self.batches.keys()
        waited |= {batch for _, open_ones in self._cancels.values() for batch in all_of(open_ones)[0]}
        if not (waited or self.batches):
            return
        there = {parent.id for parent in hold_batches(cursor, waited)} if waited else set()
        there |= self.batches.keys()
        for batch_id, slot in self.batches.items():
            self.batches[batch_id] = slot._replace(
                after=([each for each in slot.after[0] if each in there], slot.after[1])
            )

    def store(self, cursor: Copying, wanted: Iterable[UUID]) -> None:
        """Store what is ``wanted``: of a slot that was decided before, nothing is made a second time."""
        wanted = list(wanted)
        if stray := self._early.difference(wanted):
            cursor.execute("DELETE FROM tasks WHERE id = ANY(%s)", [list(stray)])
        if rows := [self.tasks[made] for made in wanted if made in self.tasks and made not in self._early]:
            store_tasks(cursor, SCHEDULED_COLUMNS, rows)
        if slots := [self.batches[made] for made in wanted if made in self.batches]:
            batch_templates.maker().make(cursor, slots)


def _has_its_key(holder: UUID | None) -> str:
    return f"task {holder} is open and has its unique key" if holder else "another task had its unique key"
