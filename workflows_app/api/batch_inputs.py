"""JSON in: what a body says about a batch. Its tasks are read as those of a bulk call, all or none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from access_app.http.fields import Fields, flag, or_null, read_object, read_reason_text, text
from access_app.http.problems import Problem
from access_app.texts import UUID_TEXT
from tasks_app.api.bulk import MAX_TASKS
from workflows_app.batch_rules import FollowUp
from workflows_app.new_batches import InvalidBatch, NewBatch, check_batch
from workflows_app.templates import FIELDS, read_follow_ups


class Only(StrEnum):
    """What a retry runs again."""

    FAILED = "failed"
    UNSUCCESSFUL = "unsuccessful"


@dataclass(frozen=True, slots=True)
class Retry:
    """What is to run again, and why."""

    everything: bool
    reason: str


def _batch_id(value: Any) -> Any:
    if not UUID_TEXT.fullmatch(text(value)):
        raise ValueError("must be the id of a batch")
    return UUID(value)


def _tasks(least: int) -> Any:
    def read(value: Any) -> Any:
        if type(value) is not list or not least <= len(value) <= MAX_TASKS:
            raise ValueError(f"must be a list of {least} to {MAX_TASKS:,} tasks")
        return value

    return read


def _only(value: Any) -> Any:
    if text(value) not in list(Only):
        raise ValueError(f"must be {' or '.join(Only)}")
    return value == Only.UNSUCCESSFUL


_BATCH: Final[Fields] = {
    **FIELDS,
    "tasks": ("tasks", _tasks(0)),
    "open": ("open", flag),
    "parentBatchId": ("parent_id", or_null(_batch_id)),
}
_READ_ONLY: Final = frozenset(
    {"id", "status", "counts", "progress", "completion", "followUps", "createdBy", "version", "createdAt", "updatedAt"}
    | {"scheduleId", "scheduledFor"}
    | {"finishedAt", "completedAt", "cancelledAt", "correlationId", "idempotencyKey"}
)


def read_batch(data: Any) -> tuple[NewBatch, list[Any]]:
    """The batch a JSON value asks for, and its tasks as they came. Raises `Problem`, `InvalidBatch`."""
    values, problems = read_object(data, _BATCH, required=("name",), read_only=_READ_ONLY)
    items = values.pop("tasks", [])
    follow_ups = read_follow_ups(values, problems)
    new = NewBatch(
        **{name: value for name, value in values.items() if name not in list(FollowUp)}, follow_ups=follow_ups
    )
    if "name" not in problems:
        try:
            check_batch(new)
        except InvalidBatch as error:
            problems = error.problems | problems
    if problems:
        raise Problem.invalid(problems)
    return new, items


def read_more(data: Any) -> list[Any]:
    """The tasks to add to a batch, as they came. Raises `Problem`."""
    values, problems = read_object(data, {"tasks": ("tasks", _tasks(1))}, required=("tasks",))
    if problems:
        raise Problem.invalid(problems)
    items: list[Any] = values["tasks"]
    return items


def read_retry(data: Any) -> Retry:
    """What of a batch is to run again. Raises `Problem`."""
    values, problems = read_object(data, {"only": ("everything", _only), "reason": ("reason", read_reason_text)})
    if problems:
        raise Problem.invalid(problems)
    return Retry(**{"everything": False, "reason": "", **values})
