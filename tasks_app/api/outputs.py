"""Rows as JSON: the field names of the contract, in its order, and nothing that is not in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

from django.conf import settings

from access_app.http.times import show_instant
from access_app.rights import Action, Caller
from tasks_app import selectors
from tasks_app.executors.base import JsonObject
from tasks_app.models import Task, TaskExecution
from tasks_app.retries import RetryPolicy

_MILLISECOND = timedelta(milliseconds=1)


def task_json(task: Task, latest: TaskExecution | None) -> JsonObject:
    """A task with payload and result; ``latest`` is its latest ended attempt."""
    return _task_item(task, latest) | {"payload": task.payload, "result": latest.result if latest else None}


def task_items(tasks: Sequence[Task]) -> list[JsonObject]:
    """Tasks in a list: without payload and result, which may be large."""
    latest = selectors.latest_executions(task.pk for task in tasks if task.attempt)
    return [_task_item(task, latest.get(task.pk)) for task in tasks]


def task_for(caller: Caller, task: Task) -> JsonObject:
    """A task as somebody may see it who has changed it, its latest attempt looked up when there can be one.

    Whoever may not read tasks sees what became of the request, and nothing that may hold a secret: neither payload, nor
    result, nor error.
    """
    if not caller.may(Action.TASK_READ):
        return _task_fields(task)
    return task_json(task, selectors.latest_execution(task) if task.attempt else None)


def execution_json(execution: TaskExecution) -> JsonObject:
    return {
        "attempt": execution.attempt,
        "workerId": str(execution.worker_id),
        "status": execution.status,
        "startedAt": show_instant(execution.started_at),
        "finishedAt": show_instant(execution.finished_at),
        "durationMs": max(0, (execution.finished_at - execution.started_at) // _MILLISECOND),
        "result": execution.result,
        "error": selectors.execution_error(execution),
        "late": execution.late,
    }


def event_json(event: selectors.Event) -> JsonObject:
    return {
        "at": show_instant(event.at),
        "from": event.from_status,
        "to": event.to_status,
        "actor": event.actor,
        "reason": event.reason,
        "attempt": event.attempt,
    }


def _task_item(task: Task, latest: TaskExecution | None) -> JsonObject:
    return _task_fields(task) | {"error": selectors.error_of(task, latest)}


def _task_fields(task: Task) -> JsonObject:
    return {
        "id": str(task.id),
        "type": task.type,
        "status": task.status,
        "queue": task.queue,
        "priority": task.priority,
        "scheduleAt": show_instant(task.schedule_at),
        "scheduleId": str(task.schedule_id) if task.schedule_id else None,
        "scheduledFor": show_instant(task.scheduled_for),
        "nextRunAt": show_instant(task.run_at),
        "maxRetries": task.max_retries,
        "retryCount": task.retry_count,
        "crashCount": task.crash_count,
        "attempt": task.attempt,
        "timeoutMs": task.timeout_ms,
        "expiresAt": show_instant(task.expires_at),
        "retry": _retry_json(task.retry) if task.retry else dict(_default_retry()),
        "onWorkerLost": task.on_worker_lost,
        "correlationId": task.correlation_id,
        "concurrencyKey": task.concurrency_key,
        "idempotencyKey": task.idempotency_key,
        "createdBy": task.created_by,
        "workerId": str(task.worker_id) if task.worker_id else None,
        "version": task.version,
        "cancelRequestedAt": show_instant(task.cancel_requested_at),
        "createdAt": show_instant(task.created_at),
        "updatedAt": show_instant(task.updated_at),
        "assignedAt": show_instant(task.assigned_at),
        "startedAt": show_instant(task.started_at),
        "finishedAt": show_instant(task.finished_at),
    }


def _retry_json(chosen: JsonObject | None) -> JsonObject:
    """The policy in force: what the task names, the installation's defaults for the rest."""
    knobs = settings.SCHEDULER
    policy = RetryPolicy.merged(chosen, base_delay=knobs.retry_base_delay, max_delay=knobs.retry_max_delay)
    return {
        "backoff": str(policy.backoff),
        "baseDelayMs": policy.base_delay // _MILLISECOND,
        "maxDelayMs": policy.max_delay // _MILLISECOND,
        "jitter": policy.jitter,
    }


@cache
def _default_retry() -> JsonObject:
    return _retry_json(None)
