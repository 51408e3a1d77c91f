"""JSON in: what a body says about a task. Each field is read by its kind; ``new_tasks`` checks them together.

Every function adds to ``problems`` (JSON field → one sentence) instead of stopping at the first.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Value
from django.db.models.functions import Greatest, Now

from access_app.http.fields import Fields, Read, flag, or_null, read_fields, read_object, read_reason_text, text
from access_app.http.problems import Problem
from access_app.texts import problem_of_line
from tasks_app.fields import ASKED, KEPT, OF_ATTEMPT, Asked, NewTask
from tasks_app.kinds import whole
from tasks_app.new_tasks import InvalidTask, check_payload, check_task, joint_problems, order_problems
from tasks_app.progress import MAX_COUNT, MAX_NOTE, Report


#: JSON field → attribute of `NewTask`, and how its value is read. Fields without a default of their own may be null.
def _reader(row: Asked) -> Read:
    if row.null_says is not None:
        return lambda value: row.null_says if value is None else row.kind.read(value)
    return or_null(row.kind.read) if row.default is None else row.kind.read


CREATE: Final[Fields] = {row.name: (row.column, _reader(row)) for row in ASKED}
_CHANGE: Final[Fields] = {
    row.name: (row.column, or_null(row.kind.read) if row.null else row.kind.read) for row in ASKED if row.edit
}
READ_ONLY: Final = frozenset({*(row.name for row in KEPT), *OF_ATTEMPT})


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """A task that can be stored, and its payload as JSON text."""

    new: NewTask
    text: str


def read_task(data: Any) -> CheckedTask:
    """The task a JSON value asks for. Raises `InvalidTask` naming every bad field."""
    if type(data) is not dict:
        raise InvalidTask({"body": "must be an object"})
    problems: dict[str, str] = {}
    values = read_fields(data, CREATE, problems, read_only=READ_ONLY)
    if "type" not in data:
        problems["type"] = "is required"
    if problems:
        raise InvalidTask(_further_problems(values, problems.keys() & CREATE.keys()) | problems)
    new = NewTask(**values)
    return CheckedTask(new, check_task(new, read=True))


def read_changes(data: Any, task_type: str) -> dict[str, Any]:
    """The columns a PATCH of a task of this type changes. Raises `InvalidTask` naming every bad field."""
    if type(data) is not dict or not data:
        raise InvalidTask({"body": f"must be an object with at least one of {', '.join(_CHANGE)}"})
    problems: dict[str, str] = {}
    changes = read_fields(data, _CHANGE, problems, read_only=READ_ONLY | CREATE.keys())
    if "payload" in changes:
        check_payload(task_type, changes["payload"], problems)
    problems |= order_problems(NewTask(type=task_type, **changes))
    if problems:
        raise InvalidTask(problems)
    if "schedule_at" in changes:  # past = now, by the database's clock as for a new task
        changes["schedule_at"] = Greatest(Value(changes["schedule_at"]), Now())
    return changes


def read_retry(data: Any) -> bool:
    """Whether what never ran because of a task is to run again with it. Raises `Problem`."""
    values, problems = read_object(data, {"dependents": ("dependents", flag)})
    if problems:
        raise Problem.invalid(problems)
    return bool(values.get("dependents", False))


def read_report(data: Any) -> Report:
    """How far a task says that it is. Raises `Problem`, and `InvalidInput` for what does not fit together."""
    values, problems = read_object(data, _REPORT)
    if problems:
        raise Problem.invalid(problems)
    return Report.of(**values)


def _read_note(value: Any) -> Any:
    if text(value) and (problem := problem_of_line(value, MAX_NOTE)):
        raise ValueError(problem)
    return value


_REPORT: Final[Fields] = {
    "percent": ("percent", whole(0, 100).read),
    "done": ("done", whole(0, MAX_COUNT).read),
    "total": ("total", whole(0, MAX_COUNT).read),
    "note": ("note", _read_note),
}


def read_reason(data: Any) -> str:
    """Why somebody decides as they do; empty, when they do not say. Raises `Problem`."""
    values, problems = read_object(data, {"reason": ("reason", read_reason_text)})
    if problems:
        raise Problem.invalid(problems)
    return str(values.get("reason", ""))


def _further_problems(values: dict[str, Any], unread: Container[str]) -> dict[str, str]:
    """What else is wrong with a task some of whose fields could not be read: one response names all.

    Nothing is said about a field together with one that could not be read, as if that had not been there.
    """
    further: dict[str, str] = {}
    if "type" in values:
        check_payload(values["type"], values.get("payload", {}), further)
    joint = joint_problems(NewTask(**{"type": "", **values}))
    return further | {name: text for name, text in joint.items() if not any(word in unread for word in text.split())}
