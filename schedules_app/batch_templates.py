"""Batches as what a schedule makes: a hook. What a batch is, is the matter of an upper app, which registers itself.

A template is the body of ``POST /batches``, as it was asked for; it is read anew for each pass that uses it. Ids follow
from the schedule and the slot, so that a batch which is made twice is the same one. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeGuard
from uuid import UUID

from access_app.ids import derived_id
from access_app.refusals import InvalidInput
from access_app.rights import Caller
from access_app.sql import Copying
from tasks_app.executors.base import JsonObject

#: Where a template has tasks besides the list of them.
_FOLLOW_UPS: Final = ("onComplete", "onSuccess", "onFailure")


class Template(Protocol):
    """A batch as it is made for each slot; checked."""

    @property
    def size(self) -> int:
        """How many tasks it has, those left out that are made when it is done."""

    @property
    def rooms(self) -> Sequence[tuple[str, str | None]]:
        """Queue and concurrency key of each task."""

    def with_callback(self, callback: JsonObject) -> Template:
        """The same, with the callback for those of its tasks that say nothing of one."""

    @property
    def takes_results(self) -> Collection[str]:
        """The types of its tasks that take something from results of others."""


class OpenBatch(NamedTuple):
    """A batch that is not done, among the open tasks of its schedule."""

    id: UUID


#: What is open of a schedule: a task by its id, or a batch.
Open: TypeAlias = UUID | OpenBatch


class NewSlot(NamedTuple):
    """A slot whose batch is to be made, under an id that follows from it."""

    id: UUID
    schedule_id: UUID
    slot: datetime
    template: Template
    created_by: str
    now: datetime
    #: Batches and tasks that have to end before any of its tasks runs.
    after: tuple[Sequence[UUID], Sequence[UUID]] = ((), ())
    correlation: str = ""
    idempotency_key: str | None = None
    #: Of all its tasks, instead of their own.
    priority: int | None = None


class Maker(Protocol):
    """The app that makes batches."""

    def read(self, asked: JsonObject) -> Template:
        """What was asked for. Raises `InvalidInput`, whose problems name fields of it."""

    def check(self, asked: JsonObject) -> None:
        """Whether there is whom it names: groups, endpoints. Asks the database. Raises `InvalidInput`."""

    def make(self, cursor: Copying, slots: Sequence[NewSlot]) -> None:
        """Make the batches that there are not, in the caller's transaction, which holds what they come ``after``."""

    def cancel(self, cursor: Copying, ids: Sequence[UUID], *, actor: str, reason: str) -> list[UUID]:
        """Cancel batches that the caller holds, and what runs in them; return the workers that run it."""

    def shown(self, caller: Caller, batch_id: UUID) -> JsonObject:
        """A batch as the API shows it. Raises `NotFound`."""


class _Known:
    maker: Maker | None = None


def register(maker: Maker) -> None:
    """Let this one make batches."""
    _Known.maker = maker


def maker() -> Maker:
    """Who makes them. Raises `InvalidInput` where nobody does: the app is not installed."""
    if _Known.maker is None:
        raise InvalidInput({"batch": "is not taken here: this installation makes no batches"})
    return _Known.maker


def batch_id_of(schedule_id: UUID, slot: datetime) -> UUID:
    """The id of the batch of a slot: a UUIDv7 of the slot's instant, with nothing of chance in it."""
    return derived_id(slot, f"{schedule_id} {slot.astimezone(UTC).isoformat()}")


def named(open_one: Open) -> str:
    """What it is, in words."""
    return f"batch {open_one.id}" if isinstance(open_one, OpenBatch) else f"task {open_one}"


def types_in(asked: Any) -> set[str]:
    """The types of all tasks of a template, whatever else is wrong with it."""
    if not _is_object(asked):
        return set()
    return {str(task.get("type", "")) for task in [*_tasks_of(asked), *map(asked.get, _FOLLOW_UPS)] if _is_object(task)}


def queues_in(asked: Mapping[str, Any]) -> list[str]:
    """The queues of the tasks of a stored template, each once."""
    return sorted({str(task.get("queue", "default")) for task in _tasks_of(asked)})


def _tasks_of(asked: Mapping[str, Any]) -> list[Any]:
    tasks = asked.get("tasks")
    return [task for task in tasks if _is_object(task)] if isinstance(tasks, list) else []


def _is_object(value: Any) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)
