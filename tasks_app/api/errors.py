"""The only place that knows which HTTP status belongs to which exception of tasks."""

from __future__ import annotations

from typing import Final

from access_app.http.errors import Problems, sentence
from access_app.http.problems import Problem
from tasks_app.duplicates import DuplicateTask
from tasks_app.transitions import IllegalTransition


def duplicate(error: DuplicateTask) -> Problem:
    """409, naming the task that is in the way."""
    more = {} if error.task_id is None else {"taskId": str(error.task_id)}
    return Problem(409, "duplicate-task", sentence(error), more=more)


PROBLEMS: Final[Problems] = (
    (IllegalTransition, lambda error: Problem(409, "illegal-transition", sentence(error))),
    (DuplicateTask, duplicate),
)
