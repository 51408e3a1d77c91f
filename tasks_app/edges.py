"""What a task waits for besides its time: the tasks it depends on, an edge each, and the rule that joins them.

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
from tasks_app.states import FINAL, Gate, Otherwise, RunIf

#: What is open of a child's edges, or of a parent's.
OPEN_EDGE: Final = Q(outcome__isnull=True)
#: Not ``IS NOT NULL``: that follows from what `look_at_joins` asks for, and before statistics know of any settled edge
#: the planner would walk over all of this index there.
SETTLED_EDGE: Final = Q(GreaterThan(Length("outcome"), 0))
#: Columns of a new task that say so, behind those of every task.
COLUMNS: Final = ("gate", "has_dependents")


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
    """A task that another one depends on. ``outcome`` is how it ended; NULL: it is open, or nobody has looked."""

    pk = models.CompositePrimaryKey("child_id", "parent_id")
    child_id = models.UUIDField()
    parent_id = models.UUIDField()
    outcome = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "task_edges"
        indexes = [
            # settle_edges: who waits for a task that has ended.
            models.Index("parent_id", name="task_edges_open", condition=OPEN_EDGE),
            # delete_ended_tasks: who knows that a task has ended, and may still ask for its result.
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


class Parent(NamedTuple):
    """A task that others are to wait for, locked by the caller's transaction."""

    id: UUID
    ended: bool


def parents_of(new: NewTask) -> list[UUID]:
    """The tasks that a checked one depends on, each once."""
    return list(dict.fromkeys(map(UUID, new.depends_on or ())))


def hold_parents(cursor: Cursor, children: Iterable[NewTask], made: Iterable[UUID] = ()) -> bool:
    """Lock the tasks that new ones depend on, but those ``made`` with them, and mark that they have dependents.

    Until the caller's commit, none of them can lose its mark. Return whether any has ended. Raises `InvalidTask` that
    names one which there is not.
    """
    wanted = {parent for new in children for parent in parents_of(new)} - set(made)
    if not wanted:
        return False
    cursor.execute(statement("hold_parents"), {"ids": list(wanted)})
    found = [Parent._make(row) for row in cursor.fetchall()]
    if missing := wanted - {parent.id for parent in found}:
        raise InvalidTask({"dependsOn": f"there is no task {min(missing)}"})
    return any(parent.ended for parent in found)


def add_edges(cursor: Cursor, children: Mapping[UUID, NewTask]) -> None:
    """Store the edges of new tasks, and what joins them. In the transaction that stores the tasks."""
    edges = [(child, parent) for child, new in children.items() for parent in parents_of(new)]
    cursor.execute(
        statement("add_edges"),
        {
            "children": [child for child, _ in edges],
            "parents": [parent for _, parent in edges],
            "tasks": list(children),
            "run_ifs": [new.run_if for new in children.values()],
            "otherwises": [new.otherwise for new in children.values()],
        },
    )


def join_of(child: UUID) -> TaskJoin | None:
    """When a task runs that was created with others to depend on; None for any other."""
    return TaskJoin.objects.filter(pk=child).first()


def edges_of(child: UUID) -> list[tuple[UUID, str | None]]:
    """The tasks that one depends on, 1,000 at most, and how each has ended. Index: the primary key."""
    return list(TaskEdge.objects.filter(child_id=child).order_by("parent_id").values_list("parent_id", "outcome"))


def children_of(parent: UUID, *, most: int) -> list[UUID]:
    """Tasks that wait for one, and do not know of its end. Index: task_edges_open."""
    return list(
        TaskEdge.objects.filter(OPEN_EDGE, parent_id=parent)
        .order_by("child_id")
        .values_list("child_id", flat=True)[:most]
    )


def check_inputs(task_id: UUID, task_type: str, payload: Any) -> None:
    """Raise `InvalidTask` when a new payload of a task takes results of what it does not depend on."""
    if takes_results(task_type, payload):
        parents = (parent for parent, _ in edges_of(task_id))
        if problems := input_problems(task_type, payload, parents):
            raise InvalidTask(problems)


def values_of(new: NewTask, *, has_dependents: bool) -> tuple[int, bool]:
    """The values of `COLUMNS` of a new task."""
    return Gate.DEPENDENCY if new.depends_on else Gate.OPEN, has_dependents
