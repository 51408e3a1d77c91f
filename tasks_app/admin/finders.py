"""How tasks and bulk operations are found by Ctrl-K: by id, and tasks by what they were sent as correlation id."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.finding import MOST, Asked, Found, finds
from tasks_app.models import BulkOperation, Task
from tasks_app.selectors import correlated

_SHOWN = ("type", "status", "queue")


@finds(Action.TASK_READ)
def find_tasks(asked: Asked) -> Iterator[Found]:
    """Indexes: tasks_pkey, and those that `correlated` rides."""
    ids = correlated(asked.text, most=MOST + 1)
    if len(ids) > MOST:
        url = f"{reverse('admin:tasks_app_task_changelist')}?{display.query(q=asked.text)}"
        yield Found("Tasks", f"All with correlation id {asked.text}", url)
    wanted = [*([asked.as_id] if asked.as_id else []), *ids[:MOST]]
    if wanted:
        for task in Task.objects.filter(pk__in=wanted).only(*_SHOWN).order_by("-pk"):
            yield Found("Task", f"{task.type} {task.pk}", display.page_url(task), f"{task.status}, queue {task.queue}")


@finds(Action.BULK_READ)
def find_operations(asked: Asked) -> Iterator[Found]:
    if asked.as_id is not None:
        for row in BulkOperation.objects.filter(pk=asked.as_id):
            yield Found("Bulk operation", f"{row.action} {row.pk}", display.page_url(row), row.state)
