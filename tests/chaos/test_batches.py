"""Batches, some in others, while the processes that move them are killed; and one that is retried until it succeeds."""

from __future__ import annotations

import os
import random

import pytest

from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.parents import WholeBatch
from tasks_app.services import create_tasks
from tests.support.batches import add, made_for, make
from tests.support.stack import Stack, drained, query
from tests.support.waiting import eventually
from workflows_app import batches
from workflows_app.batch_rules import FollowUp
from workflows_app.models import Batch

BATCHES, TASKS, KILLS = 12, 30, 10
COMPLETE = {FollowUp.COMPLETE: NewTask(type="DUMMY", queue=str(FollowUp.COMPLETE))}


def some(chance: random.Random, count: int, failing: float = 0.1) -> list[NewTask]:
    return [
        NewTask(type="DUMMY", max_retries=0, payload={"sleepDurationMs": 30, "shouldFail": chance.random() < failing})
        for _ in range(count)
    ]


def is_done(batch: Batch) -> bool:
    return Batch.objects.filter(pk=batch.pk).exclude(finished_at=None).exists()


def check() -> None:
    """Every batch is done as what is in it says, and has made its onComplete once for each completion."""
    found = list(Batch.objects.all())
    for batch in found:
        ends = list(Task.objects.filter(batch_id=batch.pk).values_list("status", flat=True))
        ends += [inner.status for inner in found if inner.parent_id == batch.pk]
        assert batch.status == ("FAILED" if "FAILED" in ends else "SUCCESS")
    assert len(made_for(found[0])) == sum(batch.completion for batch in found)
    assert query("SELECT count(*) FROM tasks WHERE has_dependents") == [(0,)]
    assert query("SELECT count(*) FROM batches WHERE look OR has_dependents") == [(0,)]


class TestBatches:
    def test_with_one_in_another_end_when_a_scheduler_is_killed(self, stack: Stack) -> None:
        """The small one, in every run."""
        chance = random.Random(3)
        scheduler = stack.scheduler()
        stack.worker("--concurrency", "8")
        outer = make(*some(chance, 5), follow_ups=COMPLETE, open=True)
        inner = make(*some(chance, 20), follow_ups=COMPLETE, parent=outer.pk)
        [after] = create_tasks(
            [NewTask(type="DUMMY", depends_on=[WholeBatch(outer.pk)], run_if="all_done")], created_by="chaos"
        )
        eventually(lambda: Task.objects.exclude(finished_at=None).count() >= 5, timeout=30)
        scheduler.kill()
        batches.close_batch(outer.pk, actor="test")
        stack.scheduler()
        eventually(lambda: is_done(outer) and is_done(inner), timeout=30)
        drained()
        assert Task.objects.get(pk=after).status == "SUCCESS"
        check()

    @pytest.mark.chaos_long
    def test_end_as_the_oracle_says_whoever_is_killed(self, stack: Stack) -> None:
        chance = random.Random(int(os.environ.get("GRAPH_SEED", "7")))
        stack.environment["TASK_MAX_CRASHES"] = "1000"
        schedulers = [stack.scheduler(), stack.scheduler()]
        workers = [stack.worker("--concurrency", "8") for _ in range(2)]
        made: list[Batch] = []
        for _ in range(BATCHES):
            parent = chance.choice(made).pk if made and chance.random() < 0.5 else None
            made.append(make(*some(chance, TASKS), follow_ups=COMPLETE, parent=parent, open=True))
        for number in range(KILLS):
            for batch in made:
                add(batch, *some(chance, 2))
            seen = Task.objects.exclude(finished_at=None).count()
            eventually(lambda seen=seen: Task.objects.exclude(finished_at=None).count() > seen, timeout=30)
            if number % 2:
                stack.replace_scheduler(schedulers)
            else:
                stack.replace_worker(workers, "--concurrency", "8")
        for batch in made:
            batches.close_batch(batch.pk, actor="test")
        eventually(lambda: all(map(is_done, made)), timeout=120)
        drained()
        check()
        failed = next(batch for batch in Batch.objects.filter(status="FAILED", parent_id=None))
        Task.objects.filter(status="FAILED").update(payload={"sleepDurationMs": 30})
        batches.retry_batch(failed.pk, actor="test", allow=lambda types: None)
        eventually(lambda: is_done(failed), timeout=60)
        drained()
        assert Batch.objects.get(pk=failed.pk).status == "SUCCESS"
        check()
