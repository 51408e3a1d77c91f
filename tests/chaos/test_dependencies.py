"""A graph of tasks that depend on each other, while the processes that move it are killed."""

from __future__ import annotations

import os
import random

import pytest

from tasks_app.models import Task
from tests.support.graphs import created, graph_of, statuses
from tests.support.stack import Stack, drained, query
from tests.support.waiting import eventually

GRAPH, KILLS = 400, 12


def ended() -> int:
    return Task.objects.exclude(finished_at=None).count()


@pytest.mark.chaos_long
def test_every_task_ends_as_the_oracle_says_whoever_is_killed(stack: Stack) -> None:
    chance = random.Random(int(os.environ.get("GRAPH_SEED", "7")))
    graph = graph_of(chance, GRAPH)
    stack.environment["TASK_MAX_CRASHES"] = "1000"
    schedulers = [stack.scheduler(), stack.scheduler()]
    workers = [stack.worker("--concurrency", "8") for _ in range(2)]
    ids = created(graph, sleepDurationMs=30)
    for number in range(KILLS):
        seen = ended()
        eventually(lambda seen=seen: ended() >= min(GRAPH, seen + GRAPH // KILLS // 2), timeout=30)
        if number % 2:
            stack.replace_scheduler(schedulers)
        else:
            stack.replace_worker(workers, "--concurrency", "8")
    drained()
    found = dict(Task.objects.values_list("pk", "status"))
    assert [found[task_id] for task_id in ids] == statuses(graph)
    assert query("SELECT count(*) FROM task_edges WHERE outcome IS NULL") == [(0,)]
    assert query("SELECT count(*) FROM tasks WHERE has_dependents") == [(0,)]
