"""Rows of new tasks: which columns they have, and COPY, which costs the least whatever their number.

What a task must be is checked by ``new_tasks``, before; who may ask, and what else happens, is up to the callers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Protocol
from uuid import UUID

from django.conf import settings

from access_app.ids import created_at
from tasks_app.fields import ASKED, NewTask

#: Columns for which it takes more than what was asked for; `task_row` has them in this order.
_SETTLED: Final = (
    *("id", "created_at", "updated_at", "schedule_at", "run_at", "max_retries", "correlation_id", "created_by"),
    *("idempotency_key", "payload"),
)
_ASKED: Final = [row for row in ASKED if row.column not in _SETTLED]
_DOCUMENTS: Final = tuple(row.column for row in _ASKED if row.kind.document)
_AS_ASKED: Final = tuple(row.column for row in _ASKED if not row.kind.document)
_as_asked: Final = attrgetter(*_AS_ASKED)
COLUMNS: Final = (*_SETTLED, *_DOCUMENTS, *_AS_ASKED)
#: Those of a task that a recurring schedule makes.
SCHEDULED_COLUMNS: Final = (*COLUMNS, "schedule_id", "scheduled_for")


class Copying(Protocol):
    """A cursor that can COPY: psycopg's, and Django's round it."""

    def copy(self, statement: Any) -> AbstractContextManager[Any]: ...


def task_row(
    task_id: UUID,
    new: NewTask,
    text: str,
    created_by: str,
    *,
    idempotency_key: str | None = None,
    correlation: str = "",
    now: datetime | None = None,
) -> tuple[Any, ...]:
    """The values of `COLUMNS`; ``text`` is the payload as `new_tasks.check_task` returned it.

    Without ``now`` the statement has to know that a past due time means now.
    """
    due = new.schedule_at if now is None or (new.schedule_at and new.schedule_at > now) else now
    documents: tuple[str | None, ...] = ()
    for column in _DOCUMENTS:  # no comprehension, which would cost a call for each task
        value = getattr(new, column)
        documents += (None if value is None else json.dumps(value),)
    settled = (
        task_id,
        created_at(task_id),
        now,
        due,
        due,
        settings.SCHEDULER.default_max_retries if new.max_retries is None else new.max_retries,
        new.correlation_id or correlation or task_id.hex,
        created_by,
        idempotency_key,
        text,
    )
    row: tuple[Any, ...] = settled + documents + _as_asked(new)
    return row


def copy_tasks(cursor: Copying, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert tasks in the caller's transaction."""
    with cursor.copy(f"COPY tasks ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
