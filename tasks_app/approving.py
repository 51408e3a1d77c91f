"""Approvals: when one is asked for, and who may decide about it.

It is asked for when a task is made, or comes to run, and waits for nothing else that others have to end: then its gate
is APPROVAL. It is asked for anew when a task is edited, moved or run again: what was approved is what runs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.db.models.functions import Now

from access_app import audit
from access_app.approvers import missing_groups, refusal_of
from access_app.rights import Caller, Refused
from tasks_app.approvals import time_of
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.states import Gate

#: Of a new task that is asked for: behind the columns of every task.
COLUMNS: Final = ("gate", "approval_asked_at", "approval_ends_at")
#: Columns that may be changed without asking anew: what the task does, where and when, stays.
_UNASKED: Final = frozenset({"priority"})
#: What makes somebody one of those who have asked: of a task, and of a schedule that makes tasks.
_ASKING: Final = ("task.edited", "task.replaced", "task.retried")
_ASKING_BY_SCHEDULE: Final = ("schedule.created", "schedule.edited")


def check_groups(approvals: Iterable[Mapping[str, Any] | None]) -> None:
    """Raise `InvalidTask` for approvals by a group that there is not."""
    if problem := group_problem(approvals):
        raise InvalidTask({"approval.of": problem})


def group_problem(approvals: Iterable[Mapping[str, Any] | None]) -> str | None:
    """What is wrong with the groups that approvals name; None for nothing."""
    named = {approval["of"] for approval in approvals if approval is not None}
    missing = missing_groups(named) if named else None
    return f"there is no group {min(missing)}" if missing else None


def with_gates(
    columns: Sequence[str], rows: list[tuple[Any, ...]], *, approval_at: int, now_at: int
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """New rows of tasks, those that need an approval behind its gate, if any does; else as they are."""
    if not any(row[approval_at] is not None for row in rows):
        return columns, rows
    at = columns.index("gate") if "gate" in columns else None
    made = []
    for row in rows:
        gate = Gate.OPEN if at is None else row[at]
        asked: tuple[Any, ...] = (gate, None, None)
        if row[approval_at] is not None and gate == Gate.OPEN:
            time, now = time_of(json.loads(row[approval_at])), row[now_at]
            asked = (Gate.APPROVAL, now, None if time is None else now + time)
        made.append((*row, *asked) if at is None else (*row[:at], asked[0], *row[at + 1 :], *asked[1:]))
    return (*columns, *(COLUMNS if at is None else COLUMNS[1:])), made


def columns_of(text: str, gate: int) -> dict[str, Any]:
    """`COLUMNS` of one new task, whose approval is ``text`` as JSON and whose gate is ``gate`` without it; times from
    now on.
    """
    if gate != Gate.OPEN:
        return {}
    return dict(zip(COLUMNS, (Gate.APPROVAL, timedelta(), time_of(json.loads(text))), strict=True))


def asked(approval: Mapping[str, Any] | None) -> dict[str, Any]:
    """`COLUMNS` of a task that is to run and waits for nothing else, as of the statement that writes them."""
    if approval is None:
        return dict(zip(COLUMNS, (Gate.OPEN, None, None), strict=True))
    time = time_of(approval)
    return dict(zip(COLUMNS, (Gate.APPROVAL, Now(), None if time is None else Now() + time), strict=True))


def asks_anew(task: Task, changed: Collection[str]) -> bool:
    """Whether a task that has not started needs another approval once these columns have changed."""
    return task.approval is not None and task.gate != Gate.DEPENDENCY and not _UNASKED.issuperset(changed)


def refusal(caller: Caller, task: Task) -> str | None:
    """Why somebody may not decide about a task; None when they may."""
    approval = task.approval or {}
    requesters = () if approval.get("allowRequester") else requesters_of(task)
    return refusal_of(caller, str(approval.get("of")), requesters)


def require_approver(caller: Caller, task: Task) -> None:
    """Raise `Refused` unless somebody may decide about a task. For a locked one: who has changed it is known then."""
    if text := refusal(caller, task):
        raise Refused(text)


def requesters_of(task: Task) -> set[str]:
    """Who has asked for a task as it is: made it or its schedule, changed it, had it run again."""
    events = audit.of_task(task.pk).filter(action__in=_ASKING)
    names = {task.created_by, *events.order_by().values_list("actor", flat=True).distinct()}
    if task.created_by.startswith("schedule:"):
        events = audit.about(task.created_by).filter(action__in=_ASKING_BY_SCHEDULE)
        names |= set(events.order_by().values_list("actor", flat=True).distinct())
    return names
