"""What a task may depend on: the id of a task, the ref of one of its call, or all of a batch. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from access_app.http.openapi.schemas import schema
from access_app.texts import UUID_TEXT
from tasks_app.kinds import Kind, listed, visible

MAX_PARENTS: Final = 1000
_NAME: Final = visible(100)


@dataclass(frozen=True, slots=True)
class WholeBatch:
    """All that is in a batch: ``{"batch": id}``."""

    id: UUID


def read_parent(value: Any) -> Any:
    """A name, or a batch. Raises ValueError with one sentence."""
    if type(value) is not dict:
        return value if isinstance(value, WholeBatch) else _NAME.read(value)
    batch = value.get("batch")
    if value.keys() != {"batch"} or not isinstance(batch, str) or not UUID_TEXT.fullmatch(batch):
        raise ValueError('must be ids of tasks, or {"batch": id}')
    return WholeBatch(UUID(batch))


PARENTS: Final = listed(Kind(schema=schema("Parent"), read=read_parent), MAX_PARENTS)
