"""Random batches, some in others, with additions, cancels, retries and edits in whatever order: each ends as an oracle
says that knows nothing of marks and rounds, each of its completions makes its onComplete once, and none is done while
something of it is open.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.parents import WholeBatch
from tasks_app.sessions import Session
from tests.support.batches import add, dummy, make
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, Engine
from tests.support.scale import WHOLE
from workflows_app import batches
from workflows_app.batch_rules import FollowUp
from workflows_app.batches import BatchDone
from workflows_app.endings import settle_endings
from workflows_app.models import Batch
from workflows_app.new_batches import FailFast

TABLES = (
    *("tasks", "task_edges", "task_joins", "task_executions", "audit_events", "worker_heartbeats", "batches"),
    "task_needs",
)
COMPLETE = str(FollowUp.COMPLETE)


class Story:
    """Batches that are made, added to, and lived through in an order of chance."""

    def __init__(self, engine: Engine, chance: random.Random) -> None:
        self.engine, self.chance = engine, chance
        self.batches: list[Batch] = []
        self.worker = engine.worker(slots=1000)
        self.waiting: dict[UUID, Batch] = {}

    def make_one(self) -> None:
        inner = self.batches and self.chance.random() < 0.5
        parent = self.chance.choice(self.batches).pk if inner else None
        new = [dummy() for _ in range(self.chance.choice([0, 1, 1, 3]))]
        follow_ups = {FollowUp.COMPLETE: NewTask(type="DUMMY", queue=COMPLETE)}
        fields = {"name": f"b{len(self.batches)}", "open": self.chance.random() < 0.3, "follow_ups": follow_ups}
        if self.chance.random() < 0.3:
            fields["fail_fast"] = self.chance.choice([FailFast(1, percent=False), FailFast(50, percent=True)])
        self.try_to(lambda: self.batches.append(make(*new, parent=parent, **fields)))

    def add_some(self) -> None:
        if self.batches:
            batch = self.chance.choice(self.batches)
            inside = list(Task.objects.filter(batch_id=batch.pk).values_list("pk", flat=True))
            above = [str(self.chance.choice(inside))] if inside and self.chance.random() < 0.5 else None
            rule = {"run_if": self.chance.choice(["all_success", "all_done", "any_failed"])} if above else {}
            self.try_to(lambda: add(batch, dummy(depends_on=above, **rule)))

    def wait_for_one(self) -> None:
        if self.batches and len(self.waiting) < 3:
            batch = self.chance.choice(self.batches)
            self.waiting[self.engine.create(depends_on=[WholeBatch(batch.pk)], run_if="all_done")] = batch

    def close_one(self) -> None:
        self.on_any(lambda batch: batches.close_batch(batch.pk, actor="test"))

    def cancel_one(self) -> None:
        if self.chance.random() < 0.2:
            self.on_any(lambda batch: batches.cancel_batch(batch.pk, actor="test"))

    def retry_one(self) -> None:
        if self.chance.random() < 0.3:
            self.on_any(lambda batch: batches.retry_batch(batch.pk, actor="test", allow=lambda types: None))

    def change_a_task(self) -> None:
        """Cancelled, or retried on its own."""
        tasks = list(Task.objects.exclude(batch_id=None).values_list("pk", "finished_at"))
        if tasks:
            task_id, finished_at = self.chance.choice(tasks)
            if finished_at is None:
                services.cancel_task(task_id, actor="test")
            elif self.chance.random() < 0.2:
                services.retry_task(task_id, actor="test")

    def settle(self) -> None:
        settle_endings(
            self.engine.session, parents=self.chance.choice([1, 2, 1000]), edges=self.chance.choice([1, 5000])
        )

    def run_some(self) -> None:
        self.engine.assign(limit=self.chance.randint(1, 5))
        for attempt in self.engine.start(self.worker):
            self.engine.finish(self.worker, attempt, self.chance.choice([SUCCEEDED, SUCCEEDED, FAILED_FOR_GOOD]))

    def on_any(self, act: Callable[[Batch], object]) -> None:
        if self.batches:
            batch = self.chance.choice(self.batches)
            self.try_to(lambda: act(batch))

    def try_to(self, act: Callable[[], object]) -> None:
        with suppress(BatchDone):
            act()

    def live(self, steps: int) -> None:
        for _ in range(steps):
            kinds = [self.make_one, self.add_some, self.wait_for_one, self.close_one, self.cancel_one, self.retry_one]
            self.chance.choice([*kinds, self.change_a_task, *[self.settle, self.run_some] * 4])()
            assert self.engine.violations() == {}
        for batch in self.batches:
            self.try_to(lambda batch=batch: batches.close_batch(batch.pk, actor="test"))  # type: ignore[misc]
        for _ in range(200):
            self.run_some()
            if not settle_endings(self.engine.session).left and not Task.objects.filter(finished_at=None).exists():
                return
        pytest.fail("something never ends")


def check(story: Story) -> None:
    """What has become of every batch, from nothing but its tasks and the batches in it."""
    found = {batch.pk: batch for batch in Batch.objects.all()}
    assert story.engine.violations() == {}
    assert not Task.objects.filter(has_dependents=True).exists()
    made = list(Task.objects.filter(queue=COMPLETE).values_list("pk", flat=True))
    assert len(made) == sum(batch.completion for batch in found.values())
    for batch in found.values():
        ends = [status for status, reason in Task.objects.filter(batch_id=batch.pk).values_list("status", "end_reason")
                if reason != "DEPENDENCY_FAILED"]  # fmt: skip
        ends += [inner.status for inner in found.values() if inner.parent_id == batch.pk]
        worst = next((status for status in ("FAILED", "CANCELLED") if status in ends), "SUCCESS")
        assert batch.status == ("CANCELLED" if batch.cancelled_at else worst)
        assert (batch.completion >= 1, batch.look, batch.has_dependents) == (True, False, False)
    for task_id in story.waiting:
        assert story.engine.task(task_id).finished_at is not None


@pytest.mark.timeout(900)
def test_every_batch_ends_as_the_oracle_says_and_makes_its_tasks_once(session: Session) -> None:
    engine = Engine(session)

    @settings(
        max_examples=int(os.environ.get("STORIES", "400" if WHOLE else "12")),
        derandomize=os.environ.get("MODEL_SEED") != "any",
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def lives(seed: int) -> None:
        for table in TABLES:
            session.execute(f"DELETE FROM {table}")
        story = Story(engine, random.Random(seed))
        story.live(80 if WHOLE else 50)
        check(story)

    lives()
