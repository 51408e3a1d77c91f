"""Schedules that make batches, as tests begin with them, and what they have made."""

from __future__ import annotations

from typing import Any

from schedules_app.models import Schedule
from tasks_app.models import Task
from tests.support.schedules import make_schedule
from workflows_app.models import Batch

#: Two tasks, and one behind them.
FAN_IN: dict[str, Any] = {
    "name": "etl",
    "tasks": [
        {"ref": "eu", "type": "DUMMY", "maxRetries": 0},
        {"ref": "us", "type": "DUMMY", "maxRetries": 0, "queue": "us", "priority": 3},
        {"type": "HTTP", "dependsOn": ["eu", "us"], "payload": {"url": "http://h/", "body": {"$from": "eu"}}},
    ],
    "failFast": "50%",
    "onFailure": {"type": "DUMMY", "queue": "alarm"},
}
ONE: dict[str, Any] = {"name": "one", "tasks": [{"type": "DUMMY", "maxRetries": 0}]}


def batch_schedule(template: dict[str, Any] = ONE, **columns: Any) -> Schedule:
    return make_schedule(task=None, batch=template, **columns)


def batches_of(schedule: Schedule) -> list[Batch]:
    """Those that were made for slots, in their order."""
    return list(Batch.objects.filter(schedule_id=schedule.pk, scheduled_for__isnull=False).order_by("scheduled_for"))


def members_of(batch: Batch) -> list[Task]:
    """Its tasks, by their queue."""
    return list(Task.objects.filter(batch_id=batch.pk).order_by("queue", "type"))
