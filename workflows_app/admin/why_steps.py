"""Where a reason of `why` leads that is about a batch."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import reverse

from access_app.rights import Action, Person
from tasks_app.admin.why_panel import Step
from tasks_app.models import Task
from tasks_app.reasons import Reason


def steps(task: Task, reason: Reason, person: Person) -> Iterator[Step]:
    if "batch" in reason.links and person.may(Action.BATCH_READ):
        batch_id = reason.links["batch"].rpartition("/")[2]
        yield Step(label="The batch it waits for", url=reverse("admin:workflows_app_batch_change", args=[batch_id]))
