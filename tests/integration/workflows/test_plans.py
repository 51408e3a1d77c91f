"""What a round touches grows with the edges it settles, and not with their square, whatever the planner knows."""

from __future__ import annotations

from typing import Any

import pytest

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tests.integration.engine import test_plans
from tests.integration.engine.test_plans import explain
from tests.support.batches import dummy, make
from tests.support.engine import Engine

COUNT = 2000
INDEXES = {"tasks_ended_parents", "task_edges_open", "task_edges_outcome", "task_joins_pkey", "tasks_pkey"}
INDEXES |= {"executions_attempt"}
INDEXES |= {"batches_ended_parents", "batches_to_look_at", "batches_pkey"}
BATCH_INDEXES = {"tasks_batch_open", "batches_inner", "batches_open"}


@pytest.mark.usefixtures("new_tables")
class TestPlans:
    @pytest.mark.parametrize("known", [False, True], ids=["empty tables", "tables as they are"])
    @pytest.mark.parametrize("parents", [1, COUNT], ids=["fan-out", "many to many"])
    def test_of_a_round_touch_each_edge_a_few_times(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, parents: int, known: bool
    ) -> None:
        monkeypatch.setattr(test_plans, "GROWING", (*test_plans.GROWING, "task_edges", "task_joins"))
        names = [str(each) for each in engine.create_many(parents, callback={"url": "https://a.example/"})]
        children = services.create_tasks(
            [NewTask(type="DUMMY", depends_on=[names[place % parents]]) for place in range(COUNT)], created_by="test"
        )
        asked_for = {"ids": names, "actors": ["test"] * parents, "reason": ""}
        engine.session.rows("cancel_tasks", asked_for)
        make(dummy())
        if known:  # no batch has ended yet, as in the first days
            engine.session.execute("ANALYZE tasks, task_edges, task_joins, batches")
        asked: dict[str, dict[str, Any]] = {
            "settle_edges": {"parents": parents, "edges": COUNT},
            "look_at_joins": {"ids": children},
            "open_dependents": {"ids": children},
            "lock_parents": {"ids": names},
            "take_endings": {"most": parents, "only": None, "but": [], "results": True},
            "clear_parents": {"ids": names, "batches": []},
        }
        plans = {name: explain(engine.session, name, parameters) for name, parameters in asked.items()}
        assert set().union(*(plan.indexes for plan in plans.values())) <= INDEXES
        assert {name: plan.touched for name, plan in plans.items() if plan.touched > 6 * COUNT} == {}

    @pytest.mark.parametrize("known", [False, True], ids=["empty tables", "tables as they are"])
    def test_of_a_look_touch_no_more_than_a_few_of_a_batch(self, engine: Engine, known: bool) -> None:
        batch = make(*[dummy()] * COUNT)
        Task.objects.update(has_dependents=False)
        if known:
            engine.session.execute("ANALYZE tasks")
        plans = [explain(engine.session, "look_at_batches", {"ids": [batch.pk]})]
        plans += [
            explain(engine.session, "watch_batches", {"ids": [batch.pk], "youngest": side}) for side in (True, False)
        ]
        assert {"tasks_batch_open"} <= set().union(*(plan.indexes for plan in plans)) <= INDEXES | BATCH_INDEXES
        assert max(plan.touched for plan in plans) <= COUNT // 4
