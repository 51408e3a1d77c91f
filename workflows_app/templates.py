"""A batch that is made again and again: the body of ``POST /batches`` as a schedule keeps it, read and checked. Pure.

Its tasks depend on each other alone: whatever else there is now has ended, or is gone, when a later slot comes. They
are read with ids that stand in for those they get, and are given these without being read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from access_app.http.fields import Fields, anything, or_null, read_fields, text
from access_app.refusals import InvalidInput, bounded, inside
from tasks_app.api.bulk import MAX_EDGES
from tasks_app.api.inputs import CheckedTask, read_task
from tasks_app.api.refs import read_refs, resolved
from tasks_app.edges import parents_of
from tasks_app.executors.base import JsonObject
from tasks_app.fields import NewTask
from tasks_app.graphs import circles
from tasks_app.new_tasks import json_text, member_problems, takes_results
from tasks_app.references import MARK, renamed
from workflows_app.batch_rules import FollowUp
from workflows_app.new_batches import InvalidBatch, NewBatch, batch_problems, read_fail_fast

#: Most tasks of one: a scheduler makes them in one transaction, beside what else is due.
MAX_TASKS: Final = 1000
#: What a body says of a batch that is made at once or again and again, but for its tasks.
FIELDS: Final[Fields] = {
    "name": ("name", text),
    "failFast": ("fail_fast", or_null(read_fail_fast)),
    **{str(which): (which, anything) for which in FollowUp},
}
_OF_ONE_BATCH: Final = "is not taken here: the batch of a slot stands alone, and ends when its tasks have"
_OF_ONE_TIME: Final = "is not taken here: each task of a schedule has a time of its own"
_OUTSIDE: Final = "must be refs of tasks of this batch: others are gone when a later slot comes"
_STAND_IN: Final = 0x00000000_0000_7000_8000_000000000000


def _tasks(value: Any) -> Any:
    if type(value) is not list or not 1 <= len(value) <= MAX_TASKS:
        raise ValueError(f"must be a list of 1 to {MAX_TASKS:,} tasks")
    return value


#: Taken of a batch that is made once.
_ELSEWHERE: Final = ("open", "parentBatchId")
_FIELDS: Final[Fields] = {**FIELDS, "tasks": ("tasks", _tasks), **{name: (name, anything) for name in _ELSEWHERE}}


@dataclass(frozen=True, slots=True)
class BatchTemplate:
    """What is made for each slot, with ids that stand in for those of its tasks."""

    new: NewBatch
    tasks: Sequence[CheckedTask]

    @property
    def size(self) -> int:
        return len(self.tasks)

    @property
    def rooms(self) -> list[tuple[str, str | None]]:
        return [(task.new.queue, task.new.concurrency_key) for task in self.tasks]

    def with_callback(self, callback: JsonObject) -> BatchTemplate:
        follow_ups = {which: _told(task, callback) for which, task in self.new.follow_ups.items()}
        tasks = [CheckedTask(_told(task.new, callback), task.text) for task in self.tasks]
        return BatchTemplate(replace(self.new, follow_ups=follow_ups), tasks)

    @property
    def takes_results(self) -> set[str]:
        return {
            task.new.type for task in self.tasks if MARK in task.text and takes_results(task.new.type, task.new.payload)
        }

    def members(self, ids: Sequence[UUID]) -> Iterator[CheckedTask]:
        """Its tasks, which depend on each other by these ids."""
        names = {str(stand_in(place)): str(task_id) for place, task_id in enumerate(ids)}
        for task in self.tasks:
            yield _named(task, names) if task.new.depends_on else task


def stand_in(place: int) -> UUID:
    """The id by which a task of a template is named in it."""
    return UUID(int=_STAND_IN + place + 1)


def read_template(asked: Any) -> BatchTemplate:
    """What was asked for. Raises `InvalidBatch` naming every bad field."""
    if type(asked) is not dict:
        raise InvalidBatch({"body": "must be an object"})
    problems: dict[str, str] = {}
    values = read_fields(asked, _FIELDS, problems)
    problems |= {name: "is required" for name in ("name", "tasks") if name not in asked}
    problems |= {name: _OF_ONE_BATCH for name in _ELSEWHERE if name in values}
    new = NewBatch(
        name=values.get("name", "-"), fail_fast=values.get("fail_fast"), follow_ups=read_follow_ups(values, problems)
    )
    problems = batch_problems(new) | problems
    tasks = _read_tasks(values.get("tasks", []), problems)
    if problems:
        raise InvalidBatch(bounded(problems.items()))
    return BatchTemplate(new, tasks)


def read_follow_ups(values: Mapping[Any, Any], problems: dict[str, str]) -> dict[FollowUp, NewTask]:
    """What is to be made at the end, of values that were read by `FIELDS`; adds what is wrong with it."""
    found: dict[FollowUp, NewTask] = {}
    for which in FollowUp:
        try:
            if values.get(which) is not None:
                found[which] = read_task(values[which]).new
        except InvalidInput as error:
            problems |= inside(str(which), error.problems)
    return found


def _read_tasks(items: list[Any], problems: dict[str, str]) -> list[CheckedTask]:
    """The tasks that can be read; adds what is wrong with the others, and with all of them together."""
    refs, wrong = read_refs(items)
    ids = [stand_in(place) for place in range(len(items))]
    found: dict[int, CheckedTask] = {}
    for place, item in enumerate(items):
        try:
            found[place] = read_task(resolved(item, refs, ids))
            said = _member_problems(found[place].new)
        except InvalidInput as error:
            said = error.problems
        said = said | _outer_problems(item, refs) | ({"ref": wrong[place]} if place in wrong else {})
        problems |= inside(f"tasks.{place}", said)
    if not problems:
        problems |= _circle_problems(found, {place: ref for ref, place in refs.items()})
    return list(found.values())


def _member_problems(new: NewTask) -> dict[str, str]:
    times = (("scheduleAt", new.schedule_at), ("expiresAt", new.expires_at))
    return member_problems(new) | {name: _OF_ONE_TIME for name, at in times if at is not None}


def _outer_problems(item: Any, refs: Mapping[str, int]) -> dict[str, str]:
    """What is wrong with what a task as it came depends on: it names others of its batch, and by their refs."""
    named = item.get("dependsOn") if type(item) is dict else None
    if type(named) is not list or all(isinstance(each, str) and each in refs for each in named):
        return {}
    return {"dependsOn": _OUTSIDE}


def _circle_problems(tasks: Mapping[int, CheckedTask], names: Mapping[int, str]) -> dict[str, str]:
    parents = {place: [each.int - _STAND_IN - 1 for each in parents_of(task.new)] for place, task in tasks.items()}
    if sum(map(len, parents.values())) > MAX_EDGES:
        return {"tasks": f"must not have more than {MAX_EDGES:,} dependsOn in all"}
    found = circles({place: above for place, above in parents.items() if above}, names)
    return {f"tasks.{place}.dependsOn": said for place, said in found.items()}


def _told(task: NewTask, callback: JsonObject) -> NewTask:
    return replace(task, callback=callback) if task.callback is None else task


def _named(task: CheckedTask, names: Mapping[str, str]) -> CheckedTask:
    """The task with the ids that others get, for those that stand in for them."""
    new = replace(task.new, depends_on=[names[str(each)] for each in parents_of(task.new)])
    if MARK not in task.text:
        return CheckedTask(new, task.text)
    payload: JsonObject = renamed(new.payload, names)
    return CheckedTask(replace(new, payload=payload), json_text(payload))
