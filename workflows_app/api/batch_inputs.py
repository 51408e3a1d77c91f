"""JSON in: what a body says about a batch. Its tasks are read as those of a bulk call, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from access_app.http.fields import Fields, anything, flag, or_null, read_object, read_reason_text, text
from access_app.http.problems import Problem
from access_app.texts import UUID_TEXT
from tasks_app.api.bulk import MAX_TASKS
from tasks_app.api.inputs import read_task
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask
from workflows_app.batch_rules import FollowUp
from workflows_app.new_batches import InvalidBatch, NewBatch, check_batch, read_fail_fast


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
    "name": ("name", text),
    "tasks": ("tasks", _tasks(0)),
    "open": ("open", flag),
    "failFast": ("fail_fast", or_null(read_fail_fast)),
    "parentBatchId": ("parent_id", or_null(_batch_id)),
    **{str(which): (which, anything) for which in FollowUp},
}
_READ_ONLY: Final = frozenset(
    {"id", "status", "counts", "progress", "completion", "followUps", "createdBy", "version", "createdAt", "updatedAt"}
    | {"finishedAt", "completedAt", "cancelledAt", "correlationId", "idempotencyKey"}
)


def read_batch(data: Any) -> tuple[NewBatch, list[Any]]:
    """The batch a JSON value asks for, and its tasks as they came. Raises `Problem`, `InvalidBatch`."""
    values, problems = read_object(data, _BATCH, required=("name",), read_only=_READ_ONLY)
    items = values.pop("tasks", [])
    asked = {which: values.pop(which) for which in FollowUp if which in values}
    follow_ups = {}
    for which, value in asked.items():
        if value is not None:
            try:
                follow_ups[which] = _follow_up(value)
            except InvalidTask as error:
                problems |= _inside(which, error.problems)
    new = NewBatch(**values, follow_ups=follow_ups)
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


def _inside(which: FollowUp, problems: Mapping[str, str]) -> dict[str, str]:
    return {str(which) if name == "body" else f"{which}.{name}": sentence for name, sentence in problems.items()}


def _follow_up(value: Any) -> NewTask:
    return read_task(value).new
