"""The only writer of a task's status from Python: the changes a person may ask for, each one guarded.

Each function locks the task, looks at status and version, writes one conditional UPDATE with ``version + 1`` and one
audit row, in the caller's transaction. The changes that scheduler and workers make are the statements in ``sql/``.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from access_app import audit
from access_app.refusals import NotFound
from access_app.versions import Stale, Versions
from tasks_app.models import Task
from tasks_app.states import FINAL, PASS_GATES, UNSUCCESSFUL, WAITING, Gate, TaskStatus


class TaskNotFound(NotFound):
    """No task has this id."""


class IllegalTransition(Exception):
    """The task's status does not allow the change. ``status`` is what it was."""

    def __init__(self, status: str, change: str) -> None:
        super().__init__(f"a task that is {status} cannot be {change}")
        self.status = status


def cancel(task_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Task:
    """End a waiting task at once; ask for the end of a running one. Asking again for a running one changes nothing.

    Raises `TaskNotFound`, `Stale`, `IllegalTransition` (already ended).
    """
    task = _lock(task_id, versions)
    if task.status in WAITING:
        _write(task, actor, "task.cancelled", reason, status=TaskStatus.CANCELLED, finished_at=Now())
    elif task.status == TaskStatus.RUNNING:
        if task.cancel_requested_at is None:
            _write(task, actor, "task.cancel_requested", reason, cancel_requested_at=Now())
    else:
        raise IllegalTransition(task.status, "cancelled")
    return Task.objects.get(pk=task_id)


def edit(task_id: UUID, changes: dict[str, Any], *, actor: str, versions: Versions = None) -> Task:
    """Change columns of a task that has not started; an assigned one goes back to PENDING in the same statement.

    ``schedule_at`` moves ``run_at`` with it. Raises `TaskNotFound`, `Stale`, `IllegalTransition`.
    """
    task = _lock(task_id, versions)
    if task.status not in WAITING:
        raise IllegalTransition(task.status, "changed")
    if "schedule_at" in changes:
        changes = changes | {"run_at": changes["schedule_at"]}
    gate = Gate.OPEN if task.gate in PASS_GATES else task.gate  # it may be about another queue, key or rate now
    back = {"status": TaskStatus.PENDING, "worker_id": None, "assigned_at": None, "gate": gate}
    _write(task, actor, "task.edited", "", detail={"fields": sorted(changes)}, **changes, **back)
    return Task.objects.get(pk=task_id)


def retry(task_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Task:
    """Make an ended task PENDING again, due now, with its counts at zero; ``attempt`` goes on.

    Raises `TaskNotFound`, `Stale`, `IllegalTransition` (not ended).
    """
    task = _lock(task_id, versions)
    if task.status not in FINAL:
        raise IllegalTransition(task.status, "retried")
    fresh: dict[str, Any] = dict.fromkeys(
        ("worker_id", "assigned_at", "started_at", "finished_at", "cancel_requested_at", "end_reason")
    )
    fresh |= {"status": TaskStatus.PENDING, "run_at": Now(), "schedule_at": Now(), "retry_count": 0, "crash_count": 0}
    fresh["gate"] = Gate.OPEN  # nobody may hold the key any more
    if task.expires_at is not None and Task.objects.filter(pk=task_id, expires_at__lte=Now()).exists():
        fresh["expires_at"] = None
    _write(task, actor, "task.retried", reason, **fresh)
    return Task.objects.get(pk=task_id)


def _lock(task_id: UUID, versions: Versions) -> Task:
    task = Task.objects.select_for_update(no_key=True).filter(pk=task_id).first()
    if task is None:
        raise TaskNotFound(f"there is no task {task_id}")
    if versions is not None and task.version not in versions:
        raise Stale(task.version)
    return task


def _write(
    task: Task, actor: str, action: str, reason: str, *, detail: dict[str, Any] | None = None, **columns: Any
) -> None:
    """The guarded update and its audit row. The row is locked, so a count other than one is a defect of ours."""
    guard = Task.objects.filter(pk=task.pk, version=task.version, status=task.status)
    to_status = columns.get("status", task.status)
    columns["unsuccessful"] = to_status in UNSUCCESSFUL
    if guard.update(version=F("version") + 1, updated_at=Now(), **columns) != 1:
        raise Stale(task.version)
    if task.status == TaskStatus.SCHEDULED and task.assigned_at is not None:
        # The row forgets its assignment; the timeline must not.
        detail = (detail or {}) | {"assignedAt": task.assigned_at.isoformat(), "workerId": str(task.worker_id)}
    audit.record_task(actor, action, task, to_status=to_status, reason=reason, detail=detail)
