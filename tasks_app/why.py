"""Why a task that waits for an approval is not running: who may give it, since when and until when it is waited for."""

from __future__ import annotations

from typing import Final

from access_app.http.times import show_instant
from tasks_app.approvals import OnTimeout
from tasks_app.models import Task
from tasks_app.reasons import Reason
from tasks_app.states import Gate, TaskStatus

_WORDS: Final = {"group": "somebody in the group", "scope": "who holds the scope"}
_THEN: Final = {OnTimeout.CANCEL: "cancelled", OnTimeout.FAIL: "failed", OnTimeout.RUN: "let run"}


def why(task: Task) -> list[Reason]:
    """Whose approval it waits for, of one whose gate is closed by that."""
    if task.status != TaskStatus.PENDING or task.gate != Gate.APPROVAL:
        return []
    approval = task.approval or {}
    kind, _, name = str(approval.get("of")).partition(":")
    detail = f"waits for the approval of {_WORDS.get(kind, kind)} {name}"
    if task.approval_asked_at:
        detail += f", since {show_instant(task.approval_asked_at)}"
    if task.approval_ends_at:
        then = _THEN[OnTimeout(approval.get("onTimeout", OnTimeout.CANCEL))]
        detail += f"; without it, it is {then} at {show_instant(task.approval_ends_at)}"
    if note := approval.get("note"):
        detail += f": {note}"
    links = {word: f"/tasks/{task.pk}/{word}" for word in ("approve", "reject")}
    return [Reason("APPROVAL", detail, task.approval_ends_at, links)]
