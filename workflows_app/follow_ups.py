"""What is made when a batch is done: its onComplete, and its onSuccess or onFailure, a task each.

The id of such a task is derived from the batch, the number of the completion and which of them it is. Together with the
batch's own row, which is ended once under each number, twice is impossible. Inside another batch, they belong to that
one: it is not done before they have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog

from access_app.ids import derived_id
from schedules_app.stored import checked_template
from tasks_app import edges
from tasks_app.inserting import COLUMNS, store_tasks, task_row
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from workflows_app.batch_rules import BatchStatus, FollowUp, follow_ups_of

log = structlog.get_logger(__name__)

_REFUSED: Final = (
    "INSERT INTO audit_events (actor, action, target, reason, correlation_id)"
    " VALUES ('scheduler', 'batch.follow_up_refused', %s, %s, %s)"
)


class DoneBatch(NamedTuple):
    """A batch that is done now, and the tasks that it asked for, as JSON texts."""

    id: UUID
    name: str
    status: str
    completion: int
    completed_at: datetime
    parent_id: UUID | None
    created_by: str
    correlation_id: str | None
    on_complete: str | None
    on_success: str | None
    on_failure: str | None

    def text_of(self, which: FollowUp) -> str | None:
        """What it asked for."""
        texts = {FollowUp.COMPLETE: self.on_complete, FollowUp.SUCCESS: self.on_success}
        return texts.get(which, self.on_failure)


def follow_up_id(batch_id: UUID, completion: int, which: FollowUp, completed_at: datetime) -> UUID:
    """The id of a task that is made for a completion: a UUIDv7 of that instant, with nothing of chance in it."""
    return derived_id(completed_at, f"{batch_id} {completion} {which}")


def follow_up_ids(
    batch_id: UUID, completion: int, status: str, completed_at: datetime | None, wanted: Sequence[FollowUp]
) -> dict[FollowUp, UUID]:
    """The tasks of the latest completion; ``wanted`` are those that the batch has."""
    if completed_at is None or not completion:
        return {}
    made = [which for which in follow_ups_of(BatchStatus(status)) if which in wanted]
    return {which: follow_up_id(batch_id, completion, which, completed_at) for which in made}


def make_follow_ups(session: Session, batches: Sequence[DoneBatch]) -> int:
    """Store what is to be made for done batches, in the caller's transaction; return how many tasks.

    Bounds of queues do not count: what has been accepted is finished. One whose task type this installation has lost
    is reported and left out; the batch is done all the same.
    """
    rows = [row for batch in batches for row in _rows_of(session, batch)]
    if rows:
        with session.connection.cursor() as cursor:
            store_tasks(cursor, (*COLUMNS, *edges.MEMBER_COLUMNS), rows)
    return len(rows)


def _rows_of(session: Session, batch: DoneBatch) -> Iterator[tuple[Any, ...]]:
    for which in follow_ups_of(BatchStatus(batch.status)):
        if text := batch.text_of(which):
            try:
                new, payload = checked_template(text)
            except InvalidTask as error:
                _refuse(session, batch, which, error)
                continue
            task_id = follow_up_id(batch.id, batch.completion, which, batch.completed_at)
            row = task_row(
                task_id, new, payload, batch.created_by, correlation=batch.correlation_id or "", now=batch.completed_at
            )
            yield row + edges.member_values(new, batch.parent_id)


def _refuse(session: Session, batch: DoneBatch, which: FollowUp, error: InvalidTask) -> None:
    log.error("follow_up_refused", batch=str(batch.id), which=str(which), problems=error.problems)
    reason = f"{which} is refused: {error}"[:300]
    session.execute(_REFUSED, [f"batch:{batch.id}", reason, batch.correlation_id or ""])
