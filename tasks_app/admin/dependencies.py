"""What a task depends on and who waits for it, on its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from access_app.staff import display
from tasks_app.edges import Edge, children_of, edges_of, has_settled_children, join_of
from tasks_app.fields import ASKED
from tasks_app.models import Task

#: More are counted, not shown.
MOST_SHOWN: Final = 20
_WORDS: Final = {row.column: row.kind.words for row in ASKED if row.column in ("run_if", "otherwise")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """The rule in words, those it depends on with the badge of how each has ended, and those that wait for it."""

    rule: str
    parents: list[tuple[SafeString, SafeString | None]]
    more_parents: int
    children: list[SafeString]
    more_children: bool
    #: Some have seen its end, and are not shown.
    had_children: bool


def dependencies_of(task: Task) -> Dependencies | None:
    """None for one without any. Those that have seen the end of a task no longer wait for it; the graph shows them."""
    join, edges = join_of(task.pk), edges_of(task.pk)
    children = children_of(task.pk, most=MOST_SHOWN + 1) if task.has_dependents else []
    had_children = task.finished_at is not None and has_settled_children(task.pk)
    if join is None and not children and not had_children:
        return None
    shown = [(_link(edge), display.badge(edge.outcome) if edge.outcome else None) for edge in edges]
    rule = (
        ""
        if join is None
        else f"It runs when {_WORDS['run_if'][join.run_if]}; else {_WORDS['otherwise'][join.otherwise]}."
    )
    return Dependencies(
        rule=rule,
        parents=shown[:MOST_SHOWN],
        more_parents=max(0, len(shown) - MOST_SHOWN),
        children=[display.task_link(child) for child in children[:MOST_SHOWN]],
        more_children=len(children) > MOST_SHOWN,
        had_children=had_children,
    )


def _link(edge: Edge) -> SafeString:
    return display.batch_link(edge.parent_id) if edge.of_batch else display.task_link(edge.parent_id)
