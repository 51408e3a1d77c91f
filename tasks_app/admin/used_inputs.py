"""What the latest attempt of a task has taken from the results of others, on its page. Secrets are masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.utils.safestring import SafeString

from access_app.staff import display
from access_app.staff.outputs import pretty, readable
from tasks_app.executors.base import JsonObject
from tasks_app.models import Task
from tasks_app.new_tasks import takes_results
from tasks_app.references import Origin
from tasks_app.used_inputs import inputs_of

_WORDS: Final = {
    Origin.RESULT: "from",
    Origin.DEFAULT: "the default, there is nothing at",
    Origin.MISSING: "there is nothing at",
    Origin.UNUSABLE: "cannot be used, from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One of them: where it went, where it came from, in words, and what it was."""

    field: str
    origin: str
    source: SafeString
    path: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedInputs:
    attempt: int
    inputs: list[Input]


def used_inputs_of(task: Task) -> UsedInputs | None:
    """None for a task that takes none, or has not begun to."""
    if not takes_results(task.type, task.payload):
        return None
    attempt, used = inputs_of(task.pk)
    return None if attempt is None else UsedInputs(attempt=attempt, inputs=[_input(each) for each in used])


def _input(used: JsonObject) -> Input:
    value = used["value"]
    return Input(
        field=used["field"],
        origin=_WORDS[used["origin"]],
        source=display.task_link(UUID(used["taskId"])),
        path=used["path"],
        value=readable(value) if isinstance(value, str) else pretty(value),
    )
