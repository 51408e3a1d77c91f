"""What a person or a program may ask for about many tasks at once: a dry run, then the operation, its stop, its resume.

The operation itself is done by schedulers, in ``pieces``. Who may ask is decided by the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Max, Min, QuerySet, TextField
from django.db.models.functions import Cast, Collate, Greatest, Now

from access_app import audit
from access_app.idempotency import Idempotency, answer_with, take_idempotency_key
from access_app.ids import new_task_id
from access_app.refusals import NotFound
from access_app.versions import Versions, require
from tasks_app import tickets
from tasks_app.acts import OperationState
from tasks_app.models import BulkOperation, Task
from tasks_app.patience import no_longer_than
from tasks_app.tickets import Ask, Ticket

#: A count that takes longer is given up, and says so.
LONGEST_COUNT: Final = timedelta(seconds=10)
#: Of so many queues a dry run says how many tasks match; the fullest first.
MOST_QUEUES: Final = 100
SAMPLES: Final = 10
_TOO_MANY: Final = {
    "filter": f"takes more than {LONGEST_COUNT.seconds} s to count: narrow it, with createdAfter and createdBefore say"
}


class OperationNotFound(NotFound):
    """No bulk operation has this id."""


class OperationOver(Exception):
    """The operation's state does not allow the change. ``state`` is what it is."""

    def __init__(self, state: str, change: str) -> None:
        super().__init__(f"a bulk operation that is {state} cannot be {change}")
        self.state = state


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an operation would be about: how many tasks by status, queue and type, some of them, and its token."""

    count: int
    by_status: Counter[str]
    by_queue: Counter[str]
    by_type: Counter[str]
    sample: Sequence[Task]
    token: str


def try_out(ask: Ask, rows: QuerySet[Task]) -> DryRun:
    """Count the tasks that match now, exactly, and look at some of the youngest; change nothing.

    ``rows`` are those that the filter of ``ask`` means. Raises `InvalidInput` when counting takes too long.
    """
    with no_longer_than(LONGEST_COUNT, _TOO_MANY):
        return _look(ask, rows)


def _look(ask: Ask, rows: QuerySet[Task]) -> DryRun:
    groups = rows.order_by().values("status", "queue", "type")
    text = Collate(Cast("pk", TextField()), "C")  # before PostgreSQL 18 a UUID has no least and greatest
    annotated = groups.annotate(count=Count("pk"), first=Min(text), last=Max(text))
    found: list[dict[str, Any]] = [dict(group) for group in annotated]
    counts = {name: Counter[str]() for name in ("status", "queue", "type")}
    for group in found:
        for name, counter in counts.items():
            counter[group[name]] += group["count"]
    ticket = _ticket(found, counts["status"].total())
    sample = rows.filter(pk__gt=ticket.after, pk__lt=ticket.before).order_by("-pk")[:SAMPLES] if found else []
    by_status, by_queue, by_type = counts.values()
    return DryRun(ticket.matched, by_status, by_queue, by_type, list(sample), tickets.sign(ticket, ask))


def _ticket(found: Sequence[dict[str, Any]], count: int) -> Ticket:
    """From the first task that matches to what there is now; clocks of those who make tasks may differ."""
    own = new_task_id()
    if not found:
        return Ticket(own, 0, own, own)
    first, last = (UUID(of(group[name] for group in found)) for of, name in ((min, "first"), (max, "last")))
    return Ticket(own, count, UUID(int=first.int - 1), max(own, UUID(int=last.int + 1)))


def begin(
    ask: Ask,
    token: str,
    *,
    actor: str,
    barred: Collection[str],
    reason: str = "",
    rate: int | None = None,
    idempotency: Idempotency | None = None,
) -> tuple[BulkOperation, bool]:
    """Begin the operation of a dry run, and say whether it is new: a token begins one operation, once.

    ``barred``: types of tasks that the caller may not make run; they are skipped. Raises `InvalidInput` for the token,
    and `IdempotencyConflict`.
    """
    ticket = tickets.read(token, ask)
    with transaction.atomic():
        if idempotency is not None:
            if replay := take_idempotency_key(actor, idempotency, []):
                return BulkOperation.objects.get(pk=replay.response["id"]), False
            answer_with(actor, idempotency, [], {"id": str(ticket.id)}, lives_with=ticket.id)
        operation, made = BulkOperation.objects.get_or_create(
            pk=ticket.id,
            defaults={
                **ask.target._asdict(),
                "action": ask.action.value,
                "filter": dict(ask.filter),
                "position": ticket.after,
                "before": ticket.before,
                "count": ticket.matched,
                "rate_per_second": rate,
                "asked_by": actor,
                "reason": reason,
                "barred": sorted(barred),
            },
        )
        if made:
            detail = {"action": ask.action.value, "filter": dict(ask.filter), "count": ticket.matched}
            _record(operation, actor, "started", reason, detail=detail)
    return BulkOperation.objects.get(pk=ticket.id), made


def stop(operation_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> BulkOperation:
    """Let an operation do no further piece: a piece that is being done is finished first, and counted.

    Raises `OperationNotFound`, `Stale`, `OperationOver` (it is not running).
    """
    return _change(operation_id, actor, reason, versions, OperationState.RUNNING, OperationState.STOPPED)


def resume(
    operation_id: UUID, *, actor: str, barred: Collection[str], reason: str = "", versions: Versions = None
) -> BulkOperation:
    """Let a stopped operation go on where it was. What either may not make run who asked or who resumes, is skipped.

    Raises `OperationNotFound`, `Stale`, `OperationOver` (it is not stopped).
    """

    def columns(row: BulkOperation) -> dict[str, Any]:
        return {"barred": sorted({*row.barred, *barred}), "due_at": Greatest(F("due_at"), Now())}

    return _change(operation_id, actor, reason, versions, OperationState.STOPPED, OperationState.RUNNING, columns)


def _change(
    operation_id: UUID,
    actor: str,
    reason: str,
    versions: Versions,
    source: OperationState,
    state: OperationState,
    columns: Callable[[BulkOperation], dict[str, Any]] = lambda row: {},
) -> BulkOperation:
    word = "stopped" if state is OperationState.STOPPED else "resumed"
    with transaction.atomic():
        row = BulkOperation.objects.select_for_update(no_key=True).filter(pk=operation_id).first()
        if row is None:
            raise OperationNotFound(f"there is no bulk operation {operation_id}")
        require(versions, row.version, "bulk operation")
        if row.state != source:
            raise OperationOver(row.state, word)
        BulkOperation.objects.filter(pk=row.pk).update(
            state=state.value, version=F("version") + 1, updated_at=Now(), **columns(row)
        )
        _record(row, actor, word, reason)
    return BulkOperation.objects.get(pk=operation_id)


def _record(row: BulkOperation, actor: str, word: str, reason: str, **more: Any) -> None:
    audit.record(actor, f"bulk_operation.{word}", f"bulk_operation:{row.pk}", reason=reason, **more)


def operation_of(operation_id: UUID) -> BulkOperation:
    """One operation. Raises `OperationNotFound`."""
    row = BulkOperation.objects.filter(pk=operation_id).first()
    if row is None:
        raise OperationNotFound(f"there is no bulk operation {operation_id}")
    return row
