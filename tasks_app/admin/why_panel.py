"""Why a task is not running, on its page: each reason with where it leads and what the viewer may do about it.

Where that is, other apps know; they say so through a hook, as they give the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.safestring import SafeString

from access_app.rights import Person
from access_app.staff import display
from tasks_app.models import Task
from tasks_app.reasons import Reason, reasons_for

#: Of a longer detail the rest shows on hover: names in it are other people's.
LONGEST_DETAIL: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a reason leads, or what may be done about it (``acts``): with a question, posted when that is agreed to."""

    label: str
    url: str
    acts: bool = False
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One reason, ready to be drawn."""

    code: str
    detail: SafeString
    whole: str
    until: str
    until_exact: str
    #: Where there are several; the detail itself links to one.
    tasks: list[SafeString]
    links: list[Step]
    actions: list[Step]


_hooks: list[Callable[[Task, Reason, Person], Iterable[Step]]] = []


def register(steps: Callable[[Task, Reason, Person], Iterable[Step]]) -> None:
    """Add a function that says where a reason leads for somebody, and names nothing that they may not see or do."""
    if steps not in _hooks:
        _hooks.append(steps)


def why_panel(task: Task, person: Person, now: datetime) -> list[Shown]:
    """Every reason why a task is not running, for somebody who may see the task."""
    return [_shown(task, reason, person, now) for reason in reasons_for(task)]


def _shown(task: Task, reason: Reason, person: Person, now: datetime) -> Shown:
    steps = [step for hook in _hooks for step in hook(task, reason, person)]
    detail = display.words(reason.detail)  # before it is cut: half a URL does not show what to mask
    is_cut = len(detail) > LONGEST_DETAIL
    return Shown(
        code=reason.code,
        detail=display.with_links(detail[:LONGEST_DETAIL] + ("…" if is_cut else "")),
        whole=detail if is_cut else "",
        until=f"{display.span(reason.until - now)} from now" if reason.until and reason.until > now else "",
        until_exact=display.exact(reason.until),
        tasks=[display.task_link(task_id) for task_id in reason.tasks] if len(reason.tasks) > 1 else [],
        links=[step for step in steps if not step.acts],
        actions=[step for step in steps if step.acts],
    )
