"""The accounts of the workload ``pressure``: each of their questions finds what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection

from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.bench.pressure import oracle
from tests.factories import make_execution, make_task

pytestmark = pytest.mark.django_db


class Accounts:
    """Tasks that were accepted and the marks of their bodies, in which nothing is wrong yet."""

    def __init__(self, marks: Path) -> None:
        self.accepted: list[UUID] = []
        self._marks = marks
        for _ in range(2):
            task = make_task(status=TaskStatus.SUCCESS, attempt=1)
            self.accepted.append(task.pk)
            make_execution(task)
            self.run(task.pk, 1)

    def run(self, task_id: UUID, attempt: int) -> None:
        with (self._marks / "1").open("a") as file:
            file.write(f"{task_id} 1.5 {attempt}\n")

    def repeated(self) -> None:
        """One that was lost with its worker, and has succeeded at the second attempt."""
        task = make_task(status=TaskStatus.SUCCESS, attempt=2)
        make_execution(task, status=ExecutionStatus.LOST)
        make_execution(task, attempt=2)
        self.run(task.pk, 1)
        self.run(task.pk, 2)

    def check(self) -> int:
        connection.ensure_connection()
        server: psycopg.Connection = connection.connection
        return oracle.check(server, self.accepted, self._marks)


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path)


def test_repeats_after_a_fault_are_counted_and_nothing_is_wrong(accounts: Accounts) -> None:
    accounts.repeated()
    assert accounts.check() == 1


def lose(accounts: Accounts) -> None:
    accounts.accepted.append(uuid4())


def leave_one_waiting(accounts: Accounts) -> None:
    make_task()


def succeed_twice(accounts: Accounts) -> None:
    task = make_task(status=TaskStatus.SUCCESS, attempt=2)
    for attempt in (1, 2):
        make_execution(task, attempt=attempt)
        accounts.run(task.pk, attempt)


def forget_the_attempt(accounts: Accounts) -> None:
    Task.objects.filter(pk=accounts.accepted[0]).update(attempt=2)


def fail(accounts: Accounts) -> None:
    make_execution(Task.objects.get(pk=accounts.accepted[0]), attempt=2, status=ExecutionStatus.FAILED)


def start_twice(accounts: Accounts) -> None:
    accounts.run(accounts.accepted[0], 1)


def run_without_history(accounts: Accounts) -> None:
    accounts.run(accounts.accepted[0], 7)


def succeed_without_a_body(accounts: Accounts) -> None:
    task = make_task(status=TaskStatus.SUCCESS, attempt=1)
    make_execution(task)


def run_again_after_the_end(accounts: Accounts) -> None:
    make_execution(Task.objects.get(pk=accounts.accepted[0]), attempt=2, status=ExecutionStatus.LOST)
    accounts.run(accounts.accepted[0], 2)


FAULTS: list[tuple[Callable[[Accounts], None], str]] = [
    (lose, "accepted tasks are not there"),
    (leave_one_waiting, "tasks did not succeed"),
    (succeed_twice, "tasks succeeded twice"),
    (forget_the_attempt, "tasks succeeded without an attempt that did"),
    (fail, "attempts ended otherwise than by success or a fault"),
    (start_twice, "attempts ran twice"),
    (run_without_history, "bodies ran that have no history"),
    (succeed_without_a_body, "attempts succeeded without a body that ran"),
    (run_again_after_the_end, "bodies ran again after another attempt had succeeded"),
]


def test_every_question_is_tried() -> None:
    assert [text for _, text in FAULTS] == list(oracle.WRONG)


@pytest.mark.parametrize(("fault", "text"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_finds(accounts: Accounts, fault: Callable[[Accounts], None], text: str) -> None:
    fault(accounts)
    with pytest.raises(RuntimeError, match=f"1 {text}"):
        accounts.check()
