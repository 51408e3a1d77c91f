"""Who is to be told of the end of tasks: a hook. What tells them is another app; it says here which tasks it is about.

A task of which somebody is told is marked when it is made (`MARKED`), so that nobody looks at the ends of all others.
For the same reason no statement asks who listens: a process keeps that in mind for `KEPT_FOR`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol
from uuid import UUID

from access_app.sql import Copying, Cursor
from tasks_app.new_tasks import InvalidTask

#: The columns of a task whose end is to be told.
MARKED: Final = MappingProxyType({"has_dependents": True, "notifies": True})
#: Seconds in which a process takes what it has found for what is.
KEPT_FOR: Final = 1.0
#: Stands for every queue.
ALL: Final = "*"


class Teller(Protocol):
    """The app that tells."""

    def heard_queues(self, cursor: Cursor) -> Collection[str]:
        """The queues of whose tasks somebody wants to hear; `ALL` for all of them."""

    def unknown_endpoints(self, names: Collection[str]) -> Collection[str]:
        """Those of the names that no endpoint has."""

    def tell_now(self, cursor: Copying, ids: Collection[UUID]) -> None:
        """Tell of the ends of tasks that the caller has locked, and is about to run again."""


class _Known:
    """What this process has found, and until when that holds, by the monotonic clock."""

    teller: Teller | None = None
    queues: Collection[str] = ()
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
    queues = heard_queues(cursor)
    return queue in queues or ALL in queues if queues else False


def heard_queues(cursor: Cursor) -> Collection[str]:
    """The queues that `hears` goes by."""
    if _Known.teller is not None and time.monotonic() >= _Known.until:
        began = time.monotonic()
        know_of(_Known.teller.heard_queues(cursor), since=began)
    return _Known.queues


def know_of(queues: Collection[str], *, since: float) -> None:
    """Keep in mind who listens, as it was by the monotonic clock."""
    _Known.queues, _Known.until = queues, since + KEPT_FOR


def with_marks(
    cursor: Cursor, columns: Sequence[str], rows: list[tuple[Any, ...]], *, queue_at: int, callback_at: int
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """New rows of tasks with their marks, if anybody is to be told of any of them; else as they are."""
    queues = heard_queues(cursor)
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
