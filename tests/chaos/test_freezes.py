"""Freezes and thaws at random while workers and schedulers are killed: nothing starts in one, nobody is forgotten."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from access_app.refusals import InvalidInput
from flow_app import freezes
from flow_app.freezes import FreezeOver, NewFreeze
from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tasks_app.sessions import Session
from tests.support.stack import Stack, query
from tests.support.waiting import eventually
from workers_app import invariants

STORIES, STEPS, TASKS = 3, 25, 40
QUEUES = ("a", "b", "c")

pytestmark = pytest.mark.chaos_long

#: Attempts that began while a freeze of what they are held: between its beginning and its thaw, or its time.
STARTED_FROZEN = """
    SELECT count(*)
      FROM (SELECT t.id, e.started_at, t.queue, t.type, t.target
              FROM task_executions e JOIN tasks t ON t.id = e.task_id
            UNION ALL
            SELECT id, started_at, queue, type, target FROM tasks WHERE status = 'RUNNING') AS a
      JOIN freezes f ON a.queue = ANY(f.queues) OR a.type = ANY(f.types) OR a.target = ANY(f.targets)
     WHERE a.started_at > f.created_at AND a.started_at < coalesce(f.thawed_at, f.until, 'infinity')
"""


def frozen_at_random(chance: random.Random) -> None:
    named: dict[str, Any] = {
        "queues": chance.sample(QUEUES, chance.randint(0, 2)),
        "types": chance.choice([[], [], ["DUMMY"], ["HTTP"]]),
        "targets": chance.choice([[], ["127.0.0.1"]]),
    }
    until = timezone.now() + timedelta(milliseconds=chance.randint(200, 2000)) if chance.random() < 0.3 else None
    try:
        freezes.freeze(NewFreeze(**named, until=until), actor="chaos")
    except InvalidInput:
        assert not any(named.values())


def thawed_at_random(chance: random.Random, *, all_of_them: bool = False) -> None:
    going = [pk for (pk,) in query("SELECT id FROM freezes WHERE ended_at IS NULL ORDER BY id")]
    for pk in going if all_of_them else going[: chance.randint(0, 2)]:
        rate = {"limit": 200, "periodSeconds": 1} if chance.random() < 0.5 else None
        try:
            freezes.thaw(pk, actor="chaos", rate=rate)
        except FreezeOver:
            assert query("SELECT ended_at IS NOT NULL FROM freezes WHERE id = %s", pk) == [(True,)]


def made() -> None:
    for queue in QUEUES:
        create_tasks([NewTask(type="DUMMY", queue=queue)] * TASKS, created_by="test")
        calls = NewTask(type="HTTP", queue=queue, payload={"url": "http://127.0.0.1:9/"}, max_retries=0)
        create_tasks([calls] * (TASKS // 4), created_by="test")


@pytest.mark.parametrize("seed", range(STORIES))
def test_nothing_starts_in_one_and_everybody_comes_back(stack: Stack, session: Session, seed: int) -> None:
    chance = random.Random(seed)
    schedulers, workers = [stack.scheduler(), stack.scheduler()], [stack.worker(), stack.worker()]
    for step in range(STEPS):
        made()
        chance.choice([frozen_at_random, thawed_at_random])(chance)
        if step % 3 == 0:
            stack.replace_worker(workers)
        elif step % 3 == 1:
            stack.replace_scheduler(schedulers)
        assert query(STARTED_FROZEN) == [(0,)]
    thawed_at_random(chance, all_of_them=True)
    eventually(lambda: query("SELECT count(*) FROM tasks WHERE finished_at IS NULL") == [(0,)], timeout=120)
    eventually(lambda: query("SELECT count(*) FROM freezes WHERE ended_at IS NULL") == [(0,)], timeout=60)
    assert query(STARTED_FROZEN) == [(0,)]
    assert query("SELECT count(*) FROM tasks") == [(STEPS * len(QUEUES) * (TASKS + TASKS // 4),)]
    assert query("SELECT count(*) FROM tasks WHERE type = 'DUMMY' AND status <> 'SUCCESS'") == [(0,)]
    assert invariants.violations(session) == {}
