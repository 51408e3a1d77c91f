"""Rows as JSON: the fields of ``fields``, those of executions and events, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from operator import attrgetter
from typing import Final

from django.conf import settings

from access_app.http.times import show_instant
from access_app.rights import Action, Caller
from tasks_app import selectors
from tasks_app.edges import Edge, TaskJoin
from tasks_app.executors.base import JsonObject
from tasks_app.fields import FIELDS
from tasks_app.models import Task, TaskExecution
from tasks_app.progress import TaskProgress
from tasks_app.retries import RetryPolicy

_MILLISECOND = timedelta(milliseconds=1)
_LISTED: Final = [row for row in FIELDS if row.listed]
_NAMES: Final = tuple(row.name for row in _LISTED)
_columns_of: Final = attrgetter(*(row.column for row in _LISTED))
_SHOWN: Final = tuple((row.name, row.kind.show) for row in _LISTED if row.kind.show)
_UNLISTED: Final = [row for row in FIELDS if not row.listed]


def task_json(task: Task, latest: TaskExecution | None) -> JsonObject:
    """A task with payload and result; ``latest`` is its latest ended attempt."""
    shown = _task_item(task, latest)
    for row in _UNLISTED:
        shown[row.name] = getattr(task, row.column)
    shown["result"] = latest.result if latest else None
    return shown


def task_items(tasks: Sequence[Task]) -> list[JsonObject]:
    """Tasks in a list: without payload and result, which may be large."""
    latest = selectors.latest_executions(task.pk for task in tasks if task.attempt)
    return [_task_item(task, latest.get(task.pk)) for task in tasks]


def item_columns() -> list[str]:
    """What a task in a list has, in this order."""
    return [*dict.fromkeys((*_NAMES, "retry", "error"))]


def samples_for(caller: Caller, tasks: Sequence[Task]) -> list[JsonObject]:
    """Tasks in a list, as somebody may see them who acts on them: without errors, unless they may read tasks."""
    return task_items(tasks) if caller.may(Action.TASK_READ) else [_task_fields(task) for task in tasks]


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


def progress_json(progress: TaskProgress | None) -> JsonObject:
    """What was reported last, all of it null when nothing was."""
    if progress is None:
        return dict.fromkeys(("attempt", "percent", "done", "total", "note", "reportedAt"))
    return {
        "attempt": progress.attempt,
        "percent": progress.percent,
        "done": progress.done,
        "total": progress.total,
        "note": progress.note,
        "reportedAt": show_instant(progress.reported_at),
    }


def dependencies_json(join: TaskJoin | None, edges: Sequence[Edge]) -> JsonObject:
    return {
        "runIf": join and join.run_if,
        "otherwise": join and join.otherwise,
        "content": [
            {"batchId" if edge.of_batch else "taskId": str(edge.parent_id), "outcome": edge.outcome} for edge in edges
        ],
    }


def _task_item(task: Task, latest: TaskExecution | None) -> JsonObject:
    return _task_fields(task) | {"error": selectors.error_of(task, latest)}


def _task_fields(task: Task) -> JsonObject:
    shown = dict(zip(_NAMES, _columns_of(task), strict=True))
    for name, show in _SHOWN:
        if (value := shown[name]) is not None:
            shown[name] = show(value)
    shown["retry"] = _retry_json(task.retry) if task.retry else dict(_default_retry())
    return shown


def _retry_json(chosen: JsonObject | None) -> JsonObject:
    """The policy in force: what the task names, the installation's defaults for the rest."""
    knobs = settings.SCHEDULER
    policy = RetryPolicy.merged(chosen, base_delay=knobs.retry_base_delay, max_delay=knobs.retry_max_delay)
    return {
        "backoff": str(policy.backoff),
        "baseDelayMs": policy.base_delay // _MILLISECOND,
        "maxDelayMs": policy.max_delay // _MILLISECOND,
        "jitter": policy.jitter,
        **({"delaysMs": [delay // _MILLISECOND for delay in policy.delays]} if policy.delays else {}),
    }


@cache
def _default_retry() -> JsonObject:
    return _retry_json(None)
