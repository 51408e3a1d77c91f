"""The only writer of a task's status from Python: the changes a person may ask for, each one guarded.

Each function locks the task, looks at status and version, writes one conditional UPDATE with ``version + 1`` and one
audit row, in the caller's transaction. The changes that scheduler and workers make are the statements in ``sql/``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper, F, Value
from django.db.models.functions import Greatest, Least, Now

from access_app import audit
from access_app.refusals import NotFound
from access_app.versions import Stale, Versions, require
from tasks_app import approving, notices
from tasks_app.bounds import require_room
from tasks_app.duplicates import unless_taken
from tasks_app.executors.registry import target_of
from tasks_app.models import Task
from tasks_app.needs import ids_of, need_of
from tasks_app.states import FINAL, PASS_GATES, UNSUCCESSFUL, WAITING, ErrorCode, Gate, TaskStatus

#: So long before it expires, a task that is put off is due at the latest.
_BEFORE_IT_EXPIRES: Final = timedelta(seconds=1)
#: Raises, when somebody may not decide about a locked task.
Allow = Callable[[Task], None]


class TaskNotFound(NotFound):
    """No task has this id."""


class IllegalTransition(Exception):
    """The task's status does not allow the change. ``status`` is what it was."""

    def __init__(self, status: str, change: str, because: str = "") -> None:
        super().__init__(f"a task that is {status} cannot be {change}" + (f": {because}" if because else ""))
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


def approve(task_id: UUID, *, actor: str, allow: Allow, reason: str = "", versions: Versions = None) -> Task:
    """Let a task run that waits for an approval: at its time, or at once.

    ``allow`` raises when somebody may not decide about the locked task. Raises `TaskNotFound`, `Stale`,
    `IllegalTransition`: it waits for none, or no longer.
    """
    task = _asked(task_id, versions, allow, "approved")
    if Task.objects.filter(pk=task_id, approval_ends_at__lte=Now()).exists():
        raise IllegalTransition(task.status, "approved", "the time for that is over")
    due = Greatest(F("run_at"), Now())
    _write(task, actor, "task.approved", reason, run_at=due, **approving.asked(None))
    return Task.objects.get(pk=task_id)


def reject(task_id: UUID, *, actor: str, allow: Allow, reason: str = "", versions: Versions = None) -> Task:
    """End a task that waits for an approval, CANCELLED. As `approve`, but never too late while it waits."""
    task = _asked(task_id, versions, allow, "rejected")
    ended: dict[str, Any] = {"status": TaskStatus.CANCELLED, "end_reason": ErrorCode.REJECTED, "finished_at": Now()}
    _write(task, actor, "task.rejected", reason, **ended)
    return Task.objects.get(pk=task_id)


def _asked(task_id: UUID, versions: Versions, allow: Allow, change: str) -> Task:
    """The locked task, about whose approval somebody is to decide."""
    task = _lock(task_id, versions)
    if task.status != TaskStatus.PENDING or task.gate != Gate.APPROVAL:
        raise IllegalTransition(task.status, change, "it waits for no approval")
    allow(task)
    return task


def edit(task_id: UUID, changes: dict[str, Any], *, actor: str, versions: Versions = None) -> Task:
    """Change columns of a task that has not started; an assigned one goes back to PENDING in the same statement.

    ``schedule_at`` moves ``run_at`` with it. Raises `TaskNotFound`, `Stale`, `IllegalTransition`, and `DuplicateTask`:
    in the other queue an open task has its unique key; and `QueueFull`: that takes no more.
    """
    task = _lock(task_id, versions)
    if task.status not in WAITING:
        raise IllegalTransition(task.status, "changed")
    if "schedule_at" in changes:
        changes = changes | {"run_at": changes["schedule_at"]}
    detail = {"fields": sorted(changes)}
    changes = _with_needs(task, changes)
    queue, key = changes.get("queue", task.queue), task.unique_key if "queue" in changes else None
    if queue != task.queue:
        _require_room(queue, task)
    back = _back(task, changes)
    unless_taken(queue, key, lambda: _write(task, actor, "task.edited", "", detail=detail, **changes, **back))
    return Task.objects.get(pk=task_id)


def replace(task: Task, columns: dict[str, Any], *, actor: str) -> Task:
    """Put another definition in the place of one that has not started, as if it were new; ``attempt`` goes on.

    ``task`` is locked by the caller. Raises `IllegalTransition`.
    """
    if task.status not in WAITING:
        raise IllegalTransition(task.status, "replaced")
    fresh = _back(task, columns) | {"crash_count": 0, "retry_count": 0}
    _write(task, actor, "task.replaced", "", **_with_needs(task, columns), **fresh)
    return Task.objects.get(pk=task.pk)


def postpone(task: Task, by: timedelta, *, at_most: timedelta | None, actor: str) -> Task | None:
    """Let a task that has not started be due ``by`` from now, no later than ``at_most`` after its creation.

    ``task`` is locked by the caller. None: it is due later than that already. Who is called again and again leaves no
    event each time, but when it takes an assignment back. Raises `IllegalTransition`.
    """
    if task.status not in WAITING:
        raise IllegalTransition(task.status, "postponed")
    bounds = [Now() + Value(by), F("expires_at") - Value(_BEFORE_IT_EXPIRES)]
    if at_most is not None:
        bounds.append(F("created_at") + Value(at_most))
    due = Least(*(ExpressionWrapper(bound, output_field=DateTimeField()) for bound in bounds))
    if not Task.objects.filter(pk=task.pk, run_at__lt=due).exists():
        return None
    silent = task.status == TaskStatus.PENDING
    _write(task, actor, "task.postponed", "", silent=silent, run_at=due, schedule_at=due, **_back(task, ["run_at"]))
    return Task.objects.get(pk=task.pk)


def retry(task_id: UUID, *, actor: str, reason: str = "", versions: Versions = None) -> Task:
    """Make an ended task PENDING again, due now, with its counts at zero; ``attempt`` goes on.

    Its batch is held by the caller, and not done (`rerunning.reopen_batches`).

    Raises `TaskNotFound`, `Stale`, `IllegalTransition` (not ended), `DuplicateTask` (an open one has its unique key),
    and `QueueFull`: it comes to wait as a new one does.
    """
    task = _lock(task_id, versions)
    if task.status not in FINAL:
        raise IllegalTransition(task.status, "retried")
    _require_room(task.queue, task)
    if task.notifies:
        with connection.cursor() as cursor:
            notices.tell_now(cursor, [task_id])
    fresh: dict[str, Any] = dict.fromkeys(
        ("worker_id", "assigned_at", "started_at", "finished_at", "cancel_requested_at", "end_reason")
    )
    fresh |= {"status": TaskStatus.PENDING, "run_at": Now(), "schedule_at": Now(), "retry_count": 0, "crash_count": 0}
    fresh |= approving.asked(task.approval)  # nobody may hold the key any more
    fresh["has_dependents"] = task.has_dependents or task.batch_id is not None  # its batch was opened again
    if _is_told(task):
        fresh |= notices.MARKED
    if task.expires_at is not None and Task.objects.filter(pk=task_id, expires_at__lte=Now()).exists():
        fresh["expires_at"] = None
    unless_taken(task.queue, task.unique_key, lambda: _write(task, actor, "task.retried", reason, **fresh))
    return Task.objects.get(pk=task_id)


def _is_told(task: Task) -> bool:
    """Whether somebody is to be told of its next end."""
    return task.callback is not None or _is_heard(task.queue)


def _is_heard(queue: str) -> bool:
    with connection.cursor() as cursor:
        return notices.hears(cursor, queue)


def _back(task: Task, changed: Collection[str]) -> dict[str, Any]:
    """What a task is again that waits, whether it was assigned or not."""
    gate = Gate.OPEN if task.gate in PASS_GATES else task.gate  # it may be about another queue, key or rate now
    asked = approving.asked(task.approval) if approving.asks_anew(task, changed) else {}
    return {"status": TaskStatus.PENDING, "worker_id": None, "assigned_at": None, "gate": gate} | asked


def _with_needs(task: Task, changes: dict[str, Any]) -> dict[str, Any]:
    """The same with what the task needs from now on. Raises `InvalidTask`: see `needs.ids_of`."""
    if not {"required_labels", "slots"} & changes.keys():
        return changes
    need = need_of(changes.get("required_labels", task.required_labels), changes.get("slots", task.slots))
    with connection.cursor() as cursor:
        return changes | {"needs_id": ids_of(cursor, [need])[need] if need else None}


def _require_room(queue: str, task: Task) -> None:
    """Raises `QueueFull`."""
    with connection.cursor() as cursor:
        require_room(cursor, queue, task.concurrency_key)


def _lock(task_id: UUID, versions: Versions) -> Task:
    task = Task.objects.select_for_update(no_key=True).filter(pk=task_id).first()
    if task is None:
        raise TaskNotFound(f"there is no task {task_id}")
    require(versions, task.version)
    return task


def _write(
    task: Task,
    actor: str,
    action: str,
    reason: str,
    *,
    detail: dict[str, Any] | None = None,
    silent: bool = False,
    **columns: Any,
) -> None:
    """The guarded update and its audit row, unless it is ``silent``.

    The row is locked, so a count other than one is a defect of ours.
    """
    guard = Task.objects.filter(pk=task.pk, version=task.version, status=task.status)
    to_status = columns.get("status", task.status)
    columns["unsuccessful"] = to_status in UNSUCCESSFUL
    if columns.get("callback") is not None:
        notices.check_endpoints([columns["callback"]])
    if columns.get("callback") is not None or ("queue" in columns and _is_heard(columns["queue"])):
        columns |= notices.MARKED
    if "payload" in columns:
        columns["target"] = target_of(task.type, columns["payload"])
    if guard.update(version=F("version") + 1, updated_at=Now(), **columns) != 1:
        raise Stale(task.version)
    if task.status == TaskStatus.SCHEDULED and task.assigned_at is not None:
        # The row forgets its assignment; the timeline must not.
        detail = (detail or {}) | {"assignedAt": task.assigned_at.isoformat(), "workerId": str(task.worker_id)}
    if silent:
        return
    audit.record_task(actor, action, task, to_status=to_status, reason=reason, detail=detail)
