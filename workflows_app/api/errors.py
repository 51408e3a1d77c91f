"""The only place that knows which HTTP status belongs to which exception of batches, endpoints and deliveries."""

from __future__ import annotations

from typing import Final

from access_app.http.errors import Problems, sentence
from access_app.http.problems import Problem
from tasks_app.api.errors import PROBLEMS as OF_TASKS
from workflows_app.batches import BatchDone
from workflows_app.callbacks.endpoints import EndpointTaken
from workflows_app.callbacks.redelivering import NotDeliverable

PROBLEMS: Final[Problems] = (
    (BatchDone, lambda error: Problem(409, "batch-done", sentence(error))),
    (EndpointTaken, lambda error: Problem(409, "name-taken", sentence(error), errors={"name": str(error)})),
    (NotDeliverable, lambda error: Problem(409, "not-deliverable", sentence(error))),
    *OF_TASKS,
)
