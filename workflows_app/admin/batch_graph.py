"""The graph of a batch on its page: its tasks, the batches in it, and what was made when it was done."""

from __future__ import annotations

from collections.abc import Sequence

from tasks_app.admin.graph import Extra, Graph, graph_of
from tasks_app.neighbourhood import tasks_in
from workflows_app.batch_table import Batch
from workflows_app.selectors import follow_ups_made


def graph_of_batch(batch: Batch, total: int, inner: Sequence[Batch]) -> Graph | None:
    """None where none of its tasks depends on anything. ``total`` is how many tasks it has."""
    made = {task_id: str(which) for which, task_id in follow_ups_made(batch).items()}
    extra = Extra(made=made, batches={each.pk: (each.name, each.status) for each in inner})
    return graph_of(tasks_in(batch.pk, total=total, made=made), extra, total=total)
