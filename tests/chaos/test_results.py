"""Numbers that flow through a graph of tasks, each the sum of those above it, while what moves them is killed."""

from __future__ import annotations

import os
import random

import pytest

from access_app.ids import new_task_ids
from tasks_app.fields import NewTask
from tasks_app.models import TaskExecution, TaskInputs
from tasks_app.services import create_tasks
from tests.support.stack import Stack, drained, ended, query
from tests.support.waiting import eventually

TASKS, KILLS, MODULUS = 150, 9, 9973
#: Prints one more than the sum of its arguments.
SUM = f'echo $(( ($(printf "%s+" "$@")1) % {MODULUS} ))'
_DROP_INPUTS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'task_scheduler inputs'"


@pytest.mark.chaos_long
def test_every_task_takes_what_those_above_it_brought_whoever_is_killed(stack: Stack) -> None:
    chance = random.Random(int(os.environ.get("GRAPH_SEED", "7")))
    parents = [chance.sample(range(max(0, at - 12), at), min(at, chance.randint(1, 3))) for at in range(TASKS)]
    sums: list[int] = []
    for above in parents:
        sums.append((sum(sums[at] for at in above) + 1) % MODULUS)
    ids = new_task_ids(TASKS)
    tasks = []
    for above in parents:
        names = [str(ids[at]) for at in above]
        argv = ["sh", "-c", SUM, "sh", *({"$from": name, "path": "/stdout"} for name in names)]
        tasks.append(NewTask(type="SHELL", payload={"argv": argv}, depends_on=names or None))
    stack.environment["TASK_MAX_CRASHES"] = "1000"
    scheduler, workers = stack.scheduler(), [stack.worker("--concurrency", "6") for _ in range(2)]
    create_tasks(tasks, ids=ids, created_by="test")
    for number in range(KILLS):
        seen = ended()
        eventually(lambda seen=seen: ended() >= min(TASKS, seen + TASKS // KILLS // 2), timeout=30)
        if number % 3 == 0:
            query(_DROP_INPUTS)
        elif number % 3 == 1:
            scheduler.kill()
            scheduler = stack.scheduler()
        else:
            stack.replace_worker(workers, "--concurrency", "6")
    drained()
    results = dict(TaskExecution.objects.filter(status="SUCCESS").values_list("task_id", "result__stdout"))
    assert [int(results[task_id]) for task_id in ids] == sums
    used = dict(TaskInputs.objects.values_list("task_id", "used"))
    for task_id, above in zip(ids, parents, strict=True):
        assert sorted(int(each["value"]) for each in used.get(task_id, [])) == sorted(sums[at] for at in above)
