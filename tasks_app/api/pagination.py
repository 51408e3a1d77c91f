"""Pages of tasks: numbered ones with a total, and keyset ones that cost the same however far one goes.

A cursor names the task it was made at, the direction, and the listing it belongs to; it is signed, so that nobody has
to be asked what a changed one might mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.core import signing
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.crypto import salted_hmac

from tasks_app import selectors
from tasks_app.api.filters import Listing
from tasks_app.api.outputs import task_item
from tasks_app.api.problems import Problem
from tasks_app.executors.base import JsonObject
from tasks_app.models import Task

#: Totals are counted up to here; a larger one is an estimate, unless the page at hand is the last.
COUNTED: Final = 10_000
_SIGNER: Final = signing.Signer(sep=".", salt="tasks_app.api.cursor")


def page_of(listing: Listing) -> JsonObject:
    """One page of the listing, as the contract shows it."""
    if listing.cursor is not None:
        return _keyset_page(listing)
    return _numbered_page(listing)


def _tasks(listing: Listing) -> QuerySet[Task]:
    return Task.objects.filter(listing.where, listing.hint)


def _items(tasks: Sequence[Task]) -> list[JsonObject]:
    latest = selectors.latest_executions(task.pk for task in tasks if task.attempt)
    return [task_item(task, latest.get(task.pk)) for task in tasks]


def _numbered_page(listing: Listing) -> JsonObject:
    offset = listing.page * listing.size
    rows = _tasks(listing).defer("payload").order_by(*listing.sort.order())
    tasks = list(rows[offset : offset + listing.size + 1])
    more, tasks = len(tasks) > listing.size, tasks[: listing.size]
    seen = offset + len(tasks)
    if more or (not tasks and offset):
        total, estimated = _count(listing, at_least=seen + 1 if more else 0)
    else:
        total, estimated = seen, False
    page: JsonObject = {
        "content": _items(tasks),
        "page": listing.page,
        "size": listing.size,
        "totalElements": total,
        "totalPages": -(-total // listing.size),
        "first": listing.page == 0,
        "last": not more,
    }
    return page | {"totalIsEstimate": True} if estimated else page


def _count(listing: Listing, *, at_least: int) -> tuple[int, bool]:
    rows = _tasks(listing).order_by()
    counted = rows.values("pk")[: COUNTED + 1].count()
    if counted <= COUNTED:
        return max(counted, at_least), False
    estimate = _planned(Task.objects.filter(listing.where).order_by()) if listing.filtered else _rows_of_table()
    return max(estimate, at_least, COUNTED + 1), True


def _rows_of_table() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = 'tasks'::regclass")
        return int(cursor.fetchone()[0])


def _planned(rows: QuerySet[Any]) -> int:
    """How many rows the planner expects, from its statistics: one look at no table."""
    [plan] = json.loads(rows.values("pk").explain(format="json"))
    return int(plan["Plan"]["Plan Rows"])


def _keyset_page(listing: Listing) -> JsonObject:
    forward, anchor = _read_cursor(listing)
    rows = _tasks(listing).defer("payload").order_by(*listing.sort.order(reverse=not forward))
    if anchor is not None:
        rows = rows.filter(_beyond(listing, anchor, forward=forward))
    tasks = list(rows[: listing.size + 1])
    more, tasks = len(tasks) > listing.size, tasks[: listing.size]
    if not forward:
        tasks.reverse()
    before, after = (anchor is not None, more) if forward else (more, True)
    first, last = (_anchor(listing, tasks[0]), _anchor(listing, tasks[-1])) if tasks else (anchor, None)
    return {
        "content": _items(tasks),
        "next": _write_cursor(listing, True, last) if after else None,
        "previous": _write_cursor(listing, False, first) if before else None,
    }


def _beyond(listing: Listing, anchor: list[Any], *, forward: bool) -> Q:
    """The rows after (or before) a task: compared like a row of the sort column and the id."""
    key, task_id = anchor
    less = listing.sort.descending == forward
    operator = "lt" if less else "gt"
    if listing.sort.column == "id":
        return Q(**{f"id__{operator}": task_id})
    column = listing.sort.column
    return Q(**{f"{column}__{operator}e": key}) & (
        Q(**{f"{column}__{operator}": key}) | Q(**{f"id__{operator}": task_id})
    )


def _anchor(listing: Listing, task: Task) -> list[Any]:
    column = listing.sort.column
    return [None if column == "id" else getattr(task, column), task.pk]


def _write_cursor(listing: Listing, forward: bool, anchor: list[Any] | None) -> str:
    """Without an anchor it leads to the first page: where one ends up when everything before has been deleted."""
    key, task_id = anchor or (None, None)
    shown = key.isoformat() if isinstance(key, datetime) else key
    return _SIGNER.sign_object([forward, shown, str(task_id) if task_id else None, _binding(listing)])


def _read_cursor(listing: Listing) -> tuple[bool, list[Any] | None]:
    if not listing.cursor:
        return True, None
    try:
        forward, key, task_id, binding = _SIGNER.unsign_object(listing.cursor)
    except (signing.BadSignature, ValueError):
        raise Problem.invalid({"cursor": "is not one of ours"}) from None
    if binding != _binding(listing):
        raise Problem.invalid({"cursor": "belongs to other filters or another sort: repeat those it was made with"})
    if task_id is None:
        return True, None
    if listing.sort.column == "schedule_at":
        key = datetime.fromisoformat(key)
    return forward, [key, UUID(task_id)]


def _binding(listing: Listing) -> str:
    text = f"{listing.sort.name},{listing.sort.descending},{listing.scope}"
    return salted_hmac("tasks_app.api.cursor.binding", text).hexdigest()[:16]
