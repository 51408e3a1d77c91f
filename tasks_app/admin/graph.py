"""A graph of tasks that depend on each other, ready to be drawn: a picture, and the same in words as layers of rows.

The picture has no script and no inline style: where things lie is attributes, how they look is classes. Its texts are
cut to the room there is, and everything of others is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString

from access_app.staff import display
from access_app.staff.outputs import summary
from tasks_app.admin.graph_drawing import HEIGHT, WIDTH, Place, cut, line_between, plan_of
from tasks_app.fields import ASKED
from tasks_app.layering import layers_of
from tasks_app.models import Task
from tasks_app.neighbourhood import MOST_OUTSIDE, EdgeNear, Near, Neighbourhood, tasks_around
from tasks_app.states import ErrorCode, RunIf, TaskStatus

#: Batches among what tasks depend on; more are named in the list only.
MOST_BATCHES: Final = 50
#: Of what one task depends on, so many are named in the list.
_MOST_NAMED: Final = 6
_RULES: Final = next(row.kind.words for row in ASKED if row.column == "run_if")
_FELL: Final = frozenset({ErrorCode.DEPENDENCY_FAILED, ErrorCode.BATCH_FAILED})
#: The shape of a status beside its word, as an SVG path in a square of twelve.
_CIRCLE: Final = "M6 1.5a4.5 4.5 0 1 0 .01 0z"
_SHAPES: Final = {
    TaskStatus.SCHEDULED: f"{_CIRCLE}M6 3.6V6l2 1.4",
    TaskStatus.RUNNING: "M3 1.5l7.5 4.5L3 10.5z",
    TaskStatus.SUCCESS: "M1.5 6.5l3 3.2L10.5 2.3",
    TaskStatus.FAILED: "M2 2l8 8M10 2L2 10",
    TaskStatus.CANCELLED: "M1.5 6h9",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A task, or a batch that others wait for. ``fell``: it failed, or never ran because others did."""

    id: UUID
    name: str
    what: str
    status: str
    url: str
    link: SafeString
    attempts: str = ""
    rule: str = ""
    rule_words: str = ""
    made_as: str = ""
    fell: bool = False
    of_batch: bool = False
    is_here: bool = False

    @property
    def words(self) -> str:
        return self.status.replace("_", " ")

    @property
    def tone(self) -> str:
        return display.tone(self.status)

    @property
    def shape(self) -> str:
        return _SHAPES.get(TaskStatus(self.status), _CIRCLE) if self.status in set(TaskStatus) else _CIRCLE

    @property
    def badge(self) -> SafeString:
        return display.badge(self.status)

    @property
    def short_id(self) -> str:
        return display.short_id(self.id)

    @property
    def heading(self) -> str:
        return cut(f"batch {self.name}" if self.of_batch else self.name, 11 if not self.of_batch else 25)

    @property
    def subject(self) -> str:
        return cut(self.what)

    @property
    def footing(self) -> str:
        return f"{self.words} · {self.made_as or self.attempts}".removesuffix(" · ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node where it lies. ``from_outside``, ``to_outside``: a line to what is not shown leads there."""

    node: Node
    place: Place
    has_parents: bool
    from_outside: bool
    to_outside: bool

    @property
    def arrow(self) -> str:
        return f"M{self.place.x + WIDTH // 2} {self.place.y}l-4.5 -8h9z"

    @property
    def stubs(self) -> list[str]:
        x, y = self.place.x, self.place.y
        up, down = f"M{x + 20} {y}v-16", f"M{x + WIDTH - 20} {y + HEIGHT}v16"
        return [path for path, leads in ((up, self.from_outside), (down, self.to_outside)) if leads]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A node in words: what it depends on as links with how each has ended, and whether there are more of these."""

    node: Node
    parents: list[tuple[SafeString, str]]
    more_parents: bool
    to_outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What the template draws."""

    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT
    boxes: list[Box]
    #: Paths, and their classes.
    lines: list[tuple[str, str]]
    layers: list[list[Row]]
    tasks: str
    #: Empty where nobody has counted.
    total: str
    drawn_edges: str
    more_tasks: bool
    more_edges: bool


@dataclass(frozen=True, slots=True)
class Extra:
    """What is drawn with the tasks of a batch: its follow-ups by what they are, and batches by name and status."""

    made: Mapping[UUID, str] = field(default_factory=dict)
    batches: Mapping[UUID, tuple[str, str]] = field(default_factory=dict)


NOTHING_MORE: Final = Extra()


def graph_around(task: Task) -> Graph | None:
    """A task and those near it; None for one that depends on nothing, and nothing on it."""
    return graph_of(tasks_around(task.pk), here=task.pk)


def graph_of(
    near: Neighbourhood, extra: Extra = NOTHING_MORE, *, here: UUID | None = None, total: int | None = None
) -> Graph | None:
    """A picture of tasks and the batches they depend on; None where nothing depends on anything.

    ``here`` stands out; ``total`` is how many tasks there are in all, where that is known.
    """
    if not (near.edges or near.outer):
        return None
    nodes = {task.id: _of_task(task, extra, here) for task in near.tasks} | _batches(near, extra)
    if len(nodes) < 2:
        return None
    edges = [edge for edge in near.edges if edge.parent_id in nodes]
    last = [key for key in nodes if key in extra.made]
    layers = layers_of([key for key in nodes if key not in extra.made], [edge[:2] for edge in edges])
    return _drawn(nodes, [*layers, last] if last else layers, edges, near, total)


def _drawn(
    nodes: Mapping[UUID, Node],
    layers: list[list[UUID]],
    edges: Sequence[EdgeNear],
    near: Neighbourhood,
    total: int | None,
) -> Graph:
    plan = plan_of(layers)
    above: dict[UUID, list[EdgeNear]] = {}
    for edge in (*near.edges, *near.outer):
        above.setdefault(edge.child_id, []).append(edge)
    entered = {edge.child_id for edge in edges}
    from_outside = {edge.child_id for each in above.values() for edge in each if edge.parent_id not in nodes}
    to_outside = {edge.parent_id for edge in near.outer} & nodes.keys()
    boxes = [
        Box(
            node=node,
            place=plan.places[key],
            has_parents=key in entered,
            from_outside=key in from_outside,
            to_outside=key in to_outside,
        )
        for key, node in nodes.items()
    ]
    lines = [
        (line_between(plan.places[edge.parent_id], plan.places[edge.child_id]), _class_of(edge, nodes))
        for edge in edges
    ]
    rows = [[_row(nodes[key], above.get(key, []), nodes, key in to_outside) for key in layer] for layer in layers]
    return Graph(
        width=plan.width,
        height=plan.height,
        boxes=boxes,
        lines=sorted(lines, key=lambda line: "ts-fell" in line[1]),  # what failed is drawn over the rest
        layers=rows,
        tasks=display.number(len(near.tasks)),
        total="" if total is None else display.number(total),
        drawn_edges=display.number(len(near.edges)),
        more_tasks=near.more_tasks or (total is None and bool(near.outer)),
        more_edges=near.more_edges,
    )


def _of_task(task: Near, extra: Extra, here: UUID | None) -> Node:
    fell = task.status == TaskStatus.FAILED or task.end_reason in _FELL
    rule = task.run_if if task.run_if not in (None, RunIf.ALL_SUCCESS) else ""
    return Node(
        id=task.id,
        name=task.type,
        what=summary(task.line) or task.queue,
        status=task.status,
        url=reverse("admin:tasks_app_task_change", args=[task.id]),
        link=display.task_link(task.id),
        attempts=f"{task.attempt} attempt{'' if task.attempt == 1 else 's'}" if task.attempt else "",
        rule=(rule or "").replace("_", " "),
        rule_words=f"when {_RULES[task.run_if]}" if rule and task.run_if else "",
        made_as=extra.made.get(task.id, ""),
        fell=fell,
        is_here=task.id == here,
    )


def _batches(near: Neighbourhood, extra: Extra) -> dict[UUID, Node]:
    """Batches that tasks depend on, and those that were named. How one has ended its edges say."""
    ended = {edge.parent_id: edge.outcome or "" for edge in near.edges if edge.of_batch}
    found = {**{batch_id: ("", ended[batch_id]) for batch_id in list(ended)[:MOST_BATCHES]}, **extra.batches}
    return {batch_id: _of_batch(batch_id, name, status or "NOT_ENDED") for batch_id, (name, status) in found.items()}


def _of_batch(batch_id: UUID, name: str, status: str) -> Node:
    return Node(
        id=batch_id,
        name=name,
        what=display.short_id(batch_id),
        status=status,
        url=reverse("admin:workflows_app_batch_change", args=[batch_id]),
        link=display.batch_link(batch_id),
        fell=status == TaskStatus.FAILED,
        of_batch=True,
    )


def _class_of(edge: EdgeNear, nodes: Mapping[UUID, Node]) -> str:
    parent, child = nodes[edge.parent_id], nodes[edge.child_id]
    classes = ["ts-edge"]
    if parent.fell:
        classes.append("ts-fell")
    elif edge.outcome or parent.status == TaskStatus.SUCCESS:
        classes.append("ts-settled")
    if child.rule:
        classes.append("ts-ruled")
    return " ".join(classes)


def _row(node: Node, edges: Sequence[EdgeNear], nodes: Mapping[UUID, Node], to_outside: bool) -> Row:
    waited_first = sorted(edges, key=lambda edge: edge.outcome is not None)
    named = [(_link(edge, nodes), (edge.outcome or "has not ended").lower()) for edge in waited_first[:_MOST_NAMED]]
    outside = sum(edge.parent_id not in nodes for edge in edges)
    more = len(edges) > _MOST_NAMED or outside >= MOST_OUTSIDE
    return Row(node=node, parents=named, more_parents=more, to_outside=to_outside)


def _link(edge: EdgeNear, nodes: Mapping[UUID, Node]) -> SafeString:
    if edge.parent_id in nodes:
        return nodes[edge.parent_id].link
    return display.batch_link(edge.parent_id) if edge.of_batch else display.task_link(edge.parent_id)
