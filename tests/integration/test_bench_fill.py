"""Tasks that the benchmarks make in SQL are such as the service and the engine would have left."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from access_app.ids import created_at
from tasks_app.models import Task, TaskExecution
from tests.bench import fill

pytestmark = pytest.mark.django_db


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """As much of a bench as a fill needs; two rows a statement, so that there are several."""
    monkeypatch.setattr(fill, "AT_ONCE", 2)
    connection.ensure_connection()
    return SimpleNamespace(watch=connection.connection)


def test_history_is_spread_over_the_time_in_which_it_would_have_come_about(bench: SimpleNamespace) -> None:
    fill.fill_history(bench, 5, per_second=10)  # type: ignore[arg-type]
    tasks = list(Task.objects.order_by("id"))
    assert [task.finished_at - tasks[0].finished_at for task in tasks] == [
        timedelta(milliseconds=100 * n) for n in range(5)
    ]
    assert timedelta(0) <= timezone.now() - tasks[-1].finished_at < timedelta(seconds=30)
    for task in tasks:
        assert created_at(task.pk) == task.created_at == task.finished_at
        assert (task.status, task.attempt, task.executions.get().attempt) == ("SUCCESS", 1, 1)


def test_ended_tasks_have_ended_just_now(bench: SimpleNamespace) -> None:
    fill.fill_ended(bench, 3)  # type: ignore[arg-type]
    assert TaskExecution.objects.count() == 3
    assert all(timezone.now() - task.finished_at < timedelta(seconds=30) for task in Task.objects.all())
