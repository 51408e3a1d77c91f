"""A bulk operation while the schedulers that do it are killed, again and again."""

from __future__ import annotations

import pytest

from tasks_app.fields import NewTask
from tasks_app.models import BulkOperation
from tasks_app.services import create_tasks
from tests.support.operations import begin, row_of
from tests.support.stack import Stack, query
from tests.support.waiting import eventually

TASKS, RATE, KILLS = 3_000, 1_500, 6


@pytest.mark.chaos_long
def test_every_task_is_touched_once_whoever_is_killed(stack: Stack) -> None:
    create_tasks([NewTask(type="DUMMY", queue="many")] * TASKS, created_by="test")
    operation_id = begin(queue="many", rate=RATE)
    schedulers = [stack.scheduler(), stack.scheduler()]
    for number in range(KILLS):
        least = TASKS * (number + 1) // (KILLS + 2)
        eventually(lambda least=least: row_of(operation_id).done >= least, timeout=60)
        schedulers.pop(0).kill()
        schedulers.append(stack.scheduler())
    eventually(lambda: row_of(operation_id).state == "DONE", timeout=60)
    row = BulkOperation.objects.get(pk=operation_id)
    assert (row.touched, row.skipped, row.failed) == (TASKS, 0, 0)
    events = "SELECT count(*), count(DISTINCT task_id) FROM audit_events WHERE action = 'task.cancelled'"
    assert query(events) == [(TASKS, TASKS)]
    assert query("SELECT count(*) FROM tasks WHERE status = 'CANCELLED' AND version = 2") == [(TASKS,)]
