"""What may be read about batches: one by its id, counts of its tasks, what its page shows. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from access_app.refusals import NotFound
from tasks_app.selectors import count_in_batch
from tasks_app.states import FINAL, TaskStatus
from workflows_app.batch_rules import FollowUp
from workflows_app.batch_table import DONE_BATCH, OPEN_BATCH, Batch
from workflows_app.follow_ups import follow_up_ids
from workflows_app.new_batches import FailFast


class BatchNotFound(NotFound):
    """No batch has this id."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks a batch has by status, and how many batches lie in it, open and done."""

    by_status: Mapping[str, int]
    open_batches: int
    done_batches: int

    @property
    def total(self) -> int:
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        return sum(number for status, number in self.by_status.items() if status in FINAL)

    @property
    def progress(self) -> float:
        """The part of its tasks that has ended; of none, all has."""
        return self.ended / self.total if self.total else 1.0


def batch_of(batch_id: UUID) -> Batch:
    """The batch of an id. Raises `BatchNotFound`."""
    batch = find_batch(batch_id)
    if batch is None:
        raise BatchNotFound(f"there is no batch {batch_id}")
    return batch


def find_batch(batch_id: UUID) -> Batch | None:
    return Batch.objects.filter(pk=batch_id).first()


def batches_by_id(ids: Iterable[UUID]) -> dict[UUID, Batch]:
    """Those of the batches that there are."""
    return Batch.objects.in_bulk(list(ids))


def counts_of(batch: Batch) -> Counts:
    """Its own tasks and batches, counted now. Indexes: tasks_batch_open, tasks_batch_ended, batches_inner."""
    found = count_in_batch(batch.pk)
    by_status = {str(status): found.get(status, 0) for status in TaskStatus}
    inner = {"open_batches": Count("pk", filter=OPEN_BATCH), "done_batches": Count("pk", filter=DONE_BATCH)}
    return Counts(by_status, **Batch.objects.filter(parent_id=batch.pk).order_by().aggregate(**inner))


def inner_batches(batch_id: UUID, *, most: int) -> list[Batch]:
    """The first batches that lie in one, open ones first. Index: batches_inner."""
    inner = Batch.objects.filter(parent_id=batch_id)
    found = list(inner.filter(OPEN_BATCH).order_by("finished_at")[:most])
    return [*found, *inner.filter(DONE_BATCH).order_by("-finished_at")[: most - len(found)]]


def fail_fast_of(batch: Batch) -> FailFast | None:
    """Its limit, if it has one."""
    return None if batch.fail_fast is None else FailFast(batch.fail_fast, batch.fail_fast_is_percent)


def follow_ups_made(batch: Batch) -> dict[FollowUp, UUID]:
    """The tasks that were made when it was done, if it is."""
    if batch.finished_at is None:
        return {}
    wanted = [which for which, task in templates_of(batch).items() if task is not None]
    return follow_up_ids(batch.pk, batch.completion, batch.status, batch.completed_at, wanted)


def templates_of(batch: Batch) -> dict[FollowUp, Mapping[str, object] | None]:
    """What is made when it is done, by the name of the field."""
    return {
        FollowUp.COMPLETE: batch.on_complete,
        FollowUp.SUCCESS: batch.on_success,
        FollowUp.FAILURE: batch.on_failure,
    }
