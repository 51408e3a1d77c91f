"""Rows of new tasks: which columns they have; INSERT of one, and COPY, which costs the least whatever their number.

What a task must be is checked by ``new_tasks``, before; who may ask, and what else happens, is up to the callers. A
task with a unique key that an open one has is not inserted: the index ``tasks_unique_open`` decides, and whoever is
second waits for the first to commit or give up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error, connection
from psycopg.pq import TransactionStatus

from access_app.ids import created_at
from access_app.sql import Copying
from tasks_app import approving, notices
from tasks_app.executors.registry import target_of
from tasks_app.fields import ASKED, NewTask
from tasks_app.models import Task
from tasks_app.needs import Need, ids_of, need_of

log = structlog.get_logger(__name__)

#: Columns for which it takes more than what was asked for; `task_row` has them in this order.
_SETTLED: Final = (
    *("id", "created_at", "updated_at", "schedule_at", "run_at", "max_retries", "correlation_id", "created_by"),
    *("idempotency_key", "payload", "target"),
)
_ASKED: Final = [row for row in ASKED if row.stored and row.column not in _SETTLED]
_DOCUMENTS: Final = tuple(row.column for row in _ASKED if row.kind.document)
_AS_ASKED: Final = tuple(row.column for row in _ASKED if not row.kind.document)
_as_asked: Final = attrgetter(*_AS_ASKED)
COLUMNS: Final = (*_SETTLED, *_DOCUMENTS, *_AS_ASKED)
#: Those of a task that a recurring schedule makes.
SCHEDULED_COLUMNS: Final = (*COLUMNS, "schedule_id", "scheduled_for")
_PAYLOAD_AT: Final = COLUMNS.index("payload")
#: Where callers look into a row.
QUEUE_AT: Final = COLUMNS.index("queue")
KEY_AT: Final = COLUMNS.index("concurrency_key")
UNIQUE_KEY_AT: Final = COLUMNS.index("unique_key")
_CALLBACK_AT: Final = COLUMNS.index("callback")
_APPROVAL_AT: Final = COLUMNS.index("approval")
_NOW_AT: Final = COLUMNS.index("updated_at")
#: Columns that hold JSON as text.
_JSON_AT: Final = (_PAYLOAD_AT, *range(len(_SETTLED), len(_SETTLED) + len(_DOCUMENTS)))
#: What the index ``tasks_unique_open`` refuses is left out, and nothing else.
_UNLESS_OPEN: Final = "ON CONFLICT (queue, unique_key) WHERE unique_key IS NOT NULL AND finished_at IS NULL DO NOTHING"
#: Looked at by the statement that inserts, so that no trip is made for queues without bounds: nearly all of them.
_UNBOUNDED: Final = "is_unbounded(%s)"
_LABELS_AT: Final = COLUMNS.index("required_labels")
_SLOTS_AT: Final = COLUMNS.index("slots")
#: Where `insert_task` needs more than a placeholder. GREATEST ignores NULL: no due time, or one that is past, is now.
_EXPRESSIONS: Final = {
    "updated_at": "COALESCE(%s, now())",
    "schedule_at": "GREATEST(%s, now())",
    "run_at": "GREATEST(%s, now())",
    "approval_asked_at": "now() + %s::interval",
    "approval_ends_at": "now() + %s::interval",
    **{row.column: "%s::jsonb" for row in ASKED if row.stored and row.kind.document},
}


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
        new.correlation_id or correlation or None,
        created_by,
        idempotency_key,
        text,
        target_of(new.type, new.payload),
    )
    row: tuple[Any, ...] = settled + documents + _as_asked(new)
    return row


def store_tasks(
    cursor: Copying, columns: Sequence[str], rows: Iterable[tuple[Any, ...]], *, most_needs: int | None = None
) -> set[UUID]:
    """Insert tasks in the caller's transaction. Returns those that were not: open ones have their unique keys.

    ``columns`` begin with `COLUMNS`. Keys are taken in one order, so that two callers cannot wait for each other.
    Raises `InvalidTask`: see `needs.ids_of`.
    """
    columns, rows = _with_needs(cursor, columns, list(rows), most_needs)
    columns, rows = approving.with_gates(columns, rows, approval_at=_APPROVAL_AT, now_at=_NOW_AT)
    rows = notices.with_callbacks(cursor, columns, rows, queue_at=QUEUE_AT, callback_at=_CALLBACK_AT)
    columns, rows = notices.with_marks(cursor, columns, rows, queue_at=QUEUE_AT, callback_at=_CALLBACK_AT)
    unique: list[tuple[Any, ...]] = []
    with cursor.copy(f"COPY tasks ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            if row[UNIQUE_KEY_AT] is None:
                copy.write_row(row)
            else:
                unique.append(row)
    if not unique:
        return set()
    names = ", ".join(columns)
    cursor.execute(
        f"INSERT INTO tasks ({names}) SELECT {names} FROM jsonb_populate_recordset(NULL::tasks, %s::jsonb)"
        f" ORDER BY queue, unique_key, id {_UNLESS_OPEN} RETURNING id",
        [f"[{','.join(_json_row(columns, row) for row in unique)}]"],
    )
    return {row[0] for row in unique} - {task_id for (task_id,) in cursor.fetchall()}


def _with_needs(
    cursor: Copying, columns: Sequence[str], rows: list[tuple[Any, ...]], most: int | None
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """The same with the ids of what the tasks need of their workers, if any of them does."""
    needs = [_need_of(row) for row in rows]
    if not any(needs):
        return columns, rows
    ids = ids_of(cursor, {need for need in needs if need}, most=most)
    return (*columns, "needs_id"), [(*row, need and ids[need]) for row, need in zip(rows, needs, strict=True)]


def _need_of(row: tuple[Any, ...]) -> Need | None:
    """What the task of a row needs of its worker."""
    text, slots = row[_LABELS_AT], row[_SLOTS_AT]
    return None if text is None and slots == 1 else need_of(json.loads(text or "{}"), slots)


def _json_row(columns: Sequence[str], row: tuple[Any, ...]) -> str:
    """A row as a JSON object. What is JSON text already is not read again."""
    values = ((value or "null") if at in _JSON_AT else json.dumps(value, default=str) for at, value in enumerate(row))
    return "{" + ",".join(f'"{column}":{value}' for column, value in zip(columns, values, strict=True)) + "}"


def insert_task(
    row: tuple[Any, ...],
    more: Mapping[str, Any] = MappingProxyType({}),
    *,
    hint: tuple[str, str] | None = None,
    admitted: bool = False,
) -> Task | None:
    """Insert one row of `task_row` and read it back, in one trip: the latency of creating a task consists of that.

    None: an open task has its unique key, or its queue has bounds (``bounds``) and it was not ``admitted`` under them.
    ``more`` are values of other columns.

    ``hint`` is a channel and a message that go in the same trip, outside a transaction only: in one of their own behind
    the commit, so that the lock of NOTIFY is not held while the disk is waited for. What needs something of its worker
    takes a trip more, and a transaction of the caller's. Raises `InvalidTask`: see `needs.ids_of`.
    """
    with connection.cursor() as cursor:
        if need := _need_of(row):
            more = {**more, "needs_id": ids_of(cursor, [need])[need]}
        callback = notices.callback_of(cursor, row[QUEUE_AT], row[_CALLBACK_AT])
        if callback is not row[_CALLBACK_AT]:
            row = (*row[:_CALLBACK_AT], callback, *row[_CALLBACK_AT + 1 :])
        if callback is not None or notices.hears(cursor, row[QUEUE_AT]):
            more = {**more, **notices.MARKED}
        if row[_APPROVAL_AT] is not None:
            more = {**more, **approving.columns_of(row[_APPROVAL_AT], more.get("gate", 0))}
        insert, fields, documents = _insert_statement(*more, unique=row[UNIQUE_KEY_AT] is not None, admitted=admitted)
        row = (*row, *more.values(), *(() if admitted else (row[QUEUE_AT],)))
        if hint is None:
            cursor.execute(insert, row)
        else:
            try:
                # One message of several statements; psycopg sends it as it is, because it binds on this side.
                cursor.execute(f"BEGIN; {insert}; COMMIT; SELECT pg_notify(%s, %s)", [*row, *hint])
            except Error as error:
                return _inserted_all_the_same(row[0], error)
            cursor.nextset()
        found = cursor.fetchone()
    if found is None:
        return None
    values = list(found)
    for at in documents:
        values[at] = values[at] and json.loads(values[at])
    return Task.from_db(connection.alias, fields, values)


def _inserted_all_the_same(task_id: UUID, error: Error) -> Task:
    """The task, when only its hint failed, which may be lost. Raises what the insert died of."""
    status = connection.connection.info.transaction_status
    if status == TransactionStatus.INERROR:
        connection.rollback()
    task = Task.objects.filter(pk=task_id).first() if status == TransactionStatus.IDLE else None
    if task is None:
        raise error
    log.warning("wakeup_not_sent", error=str(error))
    return task


@cache
def _insert_statement(*more: str, unique: bool, admitted: bool) -> tuple[str, list[str], list[int]]:
    """INSERT … RETURNING; the fields that it returns, and which of them are JSON.

    Unless the task was ``admitted``, it ends in a placeholder for its queue, which must have no bounds.
    """
    fields = Task._meta.concrete_fields
    columns = (*COLUMNS, *more)
    marks = ", ".join(_EXPRESSIONS.get(column, "%s") for column in columns)
    returned = ", ".join(str(field.column) for field in fields)
    documents = [at for at, field in enumerate(fields) if field.get_internal_type() == "JSONField"]
    conflict = f" {_UNLESS_OPEN}" if unique else ""
    # VALUES where nothing is asked: planning a SELECT takes a tenth of the insert.
    values = f"VALUES ({marks})" if admitted else f"SELECT {marks} WHERE {_UNBOUNDED}"
    insert = f"INSERT INTO tasks ({', '.join(columns)}) {values}{conflict} RETURNING {returned}"
    return insert, [field.attname for field in fields], documents
