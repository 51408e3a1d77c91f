"""What may be read about tasks, shared by API, admin and monitoring: errors, results, the timeline, and `why`.

Reads only, and bounded: nothing here counts a whole table. How a thing is shown is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, QuerySet, Value

from access_app import audit
from access_app.models import AuditEvent
from tasks_app.models import (
    ENDED_ROW,
    OPEN_ROW,
    OWNED_ROW,
    SCHEDULED_ROW,
    SENT_CORRELATION,
    UNSUCCESSFUL_ROW,
    WAITING_PARTS,
    Task,
    TaskExecution,
)
from tasks_app.states import ErrorCode, ExecutionStatus, TaskStatus
from tasks_app.transitions import TaskNotFound

#: Messages of ends that no attempt's own outcome explains.
_END_MESSAGES = {
    ErrorCode.EXPIRED: "passed its expiresAt before it started",
    ErrorCode.QUARANTINED: "lost its worker too many times, and is kept from taking down another",
    ErrorCode.DEPENDENCY_FAILED: "those it depends on have ended so that it never runs; its timeline names one",
    ErrorCode.BATCH_FAILED: "cancelled, because too many tasks of its batch have failed",
    ErrorCode.REJECTED: "somebody rejected it; its timeline says who and why",
    ErrorCode.APPROVAL_TIMEOUT: "nobody has approved it in time",
    ErrorCode.WORKER_LOST: "its worker was lost or gave it back unfinished, and onWorkerLost is fail",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a task's status, or a request to change it."""

    at: datetime
    from_status: str | None
    to_status: str
    actor: str
    reason: str
    attempt: int


def task_of(task_id: UUID) -> Task:
    """The task of an id. Raises `TaskNotFound`."""
    task = find_task(task_id)
    if task is None:
        raise TaskNotFound(f"there is no task {task_id}")
    return task


def find_task(task_id: UUID) -> Task | None:
    return Task.objects.filter(pk=task_id).first()


def tasks_of(task_ids: Iterable[UUID]) -> dict[UUID, Task]:
    """Those of the tasks that there are."""
    return Task.objects.in_bulk(list(task_ids))


def statuses_of(task_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The status of each of the tasks that there are."""
    return dict(Task.objects.filter(pk__in=list(task_ids)).values_list("pk", "status"))


def owned_tasks() -> QuerySet[Task]:
    """What workers are assigned or run, in no order. Index: tasks_owned."""
    return Task.objects.filter(OWNED_ROW).order_by()


def open_tasks(schedule_id: UUID) -> QuerySet[Task]:
    """What a schedule made and has not ended, oldest first. Index: tasks_schedule_open."""
    return Task.objects.filter(OPEN_ROW, SCHEDULED_ROW, schedule_id=schedule_id).order_by("id")


def count_in_batch(batch_id: UUID) -> dict[str, int]:
    """How many tasks of a batch there are of each status, of one instant. Indexes: tasks_batch_open, tasks_batch_ended.

    Successes are counted in the index, without their rows, as far as vacuum has been there.
    """
    rows = Task.objects.filter(batch_id=batch_id).order_by()
    parts = (
        rows.filter(OPEN_ROW).annotate(shown=F("status")),
        rows.filter(ENDED_ROW, UNSUCCESSFUL_ROW).annotate(shown=F("status")),
        rows.filter(ENDED_ROW, unsuccessful=False).annotate(shown=Value(str(TaskStatus.SUCCESS))),
    )
    counted = (part.values_list("shown").annotate(number=Count("*")) for part in parts)
    return dict(next(counted).union(*counted, all=True))


def count_open_in_batch(batch_id: UUID, *, most: int) -> int:
    """How many tasks of a batch are open, up to a bound. Index: tasks_batch_open."""
    return Task.objects.filter(OPEN_ROW, batch_id=batch_id).order_by()[:most].count()


def failed_types_in_batch(batch_id: UUID) -> list[str]:
    """The types of tasks of a batch that have not succeeded. Index: tasks_batch_ended."""
    rows = Task.objects.filter(ENDED_ROW, UNSUCCESSFUL_ROW, batch_id=batch_id).order_by()
    return list(rows.values_list("type", flat=True).distinct())


def latest_failures() -> QuerySet[Task]:
    """Tasks that FAILED, youngest first, without their payloads. Index: tasks_unsuccessful."""
    return Task.objects.filter(UNSUCCESSFUL_ROW, status=TaskStatus.FAILED).order_by("-id").defer("payload")


def latest_executions(task_ids: Iterable[UUID]) -> dict[UUID, TaskExecution]:
    """The latest ended attempt of each task that has one, without its result when many are asked for."""
    ids = list(task_ids)
    executions = TaskExecution.objects.filter(task_id__in=ids).order_by("task_id", "-attempt").distinct("task_id")
    if len(ids) > 1:
        executions = executions.defer("result", "late")
    return {execution.task_id: execution for execution in executions}


def latest_execution(task: Task) -> TaskExecution | None:
    """The latest attempt that had ended at this version of the task; what ended since belongs to a later one."""
    ended = task.attempt - (task.status == TaskStatus.RUNNING)
    return TaskExecution.objects.filter(task_id=task.pk, attempt__lte=ended).order_by("-attempt").first()


def error_of(task: Task, latest: TaskExecution | None) -> dict[str, str] | None:
    """The ``error`` of a task: how it ended without running, else that of its latest ended attempt."""
    if task.end_reason is not None:
        return {"code": task.end_reason, "message": _END_MESSAGES.get(ErrorCode(task.end_reason), "")}
    if task.status == TaskStatus.CANCELLED and (latest is None or latest.task_status != TaskStatus.CANCELLED):
        return {"code": ErrorCode.CANCELLED, "message": "cancelled before it started"}
    return execution_error(latest) if latest else None


def execution_error(execution: TaskExecution) -> dict[str, str] | None:
    error: dict[str, str] | None = execution.error
    return error


def timeline(task: Task) -> list[Event]:
    """Every change of the task's status, oldest first: derived from its executions, its own row and the audit trail."""
    executions = TaskExecution.objects.filter(task_id=task.pk).defer("result", "late").order_by("attempt")
    events = [Event(task.created_at, None, TaskStatus.PENDING, task.created_by, "created", 0)]
    for execution in executions:
        events += _execution_events(execution)
    events += _current_events(task)
    # A lost attempt has its history row already.
    for audited in audit.of_task(task.pk).exclude(from_status=TaskStatus.RUNNING, actor="scheduler"):
        events += _audited_events(audited)
    return sorted(events, key=lambda event: event.at)


def _audited_events(audited: AuditEvent) -> list[Event]:
    attempt, detail = audited.attempt or 0, audited.detail or {}
    reason = audited.reason or audited.action.removeprefix("task.").replace("_", " ")
    event = Event(audited.at, audited.from_status, audited.to_status or "", audited.actor, reason, attempt)
    if "assignedAt" not in detail:
        return [event]
    # It left SCHEDULED without a start, so neither its row nor an execution says that it was assigned.
    return [_assigned(datetime.fromisoformat(detail["assignedAt"]), detail["workerId"], attempt), event]


def _assigned(at: datetime, worker_id: UUID | str, attempt: int) -> Event:
    reason = f"assigned to worker:{worker_id}"
    return Event(at, TaskStatus.PENDING, TaskStatus.SCHEDULED, "scheduler", reason, attempt)


def _execution_events(execution: TaskExecution) -> list[Event]:
    worker, attempt = f"worker:{execution.worker_id}", execution.attempt
    ended_by = "scheduler" if execution.status == ExecutionStatus.LOST else worker
    reason = execution.error_message or execution.status.lower().replace("_", " ")
    return [
        _assigned(execution.assigned_at or execution.started_at, execution.worker_id, attempt - 1),
        Event(execution.started_at, TaskStatus.SCHEDULED, TaskStatus.RUNNING, worker, "started", attempt),
        Event(execution.finished_at, TaskStatus.RUNNING, execution.task_status, ended_by, reason, attempt),
    ]


def _current_events(task: Task) -> list[Event]:
    """What has happened to the attempt that has no history row yet."""
    if task.worker_id is None or task.finished_at is not None or task.assigned_at is None:
        return []
    worker, running = f"worker:{task.worker_id}", task.status == TaskStatus.RUNNING and task.started_at is not None
    before = task.attempt - 1 if running else task.attempt
    events = [_assigned(task.assigned_at, task.worker_id, before)]
    if running and task.started_at:
        events.append(Event(task.started_at, TaskStatus.SCHEDULED, TaskStatus.RUNNING, worker, "started", task.attempt))
    return events


def correlated(correlation_id: str, *, most: int) -> list[UUID]:
    """Tasks that were sent a correlation id, of each part the youngest.

    Each part rides one partial index; an OR would ride none.
    """
    same = Task.objects.filter(correlation_id=correlation_id).order_by().values_list("pk", flat=True)
    ended = same.filter(ENDED_ROW & SENT_CORRELATION).order_by("-id")[:most]
    active = [same.filter(rows)[:most] for rows in (*WAITING_PARTS, OWNED_ROW)]
    return list(ended.union(*active, all=True))
