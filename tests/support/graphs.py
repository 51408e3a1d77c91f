"""Graphs of tasks that depend on each other, and an oracle of how each ends that knows nothing of edges and marks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from access_app.ids import new_task_ids
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.states import Otherwise, RunIf


@dataclass(frozen=True)
class Node:
    """A task of a graph: places of those it depends on, its rules, and how it ends when it runs."""

    parents: list[int]
    run_if: str
    otherwise: str
    end: str

    def new(self, ids: Sequence[UUID], **fields: Any) -> NewTask:
        """The task to create, for the ids of those that come before it."""
        if self.parents:
            fields["depends_on"] = [str(ids[parent]) for parent in self.parents]
            fields |= {"run_if": self.run_if, "otherwise": self.otherwise}
        return NewTask(type="DUMMY", max_retries=0, **fields)


def statuses(graph: Sequence[Node]) -> list[str]:
    """How each task of a graph ends, in the words of the documents."""
    found: list[str] = []
    for node in graph:
        ends = [found[parent] for parent in node.parents]
        runs = (
            not ends
            or {
                "all_success": all(end == "SUCCESS" for end in ends),
                "all_done": True,
                "any_success": "SUCCESS" in ends,
                "any_failed": "FAILED" in ends,
                "none_failed": "FAILED" not in ends,
            }[node.run_if]
        )
        found.append(node.end if runs else {"cancel": "CANCELLED", "fail": "FAILED"}[node.otherwise])
    return found


def graph_of(chance: random.Random, count: int) -> list[Node]:
    """A graph of chance whose tasks succeed or fail; nearly all depend on some of the sixty before them."""
    return [
        Node(
            chance.sample(range(max(0, place - 60), place), min(place, chance.randint(1, 4))) if place > 3 else [],
            chance.choice(list(RunIf)),
            chance.choice(list(Otherwise)),
            chance.choice(["SUCCESS", "SUCCESS", "FAILED"]),
        )
        for place in range(count)
    ]


def created(graph: Sequence[Node], **payload: Any) -> list[UUID]:
    """All of a graph in one call; DUMMY tasks that end as their nodes say."""
    ids = new_task_ids(len(graph))
    new = [node.new(ids, payload={"shouldFail": node.end == "FAILED", **payload}) for node in graph]
    return services.create_tasks(new, ids=ids, created_by="test")
