"""What somebody asks for who makes a batch, and the checks every way in shares. Pure but for the executor registry.

Whether the batch it is to lie in takes more, and what its tasks wait for, is the database's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from access_app.refusals import InvalidInput, inside
from access_app.texts import problem_of_line
from tasks_app.approving import group_problem
from tasks_app.fields import ASKED, NewTask
from workflows_app.batch_rules import FollowUp

MAX_NAME: Final = 200
MAX_FAILURES: Final = 1_000_000
_PERCENT: Final = re.compile(r"([1-9][0-9]?|100)%", re.ASCII)
_FAIL_FAST: Final = f'must be a whole number from 1 to {MAX_FAILURES}, or a part of the tasks from "1%" to "100%"'
_OF_ONE_CALL: Final = "is not taken here: it is made when the batch is done"
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
_UNIQUE: Final = "is not taken here: it is made whenever the batch is done"


class InvalidBatch(InvalidInput):
    """A batch that cannot be made. ``problems`` maps a JSON field path to one sentence."""


class FailFast(NamedTuple):
    """So many failures, or so large a part of all tasks, and the rest is cancelled."""

    limit: int
    percent: bool

    def __str__(self) -> str:
        return f"{self.limit}%" if self.percent else str(self.limit)

    @property
    def json(self) -> int | str:
        """As it was asked for."""
        return str(self) if self.percent else self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch to make, but for its tasks."""

    name: str = ""
    open: bool = False
    fail_fast: FailFast | None = None
    parent_id: UUID | None = None
    follow_ups: Mapping[FollowUp, NewTask] = field(default_factory=dict)


def check_batch(new: NewBatch) -> None:
    """Raise `InvalidBatch` that names every bad field."""
    if problems := batch_problems(new) or group_problems(new):
        raise InvalidBatch(problems)


def batch_problems(new: NewBatch) -> dict[str, str]:
    """What is wrong with its fields."""
    problems: dict[str, str] = {}
    if not new.name:
        problems["name"] = "must not be empty"
    elif problem := problem_of_line(new.name, MAX_NAME):
        problems["name"] = problem
    for which, task in new.follow_ups.items():
        problems |= inside(which, follow_up_problems(task))
    return problems


def group_problems(new: NewBatch) -> dict[str, str]:
    """What is wrong with the groups that it names."""
    found = {which: group_problem([task.approval]) for which, task in new.follow_ups.items()}
    return {f"{which}.approval.of": problem for which, problem in found.items() if problem}


def follow_up_problems(task: NewTask) -> dict[str, str]:
    """What a task that is made later cannot ask for: what is decided when it is created."""
    named = {row.name: _OF_ONE_CALL for row in ASKED if not row.template and getattr(task, row.column) != row.default}
    return named | ({} if task.unique_key is None else {"uniqueKey": _UNIQUE})


def watched_of(tasks: Sequence[NewTask], ids: Sequence[UUID]) -> UUID | None:
    """The task of a new batch at whose end somebody looks at the batch: the one that probably ends last.

    Any would do. If others are open then, one of these is watched (``batch_endings``).
    """

    def lateness(place: int) -> tuple[bool, datetime, int, int]:
        new = tasks[place]
        return bool(new.depends_on), new.schedule_at or _AT_ONCE, -new.priority, place

    return ids[max(range(len(tasks)), key=lateness)] if tasks else None


def read_fail_fast(value: Any) -> FailFast:
    """``n``, or ``"p%"``. Raises ValueError with one sentence."""
    if type(value) is int and 1 <= value <= MAX_FAILURES:
        return FailFast(value, percent=False)
    if isinstance(value, str) and _PERCENT.fullmatch(value):
        return FailFast(int(value[:-1]), percent=True)
    raise ValueError(_FAIL_FAST)
