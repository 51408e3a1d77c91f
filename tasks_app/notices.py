"""Who is to be told of the end of tasks: a hook. What tells them is another app; it says here which tasks it is about,
and what is the callback of those of a queue that say nothing of one.

A task of which somebody is told is marked when it is made (`MARKED`), so that nobody looks at the ends of all others.
For the same reason no statement asks who listens: a process keeps that in mind for `KEPT_FOR`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from access_app.sql import Copying, Cursor
from tasks_app.callbacks import NOBODY
from tasks_app.new_tasks import InvalidTask

#: The columns of a task whose end is to be told.
MARKED: Final = MappingProxyType({"has_dependents": True, "notifies": True})
#: Seconds in which a process takes what it has found for what is.
KEPT_FOR: Final = 1.0
#: Stands for every queue.
ALL: Final = "*"
_NOBODY: Final = json.dumps(NOBODY)


class Listening(NamedTuple):
    """The queues of whose tasks somebody wants to hear, `ALL` for all of them; and callbacks of queues, as JSON."""

    queues: Collection[str] = ()
    defaults: Mapping[str, str] = MappingProxyType({})


class Teller(Protocol):
    """The app that tells."""

    def listening(self, cursor: Cursor) -> Listening:
        """Who listens."""

    def unknown_endpoints(self, names: Collection[str]) -> Collection[str]:
        """Those of the names that no endpoint has."""

    def tell_now(self, cursor: Copying, ids: Collection[UUID]) -> None:
        """Tell of the ends of tasks that the caller has locked, and is about to run again."""


class _Known:
    """What this process has found, and until when that holds, by the monotonic clock."""

    teller: Teller | None = None
    listening = Listening()
    until = 0.0


def register(teller: Teller) -> None:
    """Let this one tell."""
    _Known.teller = teller
    forget()


def forget() -> None:
    """Look again: who listens is changed by this process."""
    _Known.until = 0.0


def hears(cursor: Cursor, queue: str) -> bool:
    """Whether anybody wants to hear of the tasks of a queue, as of a second ago at most."""
    queues = listening(cursor).queues
    return queue in queues or ALL in queues if queues else False


def listening(cursor: Cursor) -> Listening:
    """Who listens, as `hears` goes by it."""
    if _Known.teller is not None and time.monotonic() >= _Known.until:
        began = time.monotonic()
        know_of(_Known.teller.listening(cursor), since=began)
    return _Known.listening


def know_of(found: Listening, *, since: float) -> None:
    """Keep in mind who listens, as it was by the monotonic clock."""
    _Known.listening, _Known.until = found, since + KEPT_FOR


def callback_of(cursor: Cursor, queue: str, own: str | None) -> str | None:
    """The callback of a new task, as JSON: its own, or else that of its queue; none, when it says so."""
    if own is None:
        return listening(cursor).defaults.get(queue)
    return None if own == _NOBODY else own


def with_callbacks(
    cursor: Cursor, columns: Sequence[str], rows: list[tuple[Any, ...]], *, queue_at: int, callback_at: int
) -> list[tuple[Any, ...]]:
    """New rows of tasks with their callbacks. Deliveries, which come with their mark, are told to nobody."""
    defaults = listening(cursor).defaults if "notifies" not in columns else ()
    if not defaults and not any(row[callback_at] == _NOBODY for row in rows):
        return rows
    return [
        (*row[:callback_at], callback_of(cursor, row[queue_at], row[callback_at]), *row[callback_at + 1 :])
        for row in rows
    ]


def with_marks(
    cursor: Cursor, columns: Sequence[str], rows: list[tuple[Any, ...]], *, queue_at: int, callback_at: int
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """New rows of tasks with their marks, if anybody is to be told of any of them; else as they are."""
    queues = listening(cursor).queues
    every = ALL in queues
    told = [every or row[callback_at] is not None or row[queue_at] in queues for row in rows]
    if not any(told) or "notifies" in columns:
        return columns, rows
    if "has_dependents" not in columns:
        return (*columns, *MARKED), [(*row, each, each) for row, each in zip(rows, told, strict=True)]
    at = columns.index("has_dependents")
    marked = ((*row[:at], row[at] or each, *row[at + 1 :], each) for row, each in zip(rows, told, strict=True))
    return (*columns, "notifies"), list(marked)


def check_endpoints(callbacks: Iterable[dict[str, Any] | None]) -> None:
    """Raise `InvalidTask` for callbacks that name an endpoint which there is not."""
    names = {str(callback["endpoint"]) for callback in callbacks if callback and "endpoint" in callback}
    if names and _Known.teller is not None and (unknown := _Known.teller.unknown_endpoints(names)):
        raise InvalidTask({"callback.endpoint": f"there is no endpoint {min(unknown)}"})


def tell_now(cursor: Copying, ids: Collection[UUID]) -> None:
    """Have the ends of tasks told that are about to run again: nobody could see them afterwards."""
    if _Known.teller is not None and ids:
        _Known.teller.tell_now(cursor, ids)
