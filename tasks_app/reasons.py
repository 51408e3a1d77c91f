"""Why a task is not running: a hook. What decides about starts is another app; it says here what holds a task back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tasks_app.models import Task


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a task is not running now. ``until``: when the reason ends by itself, if that is known.

    ``links`` are paths of the API by what is there: the queue, the task, the tasks that are meant. ``tasks`` are the
    first of those that are in the way, where the detail names them.
    """

    code: str
    detail: str
    until: datetime | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[UUID] = ()


_hooks: list[Callable[[Task], list[Reason]]] = []


def register(why: Callable[[Task], list[Reason]]) -> None:
    """Add a function that returns reasons; it is called for tasks in any state."""
    if why not in _hooks:
        _hooks.append(why)


def reasons_for(task: Task) -> list[Reason]:
    """Every reason why a task is not running now; empty for one that runs or is about to."""
    return [reason for why in _hooks for reason in why(task)]
