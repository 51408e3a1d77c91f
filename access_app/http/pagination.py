"""Pages of any list: numbered ones with a total, and keyset ones that cost the same however far one goes.

A cursor names the row it was made at, the direction, and the listing it belongs to; it is signed, so that nobody has
to be asked what a changed one might mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.core import signing
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.crypto import salted_hmac

from access_app.http.problems import Problem

#: Totals are counted up to here; a larger one is an estimate, unless the page at hand is the last.
COUNTED: Final = 10_000
_SIGNER: Final = signing.Signer(sep=".", salt="tasks_app.api.cursor")


@dataclass(frozen=True, slots=True)
class Sort:
    """An order by a column that is never null; ties are broken by the primary key, in the same direction."""

    name: str
    column: str
    descending: bool

    def order(self, *, reverse: bool = False) -> list[str]:
        sign = "-" if self.descending != reverse else ""
        return [sign + column for column in dict.fromkeys((self.column, "pk"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a caller wants to see: which rows, in which order, and which page of them."""

    rows: QuerySet[Any]
    #: Changes none of the rows, but may help the planner.
    hint: Q
    filtered: bool
    sort: Sort
    size: int
    page: int
    #: None: numbered pages; an empty text: the first keyset page.
    cursor: str | None
    #: The parameters a cursor belongs to: all but ``cursor`` and ``size``.
    scope: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """How the rows of a listing are shown, and what is known about them."""

    show: Callable[[Sequence[Any]], list[dict[str, Any]]]
    #: What the rows are part of: cursors of another part do not fit.
    part: str = ""


def page_of(listing: Listing, shelf: Shelf) -> dict[str, Any]:
    """One page of the listing, as the contract shows it."""
    if listing.cursor is not None:
        return _keyset_page(listing, shelf)
    return _numbered_page(listing, shelf)


def _rows(listing: Listing) -> QuerySet[Any]:
    return listing.rows.filter(listing.hint)


def _numbered_page(listing: Listing, shelf: Shelf) -> dict[str, Any]:
    offset = listing.page * listing.size
    rows = list(_rows(listing).order_by(*listing.sort.order())[offset : offset + listing.size + 1])
    more, rows = len(rows) > listing.size, rows[: listing.size]
    seen = offset + len(rows)
    if more or (not rows and offset):
        total, estimated = _count(listing, shelf, at_least=seen + 1 if more else 0)
    else:
        total, estimated = seen, False
    shown = numbered(shelf.show(rows), page=listing.page, size=listing.size, total=total, estimated=estimated)
    return shown | {"last": not more}


def numbered(
    content: list[dict[str, Any]], *, page: int, size: int, total: int, estimated: bool = False
) -> dict[str, Any]:
    """A page by its number, as the contract shows it."""
    document: dict[str, Any] = {
        "content": content,
        "page": page,
        "size": size,
        "totalElements": total,
        "totalPages": -(-total // size),
        "first": page == 0,
        "last": (page + 1) * size >= total,
    }
    return document | {"totalIsEstimate": True} if estimated else document


def _count(listing: Listing, shelf: Shelf, *, at_least: int) -> tuple[int, bool]:
    counted = _rows(listing).order_by().values("pk")[: COUNTED + 1].count()
    if counted <= COUNTED:
        return max(counted, at_least), False
    if listing.filtered or shelf.part:
        estimate = _planned(listing.rows.order_by())
    else:
        estimate = _rows_of_table(listing.rows.model._meta.db_table)
    return max(estimate, at_least, COUNTED + 1), True


def _rows_of_table(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [name])
        return int(cursor.fetchone()[0])


def _planned(rows: QuerySet[Any]) -> int:
    """How many rows the planner expects, from its statistics: one look at no table."""
    [plan] = json.loads(rows.values("pk").explain(format="json"))
    return int(plan["Plan"]["Plan Rows"])


def _keyset_page(listing: Listing, shelf: Shelf) -> dict[str, Any]:
    forward, anchor = _read_cursor(listing, shelf)
    found = _rows(listing).order_by(*listing.sort.order(reverse=not forward))
    if anchor is not None:
        found = found.filter(_beyond(listing, anchor, forward=forward))
    rows = list(found[: listing.size + 1])
    more, rows = len(rows) > listing.size, rows[: listing.size]
    if not forward:
        rows.reverse()
    before, after = (anchor is not None, more) if forward else (more, True)
    first, last = (_anchor(listing, rows[0]), _anchor(listing, rows[-1])) if rows else (anchor, None)
    return {
        "content": shelf.show(rows),
        "next": _write_cursor(listing, shelf, True, last) if after else None,
        "previous": _write_cursor(listing, shelf, False, first) if before else None,
    }


def _beyond(listing: Listing, anchor: list[Any], *, forward: bool) -> Q:
    """The rows after (or before) one of them: compared like a row of the sort column and the primary key."""
    key, pk = anchor
    less = listing.sort.descending == forward
    operator = "lt" if less else "gt"
    if listing.sort.column == "pk":
        return Q(**{f"pk__{operator}": pk})
    column = listing.sort.column
    return Q(**{f"{column}__{operator}e": key}) & (Q(**{f"{column}__{operator}": key}) | Q(**{f"pk__{operator}": pk}))


def _anchor(listing: Listing, row: Any) -> list[Any]:
    column = listing.sort.column
    return [None if column == "pk" else getattr(row, column), row.pk]


def _write_cursor(listing: Listing, shelf: Shelf, forward: bool, anchor: list[Any] | None) -> str:
    """Without an anchor it leads to the first page: where one ends up when everything before has been deleted."""
    key, pk = anchor or (None, None)
    shown = key.isoformat() if isinstance(key, datetime) else key
    return _SIGNER.sign_object([forward, shown, str(pk) if pk is not None else None, _binding(listing, shelf)])


def _read_cursor(listing: Listing, shelf: Shelf) -> tuple[bool, list[Any] | None]:
    if not listing.cursor:
        return True, None
    try:
        forward, key, pk, binding = _SIGNER.unsign_object(listing.cursor)
    except (signing.BadSignature, ValueError):
        raise Problem.invalid({"cursor": "is not one of ours"}) from None
    if binding != _binding(listing, shelf):
        raise Problem.invalid({"cursor": "belongs to other filters or another sort: repeat those it was made with"})
    if pk is None:
        return True, None
    meta = listing.rows.model._meta
    if listing.sort.column != "pk":
        key = meta.get_field(listing.sort.column).to_python(key)
    return forward, [key, meta.pk.to_python(pk)]


def _binding(listing: Listing, shelf: Shelf) -> str:
    table = listing.rows.model._meta.db_table
    text = f"{table},{shelf.part},{listing.sort.name},{listing.sort.descending},{listing.scope}"
    # Named, because a later Django has another default: it would refuse every cursor that was handed out before.
    return salted_hmac("tasks_app.api.cursor.binding", text, algorithm="sha1").hexdigest()[:16]
