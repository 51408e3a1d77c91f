"""What a scrape reads of batches, bulk operations and deliveries, and what it is called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from monitoring_app import selectors
from monitoring_app.gauges import gauge, labelled
from tasks_app.states import TaskStatus
from workflows_app.batch_rules import BatchStatus

#: Open batches beyond these are not counted.
MOST_BATCHES: Final = 10_000
#: So many of the newest deliveries are looked at.
NEWEST: Final = 1000
ENDPOINT_STATES: Final = ("ok", "failing", "disabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflows:
    """Batches, bulk operations and deliveries at one instant."""

    batches_open: int
    batches_running: int
    #: Seconds since the longest running one was made; None: none runs.
    oldest_running_age: float | None
    operations: int
    operations_done: int
    operations_left: int
    #: How many of the newest have which status.
    deliveries: Mapping[str, int]
    endpoints: Mapping[str, int]


def survey_workflows(cursor: Any) -> Workflows:
    """Look at all of them, in the caller's bounded transaction."""
    [facts] = selectors.rows(cursor, "survey_workflows", {"most": MOST_BATCHES, "newest": NEWEST})
    return Workflows(**facts | {name: json.loads(facts[name]) for name in ("deliveries", "endpoints")})


def families_of(found: Workflows) -> Iterator[Metric]:
    batches = {BatchStatus.OPEN: found.batches_open, BatchStatus.RUNNING: found.batches_running}
    deliveries = [(status, found.deliveries.get(status, 0)) for status in TaskStatus]
    endpoints = [(state, found.endpoints.get(state, 0)) for state in ENDPOINT_STATES]
    yield labelled("batches", "Batches that are not done, by status; 10,000 at most.", "status", batches.items())
    yield gauge(
        "oldest_running_batch_age_seconds",
        "How long ago the oldest running batch was made; 0: none runs.",
        found.oldest_running_age or 0,
    )
    yield gauge("bulk_operations_running", "Bulk operations that are under way.", found.operations)
    yield gauge("bulk_operations_done_tasks", "Tasks that these have dealt with.", found.operations_done)
    yield gauge("bulk_operations_left_tasks", "Tasks that they have yet to deal with.", found.operations_left)
    yield labelled("newest_deliveries", "The newest 1,000 deliveries of callbacks, by status.", "status", deliveries)
    yield labelled("webhook_endpoints", "Endpoints, by whether deliveries arrive.", "state", endpoints)
