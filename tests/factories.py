"""Rows that tests start from, made without the services under test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from access_app.ids import created_at, new_task_id
from access_app.keys import create_key
from access_app.rights import Scope
from tasks_app.failures import FailureGroup, TaskFailure
from tasks_app.fingerprints import fingerprint_of
from tasks_app.models import BulkOperation, Task, TaskExecution, TaskOutput
from tasks_app.states import ExecutionStatus, TaskStatus
from workflows_app.batch_rules import DONE, BatchStatus
from workflows_app.models import Batch


def make_task(**columns: Any) -> Task:
    """A task in any state; what its status demands is filled in."""
    task_id = columns.pop("id", None) or new_task_id()
    made = created_at(task_id)
    status = columns.get("status", TaskStatus.PENDING)
    defaults: dict[str, Any] = {
        "created_at": made,
        "schedule_at": made,
        "run_at": columns.get("schedule_at", made),
        "max_retries": 3,
        "timeout_ms": 300_000,
        "type": "DUMMY",
        "correlation_id": uuid4().hex,
        "created_by": "test",
    }
    if status in (TaskStatus.SCHEDULED, TaskStatus.RUNNING):
        slot = {} if columns.get("concurrency_key") is None else {"key_slot": 0}
        defaults |= {"worker_id": uuid4(), "assigned_at": made, **slot}
    if status == TaskStatus.RUNNING:
        defaults |= {"started_at": made, "attempt": 1}
    if status in (TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.CANCELLED):
        defaults |= {"finished_at": made + timedelta(seconds=1), "unsuccessful": status != TaskStatus.SUCCESS}
    Task.objects.create(pk=task_id, **{**defaults, **columns})
    return Task.objects.get(pk=task_id)


def make_batch(**columns: Any) -> Batch:
    """A batch in any state, without tasks; what its status demands is filled in."""
    batch_id = columns.pop("id", None) or new_task_id()
    made, status = created_at(batch_id), columns.get("status", BatchStatus.RUNNING)
    defaults: dict[str, Any] = {"created_at": made, "name": "a batch", "status": status, "created_by": "test"}
    if status in DONE:
        ended = made + timedelta(seconds=1)
        defaults |= {"finished_at": ended, "completed_at": ended, "completion": 1}
    Batch.objects.create(pk=batch_id, **{**defaults, **columns})
    return Batch.objects.get(pk=batch_id)


def make_execution(task: Task, *, attempt: int = 1, **columns: Any) -> TaskExecution:
    """An ended attempt of a task."""
    started = columns.pop("started_at", datetime.now(UTC))
    code, message = columns.pop("error_code", None), columns.pop("error_message", None)
    defaults: dict[str, Any] = {
        "error": {"code": code, "message": message or ""} if code else None,
        "worker_id": task.worker_id or uuid4(),
        "due_at": task.run_at,
        "assigned_at": started,
        "started_at": started,
        "finished_at": started + timedelta(seconds=1.5),
        "type": task.type,
        "status": ExecutionStatus.SUCCESS,
        "task_status": task.status,
    }
    return TaskExecution.objects.create(task=task, attempt=attempt, **{**defaults, **columns})


def make_failure(message: str = "broke", *, task: Task | None = None, ago: float = 60, **columns: Any) -> TaskFailure:
    """An attempt that failed some seconds ago, in its group; its task, if none is named, is FAILED by that."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    if task is None:
        task = make_task(**{"status": TaskStatus.FAILED, "attempt": 1, "finished_at": at, **columns})
    at, code = task.finished_at or at, "TASK_FAILED"
    told = {"status": "FAILED", "error_code": code, "error_message": message}
    make_execution(task, attempt=task.attempt, started_at=at, finished_at=at, **told)
    fingerprint = fingerprint_of(task.type, code, message)
    group = {"type": task.type, "code": code, "message": message, "first_at": at, "last_at": at}
    FailureGroup.objects.get_or_create(fingerprint=fingerprint, defaults=group)
    return TaskFailure.objects.create(
        task_id=task.pk, attempt=task.attempt, at=at, fingerprint=fingerprint, queue=task.queue
    )


def make_operation(task_type: str = "DUMMY", **columns: Any) -> BulkOperation:
    """A bulk operation that has begun, and has done nothing yet."""
    operation_id = new_task_id()
    defaults: dict[str, Any] = {
        "action": "cancel",
        "filter": {"type": task_type},
        "position": operation_id,
        "before": operation_id,
        "count": 7,
        "asked_by": "test",
        "barred": [],
    }
    return BulkOperation.objects.create(pk=operation_id, **{**defaults, **columns})


def make_output(
    task: Task, *texts: str, attempt: int = 1, start: int = 0, line: int = 1, stream: str = "stdout"
) -> None:
    """Output of an attempt, each text as a chunk behind the one before."""
    for text in texts:
        size = len(text.encode())
        start += size
        TaskOutput.objects.create(
            task_id=task.pk,
            attempt=attempt,
            seq=start,
            size=size,
            line=line,
            at=datetime.now(UTC),
            stream=stream,
            text=text,
        )
        line += text.count("\n")


def make_key(*scopes: str, name: str | None = None) -> str:
    """The secret of a fresh API key; with every scope when none is named."""
    _, secret = create_key(name or f"test-{uuid4().hex[:8]}", scopes or list(Scope), actor="test")
    return secret


def unknown_id() -> UUID:
    return new_task_id()
