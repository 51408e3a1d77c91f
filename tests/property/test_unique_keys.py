"""Unique keys in random stories: in whatever order things happen, at most one task of a key is open, and who asks for
another is told that one. What happens at the same time is staged in ``integration/engine/test_duplicates.py``.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks_app import services
from tasks_app.duplicates import DuplicateTask
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import FINAL, WAITING
from tasks_app.transitions import IllegalTransition
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine
from tests.support.scale import WHOLE

QUEUES, KEYS = st.sampled_from(["a", "b"]), st.sampled_from(["u", "v"])
RULES = st.sampled_from(["return", "reject", "replace", "postpone"])
some = st.integers(0, 59)


class UniqueMachine(RuleBasedStateMachine):
    session: ClassVar[Session]

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.session)
        for table in ("tasks", "task_executions", "audit_events", "worker_heartbeats"):
            self.session.execute(f"DELETE FROM {table}")

    @initialize()
    def begin(self) -> None:
        self.worker = self.engine.worker(slots=2)

    @rule(queue=QUEUES, key=KEYS, how=RULES)
    def create(self, queue: str, key: str, how: str) -> None:
        before, count = self.holder(queue, key), Task.objects.count()
        seconds = 60 if how == "postpone" else None
        new = NewTask(type="DUMMY", queue=queue, unique_key=key, on_duplicate=how, debounce_seconds=seconds, priority=7)
        changes = how in ("replace", "postpone")
        if before and (how == "reject" or (changes and before.status not in WAITING)):
            with pytest.raises(DuplicateTask) as refused:
                services.create_task(new, created_by="me")
            assert refused.value.task_id == before.pk
            assert self.holder(queue, key).version == before.version  # type: ignore[union-attr]
            return
        made = services.create_task(new, created_by="me")
        assert bool(made.existing) is (before is not None)
        assert made.task.pk == self.holder(queue, key).pk  # type: ignore[union-attr]
        assert Task.objects.count() == count + (before is None)
        if before and how == "replace":
            assert (made.task.priority, made.task.status, made.task.attempt) == (7, "PENDING", before.attempt)
        if before and how == "return":
            assert made.task.version == before.version

    @rule(items=st.lists(st.tuples(QUEUES, KEYS), min_size=1, max_size=4))
    def create_many(self, items: list[tuple[str, str]]) -> None:
        taken = {item for item in items if self.holder(*item)}
        ids = services.create_tasks(
            [NewTask(type="DUMMY", queue=queue, unique_key=key) for queue, key in items], created_by="me"
        )
        assert len(set(ids)) == len(set(items))
        for item, task_id in zip(items, ids, strict=True):
            assert self.holder(*item).pk == task_id  # type: ignore[union-attr]
        assert taken <= {item for item in items if self.holder(*item)}

    @rule(which=some)
    def cancel(self, which: int) -> None:
        if (task := self.task(which)) and task.status not in FINAL:
            services.cancel_task(task.pk, actor="me")

    @rule(which=some)
    def retry(self, which: int) -> None:
        if task := self.task(which):
            rival = self.holder(task.queue, str(task.unique_key))
            error = IllegalTransition if task.status not in FINAL else DuplicateTask if rival else None
            self.attempt_to(lambda: services.retry_task(task.pk, actor="me"), error)

    @rule(which=some, queue=QUEUES)
    def move(self, which: int, queue: str) -> None:
        if (task := self.task(which)) and task.status in WAITING:
            rival = self.holder(queue, str(task.unique_key))
            error = DuplicateTask if rival and rival.pk != task.pk else None
            self.attempt_to(lambda: services.edit_task(task.pk, {"queue": queue}, actor="me"), error)

    @rule()
    def assign(self) -> None:
        self.engine.assign()

    @rule(outcome=st.sampled_from([None, SUCCEEDED, FAILED, RELEASED]))
    def work(self, outcome: object) -> None:
        for attempt in self.engine.start(self.worker, limit=1):
            if outcome is not None:
                self.engine.finish(self.worker, attempt, outcome)  # type: ignore[arg-type]

    @rule()
    def lose_the_worker(self) -> None:
        self.engine.lose(self.worker)
        self.worker = self.engine.worker(slots=2)

    def attempt_to(self, act: object, error: type[Exception] | None) -> None:
        if error is None:
            act()  # type: ignore[operator]
        else:
            with pytest.raises(error):
                act()  # type: ignore[operator]

    def task(self, which: int) -> Task | None:
        tasks = list(Task.objects.order_by("id"))
        return tasks[which % len(tasks)] if tasks else None

    def holder(self, queue: str, key: str) -> Task | None:
        return Task.objects.filter(queue=queue, unique_key=key, finished_at=None).first()

    @invariant()
    def one_of_each_key_is_open(self) -> None:
        rows: list[tuple[str, str, UUID]] = self.session.fetch(
            "SELECT queue, unique_key FROM tasks WHERE finished_at IS NULL"
        )
        assert max(Counter(rows).values(), default=0) <= 1

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.engine.violations() == {}


@pytest.mark.timeout(300)
def test_unique_keys_hold_in_every_order(session: Session) -> None:
    UniqueMachine.session = session
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        UniqueMachine,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "60" if WHOLE else "10")),
            stateful_step_count=int(os.environ.get("MODEL_STEPS", "30")),
            derandomize=os.environ.get("MODEL_SEED") != "any",
            database=None,
            phases=list(Phase) if os.environ.get("MODEL_SHRINK") else [Phase.explicit, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
