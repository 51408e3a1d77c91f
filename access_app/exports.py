"""A whole list as a file, CSV or JSON: page by page, so that it costs little memory, holds no snapshot, and has an end.

The keys of the rows are read first, in the order of the list, by one statement of bounded time; the rows behind them
follow in pages, each by a statement of its own. A row that has meanwhile gone, or no longer matches, is left out; none
comes twice. Who takes a list along is in the audit trail.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict, StreamingHttpResponse
from django.utils import timezone

from access_app import audit
from access_app.patience import TooSlow, no_longer_than

FORMATS: Final = {"csv": "text/csv", "json": "application/json"}
MOST_ROWS: Final = 100_000
#: Exports of one process at a time: each holds the keys of its rows.
MOST_AT_ONCE: Final = 4
LONGEST: Final = timedelta(seconds=5)
_PAGE: Final = 500
#: What a spreadsheet takes for the beginning of a formula, or skips before one.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

Item = Mapping[str, Any]


class ExportRefused(Exception):
    """The list cannot be exported; the text says why, and what would help. ``again``: later it may be."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A list that is to be a file: its rows, in their order, and how they are shown."""

    #: What the rows are, as the file is called: tasks.
    name: str
    rows: QuerySet[Any]
    columns: Sequence[str]
    show: Callable[[Sequence[Any]], Sequence[Item]]


class _Pieces(Iterator[bytes]):
    """The pieces of a file, until it is closed: then another may begin."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._pieces, self._close = pieces, close

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """As often as anybody likes."""
        close, self._close = self._close, lambda: None
        close()

    def __del__(self) -> None:
        """Some server may forget to close it: a place would be taken for good."""
        self.close()


_places = threading.BoundedSemaphore(MOST_AT_ONCE)


def export(listed: Exported, form: str, *, actor: str, asked: Mapping[str, Any]) -> StreamingHttpResponse:
    """The response that is the file. ``asked``: the filters, for the audit trail. Raises `ExportRefused`."""
    if not _places.acquire(blocking=False):
        raise ExportRefused(f"{MOST_AT_ONCE} lists are being exported. Try again in a moment.", again=True)
    try:
        keys = _keys_of(listed.rows)
        detail = {"format": form, "rows": len(keys), "filter": dict(asked)}
        audit.record(actor, f"{listed.name}.exported", f"list:{listed.name}", detail=detail)
        pieces = _WRITERS[form](listed, _pages(listed, keys))
    except BaseException:
        _places.release()
        raise
    file_name = f"{listed.name}-{timezone.now():%Y%m%dT%H%M%SZ}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"', "Cache-Control": "no-store"}
    content_type = f"{FORMATS[form]}; charset=utf-8"
    return StreamingHttpResponse(_Pieces(pieces, _places.release), content_type=content_type, headers=headers)


def filters_of(asked: QueryDict) -> dict[str, Any]:
    """What a query string filters by, for the audit trail."""
    return {name: values if len(values) > 1 else values[0] for name, values in asked.lists() if values}


@contextmanager
def bounded() -> Iterator[None]:
    """A transaction none of whose statements takes long. Raises `ExportRefused`."""
    try:
        with no_longer_than(LONGEST):
            yield
    except TooSlow as error:
        raise ExportRefused(
            f"Finding the rows took longer than {LONGEST.seconds} seconds. Narrow the filters, by time say."
        ) from error


def _keys_of(rows: QuerySet[Any]) -> list[Any]:
    """The keys of all rows, in their order. Raises `ExportRefused`."""
    with bounded():
        keys = list(rows.values_list("pk", flat=True)[: MOST_ROWS + 1])
    if len(keys) > MOST_ROWS:
        raise ExportRefused(
            f"More than {MOST_ROWS:,} rows match. Narrow the filters, by time say, and export in parts."
        )
    return keys


def _pages(listed: Exported, keys: list[Any]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(keys), _PAGE):
        page = keys[start : start + _PAGE]
        found = {row.pk: row for row in listed.rows.filter(pk__in=page).order_by()}
        yield listed.show([found[key] for key in page if key in found])


def _write_csv(listed: Exported, pages: Iterator[Sequence[Item]]) -> Iterator[bytes]:
    """As RFC 4180 has it, with a head."""
    yield _csv([list(listed.columns)])
    for items in pages:
        yield _csv([[cell(item.get(name)) for name in listed.columns] for item in items])


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")


def cell(value: Any) -> Any:
    """A value as a cell: objects as JSON; a text that a spreadsheet would calculate, behind an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    text = value if isinstance(value, str) else _json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_json(_: Exported, pages: Iterator[Sequence[Item]]) -> Iterator[bytes]:
    """One object, which says at its end how many rows are in it: one that was cut off is no JSON."""
    count = 0
    yield b'{"content":['
    for items in pages:
        if items:
            yield ("," if count else "").encode() + ",\n".join(map(_json, items)).encode(errors="replace")
            count += len(items)
    yield f'],"count":{count}}}'.encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_WRITERS: Final = {"csv": _write_csv, "json": _write_json}
