"""Batches that schedules make: this app's part of ``schedules_app/batch_templates.py``.

A batch is made in the transaction that writes the slot to the ledger. Its id, and those of its tasks, follow from the
schedule and the slot: whoever makes it a second time makes nothing. It is then a batch like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from access_app.ids import created_at, derived_id
from access_app.refusals import inside
from access_app.rights import Caller
from access_app.sql import Copying, Cursor, statement
from schedules_app.batch_templates import NewSlot
from schedules_app.stored import template_json
from tasks_app import edges
from tasks_app.approving import group_problem
from tasks_app.cancelling import cancel_tasks
from tasks_app.executors.base import JsonObject
from tasks_app.fields import NewTask
from tasks_app.inserting import COLUMNS, store_tasks, task_row
from tasks_app.new_tasks import InvalidTask
from tasks_app.notices import check_endpoints
from tasks_app.parents import WholeBatch
from tasks_app.states import RunIf
from workflows_app.api.batch_outputs import batch_json
from workflows_app.batch_rules import FollowUp
from workflows_app.new_batches import InvalidBatch, group_problems
from workflows_app.selectors import batch_of
from workflows_app.templates import BatchTemplate, read_template

#: One that was cancelled before stays so.
_STOP: Final = (
    "WITH stopped AS (UPDATE batches SET cancelled_at = now(), stopping = true, look = true, version = version + 1,"
    " updated_at = now() WHERE id = ANY(%(ids)s) AND finished_at IS NULL AND cancelled_at IS NULL RETURNING id)"
    " INSERT INTO audit_events (actor, action, target, reason)"
    " SELECT %(actor)s, 'batch.cancelled', 'batch:' || id, %(reason)s FROM stopped"
)
#: Index: tasks_batch_open.
_OWNED: Final = "SELECT id FROM tasks WHERE batch_id = ANY(%s) AND finished_at IS NULL AND worker_id IS NOT NULL"


class Maker:
    """See `batch_templates.Maker`."""

    def read(self, asked: JsonObject) -> BatchTemplate:
        return read_template(asked)

    def check(self, asked: JsonObject) -> None:
        template = read_template(asked)
        problems = group_problems(template.new)
        for where, task in _places(template):
            if problem := group_problem([task.approval]):
                problems[f"{where}.approval.of"] = problem
            problems |= inside(where, _endpoint_problems(task))
        if problems:
            raise InvalidBatch(problems)

    def make(self, cursor: Copying, slots: Sequence[NewSlot]) -> None:
        made = make_batches(cursor, slots)
        _make_members(cursor, [slot for slot in slots if slot.id in made])

    def cancel(self, cursor: Cursor, ids: Sequence[UUID], *, actor: str, reason: str) -> list[UUID]:
        cursor.execute(_STOP, {"ids": list(ids), "actor": actor, "reason": reason})
        cursor.execute(_OWNED, [list(ids)])
        owned = [(task_id, actor) for (task_id,) in cursor.fetchall()]
        return cancel_tasks(cursor, owned, reason=reason) if owned else []

    def shown(self, caller: Caller, batch_id: UUID) -> JsonObject:
        return batch_json(caller, batch_of(batch_id))


def member_id(batch_id: UUID, place: int) -> UUID:
    """The id of a task of a batch that a schedule makes, by its place in the template."""
    return derived_id(created_at(batch_id), f"{batch_id} {place}")


def make_batches(cursor: Cursor, slots: Sequence[NewSlot]) -> set[UUID]:
    """Make those of the batches that there are not, without their tasks; return their ids."""
    awaited = {batch for slot in slots for batch in slot.after[0]}
    rows = [_row(slot, awaited=slot.id in awaited) for slot in slots]
    columns = zip(*rows, strict=True)
    cursor.execute(statement("make_batches"), dict(zip(_COLUMNS, map(list, columns), strict=True)))
    return {batch_id for (batch_id,) in cursor.fetchall()}


_COLUMNS: Final = (
    *("ids", "created", "names", "awaited", "schedules", "slots", "limits", "percents"),
    *("on_completes", "on_successes", "on_failures", "created_by", "correlations", "keys"),
)


def _row(slot: NewSlot, *, awaited: bool) -> tuple[Any, ...]:
    new = _template_of(slot).new
    limit = new.fail_fast
    later = [new.follow_ups.get(which) for which in (FollowUp.COMPLETE, FollowUp.SUCCESS, FollowUp.FAILURE)]
    return (
        *(slot.id, created_at(slot.id), new.name, awaited, slot.schedule_id, slot.slot),
        *(limit and limit.limit, bool(limit and limit.percent)),
        *(task and json.dumps(template_json(task)) for task in later),
        *(slot.created_by, slot.correlation or None, slot.idempotency_key),
    )


def _make_members(cursor: Copying, slots: Sequence[NewSlot]) -> None:
    """Store the tasks of batches that were made just now, and what they wait for."""
    after = {task for slot in slots for task in slot.after[1]}
    there = {parent.id for parent in edges.hold_tasks(cursor, after)} if after else set()
    members = [(slot, *member) for slot in slots for member in _members(slot, there)]
    children = {task_id: new for _, task_id, new, _ in members if new.depends_on}
    parents = {parent for new in children.values() for parent in edges.parents_of(new)}
    rows = []
    for slot, task_id, new, text in members:
        row = task_row(task_id, new, text, slot.created_by, correlation=slot.correlation, now=slot.now)
        rows.append((*row, *edges.member_values(new, slot.id, has_dependents=task_id in parents), slot.slot))
    store_tasks(cursor, (*COLUMNS, *edges.MEMBER_COLUMNS, "scheduled_for"), rows)
    if children:
        edges.add_edges(cursor, children)


def _members(slot: NewSlot, there: set[UUID]) -> Iterator[tuple[UUID, NewTask, str]]:
    """The tasks of a batch. Those that wait for none of it wait for what the batch comes after, however that ends."""
    template = _template_of(slot)
    before: list[str | WholeBatch] = [*map(WholeBatch, slot.after[0]), *map(str, there.intersection(slot.after[1]))]
    ids = [member_id(slot.id, place) for place in range(template.size)]
    for task_id, task in zip(ids, template.members(ids), strict=True):
        new = task.new
        if before and not new.depends_on:
            new = replace(new, depends_on=before, run_if=RunIf.ALL_DONE)
        if slot.priority is not None:
            new = replace(new, priority=slot.priority)
        yield task_id, new, task.text


def _template_of(slot: NewSlot) -> BatchTemplate:
    assert isinstance(slot.template, BatchTemplate)
    return slot.template


def _places(template: BatchTemplate) -> Iterator[tuple[str, NewTask]]:
    yield from ((f"tasks.{place}", task.new) for place, task in enumerate(template.tasks))
    yield from ((str(which), task) for which, task in template.new.follow_ups.items())


def _endpoint_problems(task: NewTask) -> dict[str, str]:
    try:
        check_endpoints([task.callback])
    except InvalidTask as error:
        return error.problems
    return {}
