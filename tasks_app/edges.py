"""What a task waits for besides its time: tasks and batches it depends on, an edge each, and the rule that joins them.

Edges are stored with the task. What an end means for those who wait for it is another app's matter
(``workflows_app``), which finds ended tasks with dependents by their mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan

from access_app.sql import Cursor, statement
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask, input_problems, takes_results
from tasks_app.parents import WholeBatch
from tasks_app.states import FINAL, Gate, Otherwise, RunIf

#: What is open of a child's edges, or of a parent's.
OPEN_EDGE: Final = Q(outcome__isnull=True)
#: Not ``IS NOT NULL``: that follows from what `look_at_joins` asks for, and before statistics know of any settled edge
#: the planner would walk over all of this index there.
SETTLED_EDGE: Final = Q(GreaterThan(Length("outcome"), 0))
#: Columns of a new task that say so, behind those of every task; and those of one in a batch.
COLUMNS: Final = ("gate", "has_dependents")
MEMBER_COLUMNS: Final = (*COLUMNS, "batch_id")


class TaskJoin(models.Model):
    """How the parents of a task decide about it: a row for each task that was created with some."""

    task_id = models.UUIDField(primary_key=True)
    run_if = models.TextField(choices=[(each, each) for each in RunIf])
    otherwise = models.TextField(choices=[(each, each) for each in Otherwise])

    class Meta:
        db_table = "task_joins"
        constraints = [
            models.CheckConstraint(
                name="task_joins_rules",
                condition=Q(run_if__in=list(map(str, RunIf)), otherwise__in=list(map(str, Otherwise))),
            )
        ]

    def __str__(self) -> str:
        return f"{self.task_id} {self.run_if}"


class TaskEdge(models.Model):
    """What a task depends on, a task or a batch. ``outcome`` is how it ended; NULL: it is open, or nobody looked."""

    pk = models.CompositePrimaryKey("child_id", "parent_id")
    child_id = models.UUIDField()
    parent_id = models.UUIDField()
    outcome = models.TextField(null=True, blank=True)
    of_batch = models.BooleanField(db_default=False, help_text="Its parent is a batch.")

    class Meta:
        db_table = "task_edges"
        indexes = [
            # settle_edges: who waits for a task that has ended.
            models.Index("parent_id", name="task_edges_open", condition=OPEN_EDGE),
            # delete_ended_tasks: who knows that a task has ended, and may still ask for its result. find_failed_below:
            # who never ran for that.
            models.Index("parent_id", name="task_edges_settled", condition=SETTLED_EDGE),
            # look_at_joins: whether any edge of a task is open, or has this outcome.
            models.Index("child_id", "outcome", name="task_edges_outcome"),
        ]
        constraints = [
            models.CheckConstraint(
                name="task_edges_outcome_is_final",
                condition=Q(outcome__in=sorted(FINAL)),
            ),
            models.CheckConstraint(name="task_edges_of_two", condition=~Q(child_id=models.F("parent_id"))),
        ]

    def __str__(self) -> str:
        return f"{self.child_id} waits for {self.parent_id}"


class Edge(NamedTuple):
    """What a task depends on, and how that has ended."""

    parent_id: UUID
    outcome: str | None
    of_batch: bool


class InBatch(NamedTuple):
    """The batch that new tasks belong to. ``watch``: the one of them at whose end somebody has to look at the batch."""

    id: UUID
    watch: UUID | None = None


class Parent(NamedTuple):
    """A task or a batch that others are to wait for, locked by the caller's transaction."""

    id: UUID
    ended: bool


def parents_of(new: NewTask) -> list[UUID]:
    """The tasks that a checked one depends on, each once."""
    return list(dict.fromkeys(UUID(each) for each in new.depends_on or () if isinstance(each, str)))


def batches_of(new: NewTask) -> list[UUID]:
    """The batches that a checked one depends on, each once."""
    return list(dict.fromkeys(each.id for each in new.depends_on or () if isinstance(each, WholeBatch)))


def hold_parents(cursor: Cursor, children: Iterable[NewTask], made: Iterable[UUID] = ()) -> bool:
    """Lock the tasks and batches that new ones depend on, but those ``made`` with them, and mark that they have
    dependents.

    Until the caller's commit, none of them can lose its mark. Batches first, as everybody locks them. Return whether
    any has ended. Raises `InvalidTask` that names one which there is not.
    """
    children = list(children)
    batches = {batch for new in children for batch in batches_of(new)}
    found = hold_batches(cursor, batches) if batches else []
    _require(batches, found, "batch")
    if tasks := {parent for new in children for parent in parents_of(new)} - set(made):
        held = hold_tasks(cursor, tasks)
        _require(tasks, held, "task")
        found = [*found, *held]
    return any(parent.ended for parent in found)


def hold_tasks(cursor: Cursor, ids: Iterable[UUID]) -> list[Parent]:
    """Lock tasks, and mark that they have dependents."""
    return _hold_parents(cursor, list(ids))


def _hold_parents(cursor: Cursor, ids: list[UUID]) -> list[Parent]:
    cursor.execute(statement("hold_parents"), {"ids": ids})
    return [Parent._make(row) for row in cursor.fetchall()]


def hold_batches(cursor: Cursor, ids: Iterable[UUID], own: UUID | None = None) -> list[Parent]:
    """Lock batches, and mark that they have dependents; ``own`` and those it lies in are locked with them."""
    cursor.execute(statement("hold_batches"), {"ids": list(ids), "own": own})
    return [Parent._make(row) for row in cursor.fetchall()]


def _require(wanted: set[UUID], found: list[Parent], noun: str) -> None:
    if missing := wanted - {parent.id for parent in found}:
        raise InvalidTask({"dependsOn": f"there is no {noun} {min(missing)}"})


def add_edges(cursor: Cursor, children: Mapping[UUID, NewTask]) -> None:
    """Store the edges of new tasks, and what joins them. In the transaction that stores the tasks."""
    edges = [(child, parent, False) for child, new in children.items() for parent in parents_of(new)]
    edges += [(child, batch, True) for child, new in children.items() for batch in batches_of(new)]
    cursor.execute(
        statement("add_edges"),
        {
            "children": [child for child, _, _ in edges],
            "parents": [parent for _, parent, _ in edges],
            "of_batches": [of_batch for _, _, of_batch in edges],
            "tasks": list(children),
            "run_ifs": [new.run_if for new in children.values()],
            "otherwises": [new.otherwise for new in children.values()],
        },
    )


def join_of(child: UUID) -> TaskJoin | None:
    """When a task runs that was created with others to depend on; None for any other."""
    return TaskJoin.objects.filter(pk=child).first()


def edges_of(child: UUID) -> list[Edge]:
    """What one depends on, 1,000 tasks and batches at most, and how each has ended. Index: the primary key."""
    rows = TaskEdge.objects.filter(child_id=child).order_by("parent_id")
    return [Edge._make(row) for row in rows.values_list("parent_id", "outcome", "of_batch")]


def parents_of_tasks(children: Iterable[UUID]) -> tuple[set[UUID], set[UUID]]:
    """The tasks, and the batches, that some depend on. Index: the primary key."""
    rows = list(TaskEdge.objects.filter(child_id__in=list(children)).values_list("parent_id", "of_batch"))
    return {parent for parent, of_batch in rows if not of_batch}, {parent for parent, of_batch in rows if of_batch}


def batches_there(cursor: Cursor, ids: Iterable[UUID]) -> set[UUID]:
    """Those of the batches that there are."""
    cursor.execute("SELECT id FROM batches WHERE id = ANY(%s)", [list(ids)])
    return {batch_id for (batch_id,) in cursor.fetchall()}


def children_of(parent: UUID, *, most: int) -> list[UUID]:
    """Tasks that wait for a task or a batch, and do not know of its end. Index: task_edges_open."""
    return list(
        TaskEdge.objects.filter(OPEN_EDGE, parent_id=parent)
        .order_by("child_id")
        .values_list("child_id", flat=True)[:most]
    )


def has_settled_children(parent: UUID) -> bool:
    """Whether any task depended on one and knows of its end. Index: task_edges_settled."""
    return TaskEdge.objects.filter(SETTLED_EDGE, parent_id=parent).exists()


def check_inputs(task_id: UUID, task_type: str, payload: Any) -> None:
    """Raise `InvalidTask` when a new payload of a task takes results of what it does not depend on."""
    if takes_results(task_type, payload):
        parents = (edge.parent_id for edge in edges_of(task_id) if not edge.of_batch)
        if problems := input_problems(task_type, payload, parents):
            raise InvalidTask(problems)


def values_of(new: NewTask, *, has_dependents: bool) -> tuple[int, bool]:
    """The values of `COLUMNS` of a new task."""
    return Gate.DEPENDENCY if new.depends_on else Gate.OPEN, has_dependents


def member_values(
    new: NewTask, batch_id: UUID | None, *, has_dependents: bool = False
) -> tuple[int, bool, UUID | None]:
    """The values of `MEMBER_COLUMNS` of a new task."""
    return (*values_of(new, has_dependents=has_dependents), batch_id)
