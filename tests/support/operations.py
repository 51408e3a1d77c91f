"""Bulk operations begun as callers do, and done piece by piece."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from tasks_app import acting
from tasks_app.acts import BulkAction, Target
from tasks_app.api.operation_filters import condition_of_filter, read_filter, rows_of
from tasks_app.models import BulkOperation
from tasks_app.pieces import Pace, Piece, do_piece
from tasks_app.sessions import Session
from tasks_app.tickets import Ask

NOBODY: Final = frozenset[str]()


class Steady(Pace):
    """A pace that stays what it is."""

    def note(self, took: float) -> None:
        return


def begin(
    action: str = "cancel",
    *,
    to_priority: int | None = None,
    to_queue: str | None = None,
    barred: frozenset[str] = NOBODY,
    rate: int | None = None,
    reason: str = "",
    **wanted: Any,
) -> UUID:
    """The operation that a dry run of this filter leads to."""
    ask = Ask(BulkAction(action), read_filter(wanted), Target(to_priority, to_queue))
    token = acting.try_out(ask, rows_of(ask.filter)).token
    row, made = acting.begin(ask, token, actor="on-call", barred=barred, reason=reason, rate=rate)
    assert made
    return row.pk


def piece(session: Session, size: int = 100) -> Piece | None:
    """Do the next piece now, whatever the rate says."""
    session.execute("UPDATE bulk_operations SET due_at = now() - interval '1 hour' WHERE state = 'RUNNING'")
    return do_piece(session, Steady(size), condition_of_filter)


def finish(session: Session, operation_id: UUID, size: int = 100, most: int = 1000) -> BulkOperation:
    """Do pieces until the operation is over."""
    for _ in range(most):
        if row_of(operation_id).state != "RUNNING":
            break
        piece(session, size)
    return row_of(operation_id)


def row_of(operation_id: UUID) -> BulkOperation:
    return BulkOperation.objects.get(pk=operation_id)
