"""Rounds of three schedulers, and four people who add, cancel, retry and close, all at once over nested batches."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from django.db import connection

from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.transitions import IllegalTransition
from tests.support.batches import add, dummy, made_for, make, settled, tasks_of
from tests.support.engine import Engine
from workflows_app import batches
from workflows_app.batches import BatchDone
from workflows_app.endings import settle_endings
from workflows_app.models import Batch

STEPS, PEOPLE = 40, 4


class Storm:
    """Threads that act until the people are through, and what went wrong in any of them."""

    def __init__(self, made: list[Batch]) -> None:
        self.made = made
        self.errors: list[BaseException] = []
        self.over = threading.Event()

    def settle(self, session: Session) -> None:
        while not self.over.is_set():
            settle_endings(session, parents=3)

    def act(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(STEPS):
            batch = chance.choice(self.made)
            task_id = chance.choice(tasks_of(batch))
            acts: list[Callable[[], object]] = [
                lambda batch=batch: add(batch, dummy()),
                lambda task_id=task_id: services.cancel_task(task_id, actor="test"),
                lambda task_id=task_id: services.retry_task(task_id, actor="test"),
                lambda batch=batch: batches.retry_batch(
                    batch.pk, actor="test", allow=lambda types: None, everything=True
                ),
                lambda batch=batch: batches.close_batch(batch.pk, actor="test"),
            ]
            with suppress(BatchDone, IllegalTransition):
                chance.choice(acts)()

    def thread(self, act: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except BaseException as error:
                self.errors.append(error)
            finally:
                connection.close()

        started = threading.Thread(target=run)
        started.start()
        return started


def test_leaves_no_batch_behind_and_none_done_too_soon(engine: Engine, open_session: Callable[[], Session]) -> None:
    outer = make(dummy(), open=True, follow_ups={})
    made = [outer, *(make(dummy(), dummy(), parent=outer.pk, open=True) for _ in range(3))]
    storm = Storm(made)
    rounds = [storm.thread(partial(storm.settle, open_session())) for _ in range(3)]
    people = [storm.thread(partial(storm.act, seed)) for seed in range(PEOPLE)]
    for thread in people:
        thread.join()
    storm.over.set()
    for thread in rounds:
        thread.join()
    assert storm.errors == []
    assert engine.violations() == {}
    for batch in made:
        with suppress(BatchDone):
            batches.close_batch(batch.pk, actor="test")
    while Task.objects.filter(finished_at=None).exists() or Batch.objects.filter(finished_at=None).exists():
        for task_id in Task.objects.filter(finished_at=None).values_list("pk", flat=True):
            services.cancel_task(task_id, actor="test")
        settled(engine)
    completions = sum(Batch.objects.exclude(pk=outer.pk).values_list("completion", flat=True))
    assert made_for(outer).count("onComplete") == completions
    assert engine.violations() == {}
