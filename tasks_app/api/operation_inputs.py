"""JSON in: what a body says about a bulk operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from access_app.http.fields import Fields, anything, flag, or_null, read_object, read_reason_text, text
from access_app.refusals import InvalidInput
from tasks_app import kinds
from tasks_app.acts import BulkAction, Target
from tasks_app.api.operation_filters import read_filter
from tasks_app.fields import ASKED
from tasks_app.tickets import Ask

_OF_TASKS: Final = {row.name: row.kind for row in ASKED}
PRIORITY: Final = _OF_TASKS["priority"]
QUEUE: Final = _OF_TASKS["queue"]
RATE: Final = kinds.whole(1, 1_000_000)
#: Action → the field that says what its tasks are given.
_GIVES: Final = {BulkAction.REPRIORITISE: "priority", BulkAction.MOVE: "queue"}


@dataclass(frozen=True, slots=True)
class AskedOperation:
    """What a request asks for: without a token, a dry run."""

    ask: Ask
    token: str | None
    reason: str
    rate: int | None


def _action(value: Any) -> Any:
    if value not in list(BulkAction):
        raise ValueError(f"must be one of {', '.join(BulkAction)}")
    return BulkAction(value)


_FIELDS: Final[Fields] = {
    "action": ("action", _action),
    "filter": ("filter", anything),
    "priority": ("priority", or_null(PRIORITY.read)),
    "queue": ("queue", or_null(QUEUE.read)),
    "reason": ("reason", read_reason_text),
    "dryRun": ("dry_run", flag),
    "token": ("token", text),
    "ratePerSecond": ("rate", or_null(RATE.read)),
}


def read_operation(data: Any) -> AskedOperation:
    """What a body asks for. Raises `InvalidInput`, or `Problem`, naming every bad field."""
    values, problems = read_object(data, _FIELDS, required=("action", "filter"))
    try:
        wanted = read_filter(values["filter"]) if "filter" in values else {}
    except InvalidInput as error:
        wanted, problems = {}, problems | error.problems
    problems |= _target_problems(values) | _token_problems(values)
    if problems:
        raise InvalidInput(problems)
    target = Target(values.get("priority"), values.get("queue"))
    ask = Ask(values["action"], wanted, target)
    return AskedOperation(ask, values.get("token"), values.get("reason", ""), values.get("rate"))


def _target_problems(values: Mapping[str, Any]) -> dict[str, str]:
    """What is given must be what the action gives."""
    if "action" not in values:
        return {}
    gives, action = _GIVES.get(values["action"]), values["action"]
    return {
        name: f"is required to {action}" if name == gives else f"means nothing to the action {action}"
        for name in _GIVES.values()
        if (values.get(name) is None) == (name == gives)
    }


def _token_problems(values: Mapping[str, Any]) -> dict[str, str]:
    """A dry run gives a token, and everything else begins with one."""
    dry = values.get("dry_run", False)
    if dry and "token" in values:
        return {"token": "has no place in a dry run, which gives one"}
    if not dry and "token" not in values:
        return {"token": "is required: a dry run of the same action and filter (dryRun: true) gives one"}
    return {}
