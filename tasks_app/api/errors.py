"""The only place that knows which HTTP status belongs to which exception of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from access_app.http.authentication import CHALLENGE
from access_app.http.errors import Problems, sentence
from access_app.http.problems import Problem
from tasks_app.bounds import QueueFull
from tasks_app.duplicates import DuplicateTask
from tasks_app.progress import NotRunning
from tasks_app.task_tokens import AttemptOver
from tasks_app.transitions import IllegalTransition


def duplicate(error: DuplicateTask) -> Problem:
    """409, naming the task that is in the way."""
    more = {} if error.task_id is None else {"taskId": str(error.task_id)}
    return Problem(409, "duplicate-task", sentence(error), more=more)


def queue_full(
    error: QueueFull,
    detail: str = "",
    *,
    errors: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Problem:
    """429, naming what is full and when it is worth trying again."""
    full = error.full
    key = {} if full.key is None else {"concurrencyKey": full.key}
    told = {"queue": full.queue, **key, "maxWaiting": full.most, "waiting": full.waiting, **(more or {})}
    headers = {"Retry-After": str(error.retry_after)}
    return Problem(429, "queue-full", detail or sentence(error), errors=errors, headers=headers, more=told)


def attempt_over(error: AttemptOver) -> Problem:
    """401, as RFC 6750 §3.1 has it for a token that is no longer valid."""
    challenge = f'{CHALLENGE}, error="invalid_token"'
    return Problem(401, "attempt-over", sentence(error), headers={"WWW-Authenticate": challenge})


PROBLEMS: Final[Problems] = (
    (AttemptOver, attempt_over),
    (NotRunning, lambda error: Problem(409, "not-running", sentence(error))),
    (IllegalTransition, lambda error: Problem(409, "illegal-transition", sentence(error))),
    (DuplicateTask, duplicate),
    (QueueFull, queue_full),
)
