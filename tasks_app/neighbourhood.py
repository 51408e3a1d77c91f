"""The part of a graph of tasks that a page shows: a batch's tasks, or those around one. Reads only, and bounded.

Three statements whatever the size: which tasks, their rows, and the edges among them. What lies beyond
is known to be there, not read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Subquery, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Left

from access_app.sql import Cursor, statement
from tasks_app.edges import TaskJoin
from tasks_app.models import Task

MOST_TASKS: Final = 300
MOST_EDGES: Final = 1_000
#: How many of those a task depends on, and that depend on it, are looked for from it.
_BREADTH: Final = 100
#: Of a batch that is too large, what the look begins with: so many that did not succeed, are open, and succeeded.
_FIRST: Final = 10
#: Of what lies outside, so many are read of each task, to be named.
MOST_OUTSIDE: Final = 6
#: Of what a task does, so much is read.
_LONGEST: Final = 320


class Near(NamedTuple):
    """A task of the picture. ``line`` is the beginning of its URL or command; ``run_if`` is None for one without
    dependencies.
    """

    id: UUID
    type: str
    queue: str
    status: str
    attempt: int
    end_reason: str | None
    run_if: str | None
    line: str | None


class EdgeNear(NamedTuple):
    """What waits, and what it waits for: a task or a batch, and how that has ended."""

    child_id: UUID
    parent_id: UUID
    outcome: str | None
    of_batch: bool


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Tasks in the order of their ids, and edges. ``more_tasks``, ``more_edges``: there are such beyond the bound."""

    tasks: Sequence[Near]
    #: Among the tasks, and to batches.
    edges: Sequence[EdgeNear]
    #: One end of each is no task of these.
    outer: Sequence[EdgeNear]
    more_tasks: bool = False
    more_edges: bool = False


def tasks_around(task_id: UUID) -> Neighbourhood:
    """A task and those nearest to it, in both directions and over whatever others; ``outer`` leads to the rest."""
    with connection.cursor() as cursor:
        found = find_near(cursor, seeds=[task_id], first=0)
        return _read(cursor, found, more=len(found) > MOST_TASKS)


def tasks_in(batch_id: UUID, *, total: int, made: Collection[UUID] = ()) -> Neighbourhood:
    """The tasks of a batch that has ``total`` of them; of too many those around some of each kind.

    ``made`` are other tasks that are to be shown with them.
    """
    first = MOST_TASKS if total <= MOST_TASKS else _FIRST
    with connection.cursor() as cursor:
        found = find_near(cursor, batch_id=batch_id, first=first)
        return _read(cursor, found, made, more=min(len(found), MOST_TASKS) < total)


def find_near(
    cursor: Cursor, *, seeds: Sequence[UUID] = (), batch_id: UUID | None = None, first: int = _FIRST
) -> list[UUID]:
    """The tasks of a picture, nearest first, and one more than it has room for, if there is one."""
    cursor.execute(
        statement("find_near"),
        {"seeds": list(seeds), "batch": batch_id, "first": first, "breadth": _BREADTH, "most": MOST_TASKS + 1},
    )
    return [task_id for (task_id,) in cursor.fetchall()]


def find_edges_among(cursor: Cursor, ids: Collection[UUID]) -> list[EdgeNear]:
    """The edges among some tasks, one more than a picture has room for, and a few of those that lead out of them."""
    cursor.execute(statement("find_edges_among"), {"ids": list(ids), "most": MOST_EDGES + 1, "outside": MOST_OUTSIDE})
    return [EdgeNear._make(row) for row in cursor.fetchall()]


def _read(cursor: Cursor, found: Sequence[UUID], made: Collection[UUID] = (), *, more: bool) -> Neighbourhood:
    tasks = _tasks([*found[:MOST_TASKS], *made])
    edges = find_edges_among(cursor, [task.id for task in tasks])
    within = {task.id for task in tasks}
    inner = [edge for edge in edges if edge.of_batch or within.issuperset(edge[:2])]
    outer = [edge for edge in edges if not edge.of_batch and not within.issuperset(edge[:2])]
    return Neighbourhood(tasks, inner[:MOST_EDGES], outer, more, len(inner) > MOST_EDGES)


def _tasks(ids: Collection[UUID]) -> list[Near]:
    """Those of the tasks that there are, without their payloads, which may be large."""
    line: Any = Coalesce(*(KeyTextTransform(name, "payload") for name in ("url", "command", "argv")))
    join = TaskJoin.objects.filter(pk=OuterRef("pk")).values("run_if")
    rows = (
        Task.objects.filter(pk__in=ids)
        .order_by("id")
        .annotate(
            run_if=Subquery(join[:1], output_field=TextField()), line=Left(line, _LONGEST, output_field=TextField())
        )
    )
    columns = ("pk", "type", "queue", "status", "attempt", "end_reason", "run_if", "line")
    return [Near._make(row) for row in rows.values_list(*columns)]
