"""Batches as tests make them: of plain tasks, by name, lived through one round at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from access_app.ids import new_task_ids
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.new_tasks import check_task
from tests.support.engine import Engine
from workflows_app import batches
from workflows_app.batch_rules import FollowUp
from workflows_app.batches import Members
from workflows_app.endings import Settled, settle_endings
from workflows_app.models import Batch
from workflows_app.new_batches import FailFast, NewBatch

ALL_FOLLOW_UPS = {which: NewTask(type="DUMMY", queue=str(which)) for which in FollowUp}


def members(new: Sequence[NewTask], ids: Sequence[UUID] | None = None) -> Members:
    return Members(list(new), [check_task(each) for each in new], ids or new_task_ids(len(new)))


def make(
    *new: NewTask, parent: UUID | None = None, fail_fast: FailFast | None = None, ids: Any = None, **fields: Any
) -> Batch:
    """A batch of these tasks, which makes one of each kind when it is done."""
    fields = {"name": "b", "follow_ups": ALL_FOLLOW_UPS, **fields}
    asked = NewBatch(parent_id=parent, fail_fast=fail_fast, **fields)
    return batches.create_batch(asked, members(new, ids), created_by="test").batch


def add(batch: Batch, *new: NewTask) -> list[UUID]:
    return batches.add_tasks(batch.pk, members(new), created_by="test").ids


def dummy(**fields: Any) -> NewTask:
    return NewTask(type="DUMMY", **{"max_retries": 0, **fields})


def tasks_of(batch: Batch) -> list[UUID]:
    return list(Task.objects.filter(batch_id=batch.pk).order_by("id").values_list("pk", flat=True))


def settled(engine: Engine) -> Settled:
    """Rounds until nothing moves; the last one."""
    while (report := settle_endings(engine.session)).moved:
        pass
    return report


def status(batch: Batch) -> str:
    return Batch.objects.get(pk=batch.pk).status


def made_for(batch: Batch) -> list[str]:
    """The queues of the tasks that were made for completions, which are the names of what they are, sorted."""
    rows = Task.objects.filter(queue__in=[str(which) for which in FollowUp], created_by="test")
    return sorted(rows.values_list("queue", flat=True))
