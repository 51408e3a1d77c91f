"""Random graphs of tasks that depend on each other, in whatever order they end: each runs, or never does, as an oracle
says that knows nothing of edges, marks and rounds; and nothing is left waiting.
"""

from __future__ import annotations

import os
import random
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate, Otherwise, RunIf, TaskStatus
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, Engine
from tests.support.graphs import Node, statuses
from tests.support.scale import WHOLE
from workflows_app.endings import settle_endings

ENDS = {"SUCCESS": SUCCEEDED, "FAILED": FAILED_FOR_GOOD}


@st.composite
def graphs(draw: st.DrawFn, most: int = 60 if WHOLE else 14) -> list[Node]:
    count = draw(st.integers(2, most))
    above = [
        draw(st.lists(st.integers(0, place - 1), max_size=4, unique=True)) if place else [] for place in range(count)
    ]
    rules = st.tuples(
        st.sampled_from(list(RunIf)),
        st.sampled_from(list(Otherwise)),
        st.sampled_from(["SUCCESS", "FAILED", "CANCELLED"]),
    )
    return [Node(parents, *draw(rules)) for parents in above]


class Story:
    """A graph that is created, some of it late, and lived through in an order of chance."""

    def __init__(self, engine: Engine, graph: list[Node], chance: random.Random) -> None:
        self.engine, self.graph, self.chance = engine, graph, chance
        self.ids: list[UUID] = []
        self.worker = engine.worker(slots=1000)

    def create_some(self) -> None:
        """The next few tasks: one, or several in one call."""
        upto = self.chance.randint(len(self.ids) + 1, len(self.graph))
        fresh = self.graph[len(self.ids) : upto]
        if len(fresh) == 1 or not all(parent < len(self.ids) for node in fresh for parent in node.parents):
            fresh = fresh[:1]
        self.ids += services.create_tasks([node.new(self.ids) for node in fresh], created_by="test")

    def settle(self) -> None:
        settle_endings(
            self.engine.session, parents=self.chance.choice([1, 2, 1000]), edges=self.chance.choice([1, 3, 5000])
        )

    def run_some(self) -> None:
        self.engine.assign(limit=self.chance.randint(1, 4))
        for attempt in self.engine.start(self.worker):
            end = self.graph[self.ids.index(attempt.task_id)].end
            if end == "CANCELLED":
                services.cancel_task(attempt.task_id, actor="test")
                end = "FAILED"
            self.engine.finish(self.worker, attempt, ENDS[end])

    def cancel_one(self) -> None:
        """A task that may run, before it does."""
        open_ids = list(Task.objects.filter(status="PENDING", gate=Gate.OPEN).values_list("pk", flat=True))
        ready = [task_id for task_id in open_ids if self.graph[self.ids.index(task_id)].end == "CANCELLED"]
        if ready:
            services.cancel_task(self.chance.choice(ready), actor="test")

    def live(self) -> list[str]:
        while len(self.ids) < len(self.graph) or Task.objects.filter(finished_at=None).exists():
            steps = [self.settle, self.run_some, self.cancel_one]
            if len(self.ids) < len(self.graph):
                steps.append(self.create_some)
            self.chance.choice(steps)()
            assert self.engine.violations() == {}
        while settle_endings(self.engine.session).left:
            pass
        return [str(TaskStatus(status)) for status in self.engine.statuses(self.ids)]


@pytest.mark.timeout(600)
def test_every_task_of_a_graph_runs_or_never_does_as_the_oracle_says(session: Session) -> None:
    engine = Engine(session)

    @settings(
        max_examples=int(os.environ.get("GRAPHS", "1000" if WHOLE else "25")),
        derandomize=os.environ.get("MODEL_SEED") != "any",
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs(), st.integers(0, 2**32))
    def lives(graph: list[Node], seed: int) -> None:
        for table in ("tasks", "task_edges", "task_joins", "task_executions", "audit_events", "worker_heartbeats"):
            session.execute(f"DELETE FROM {table}")
        story = Story(engine, graph, random.Random(seed))
        assert story.live() == statuses(graph)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM tasks WHERE has_dependents")
            assert cursor.fetchone() == (0,)
            cursor.execute("SELECT count(*) FROM task_edges WHERE outcome IS NULL")
            assert cursor.fetchone() == (0,)

    lives()
