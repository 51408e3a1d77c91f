"""The only place that knows which HTTP status belongs to which exception of tasks."""

from __future__ import annotations

from typing import Final

from access_app.http.errors import Problems, sentence
from access_app.http.problems import Problem
from tasks_app.transitions import IllegalTransition

PROBLEMS: Final[Problems] = ((IllegalTransition, lambda error: Problem(409, "illegal-transition", sentence(error))),)
