"""What tasks need of their worker: a table with one row for all that need the same, and the ids of its rows.

Needs are labels and slots: a worker without the labels cannot run the task, nor can one that is smaller. A pass looks
at them by their ids (``flow_app``). Rows are made with the first task, and deleted a day after the last one has gone.
Nobody can make many: sets of labels are bounded, numbers of slots are few, and so is what a survey costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from django.db import models
from django.db.models.functions import Now

from access_app.sql import Cursor, statement
from tasks_app import labels
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import BATCH, Session

#: Different needs with labels in the tables beyond which people's tasks cannot bring new ones. Those without are a
#: thousand at most.
MOST_NEEDS: Final = 100
#: How long needs stay without a task: longer than any transaction that has looked them up and not committed.
UNUSED_FOR: Final = timedelta(days=1)


class TaskNeeds(models.Model):
    """What some tasks need of their worker: one row for all that need the same. The migration adds ``condition``."""

    id = models.AutoField(primary_key=True)
    used_at = models.DateTimeField(db_default=Now(), help_text="When it was last looked up for a new task, roughly.")
    digest = models.TextField(unique=True, help_text="SHA-256 of the canonical text, which is too long for an index.")
    labels = models.JSONField(help_text="Key → the values of which a worker must have one.")
    slots = models.SmallIntegerField(db_default=1, help_text="So many slots a worker must have in all.")
    given_at = models.DateTimeField(
        null=True, help_text="When a task of several slots was last given to a worker: the next one waits since then."
    )

    class Meta:
        db_table = "task_needs"

    def __str__(self) -> str:
        return str(self.labels)


class Need(NamedTuple):
    """What a task needs, as it is stored: labels as a canonical text, and slots."""

    labels: str
    slots: int


def need_of(required: labels.Required | None, slots: int) -> Need | None:
    """What a task needs; None when any worker will do."""
    return Need(labels.canonical(required or {}), slots) if required or slots > 1 else None


def ids_of(cursor: Cursor, wanted: Collection[Need], *, most: int | None = MOST_NEEDS) -> Mapping[Need, int]:
    """The id of each need, made where there is none; in the transaction that stores tasks with it.

    Raises `InvalidTask` when there would be more than ``most``; then none is made.
    """
    needs = {digest(need): need for need in wanted}
    found = find_needs(cursor, needs)
    if missing := {key: need for key, need in needs.items() if key not in found}:
        found |= add_needs(cursor, missing, most=most)
    if len(found) < len(needs):
        raise InvalidTask(
            {"requiredLabels": f"tasks here require {most} different sets of labels already; use one of those"}
        )
    return {needs[key]: needs_id for key, needs_id in found.items()}


def find_needs(cursor: Cursor, digests: Collection[str]) -> dict[str, int]:
    """The ids of those that are there and have been used lately."""
    cursor.execute(statement("find_needs"), {"digests": list(digests)})
    return dict(cursor.fetchall())


def add_needs(cursor: Cursor, needs: Mapping[str, Need], *, most: int | None) -> dict[str, int]:
    """Make those that are missing, by digest, and note that the others are used; fewer when there are too many."""
    parameters = {
        "digests": list(needs),
        "labels": [need.labels for need in needs.values()],
        "conditions": [labels.condition_of(need.labels) for need in needs.values()],
        "slots": [need.slots for need in needs.values()],
        "most": most,
    }
    cursor.execute(statement("add_needs"), parameters)
    return dict(cursor.fetchall())


def delete_unused_needs(session: Session, *, limit: int = BATCH) -> int:
    """Delete needs that no task has had for long; return how many. Raises `DatabaseAway`."""
    return len(session.rows("delete_unused_needs", {"age": UNUSED_FOR, "limit": limit}))


def digest(need: Need) -> str:
    """What a row of needs is found by."""
    return hashlib.sha256(f"{need.slots} {need.labels}".encode()).hexdigest()
