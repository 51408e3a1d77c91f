"""A bulk operation while the schedulers that do it are killed, or freeze, again and again."""

from __future__ import annotations

import signal
import subprocess
from uuid import UUID

import pytest

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.support.operations import begin, row_of
from tests.support.stack import Stack, query
from tests.support.waiting import eventually

TASKS, RATE, TIMES = 3_000, 1_500, 6

pytestmark = pytest.mark.chaos_long


def begun() -> UUID:
    create_tasks([NewTask(type="DUMMY", queue="many")] * TASKS, created_by="test")
    return begin(queue="many", rate=RATE)


def comes_to(operation_id: UUID, part: float) -> None:
    eventually(lambda: row_of(operation_id).done >= TASKS * part, timeout=60)


def touched_each_once(operation_id: UUID) -> None:
    eventually(lambda: row_of(operation_id).state == "DONE", timeout=60)
    row = row_of(operation_id)
    assert (row.touched, row.skipped, row.failed) == (TASKS, 0, 0)
    events = "SELECT count(*), count(DISTINCT task_id) FROM audit_events WHERE action = 'task.cancelled'"
    assert query(events) == [(TASKS, TASKS)]
    assert query("SELECT count(*) FROM tasks WHERE status = 'CANCELLED' AND version = 2") == [(TASKS,)]


def test_every_task_is_touched_once_whoever_is_killed(stack: Stack) -> None:
    schedulers = [stack.scheduler(), stack.scheduler()]
    operation_id = begun()
    for number in range(TIMES):
        comes_to(operation_id, (number + 1) / (TIMES + 2))
        schedulers.pop(0).kill()
        schedulers.append(stack.scheduler())
    touched_each_once(operation_id)


def test_every_task_is_touched_once_whoever_freezes(stack: Stack) -> None:
    """Whatever one of them holds when it freezes is taken from it, and it comes back when others have gone on."""
    schedulers = [stack.scheduler(), stack.scheduler()]
    operation_id = begun()
    frozen: list[subprocess.Popen[bytes]] = []
    for number in range(TIMES):
        comes_to(operation_id, (number + 1) / (TIMES + 2))
        for each in frozen:
            each.send_signal(signal.SIGCONT)
        frozen = [schedulers[number % 2]]
        frozen[0].send_signal(signal.SIGSTOP)
    comes_to(operation_id, 1)
    frozen[0].send_signal(signal.SIGCONT)
    touched_each_once(operation_id)
