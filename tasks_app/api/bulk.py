"""Many tasks in one call: each is checked on its own, the good ones are stored in one statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from access_app.http.problems import Problem, field_errors
from access_app.http.renderers import dumps
from access_app.idempotency import Idempotency, answer_with, take_idempotency_key
from access_app.ids import new_task_ids
from access_app.refusals import and_more, bounded, count_of
from access_app.rights import Action, Caller
from tasks_app import services
from tasks_app.api import inputs
from tasks_app.api.errors import queue_full
from tasks_app.api.refs import read_refs, resolved
from tasks_app.bounds import QueueFull
from tasks_app.creating import Stored
from tasks_app.edges import batches_of, batches_there, parents_of
from tasks_app.executors.base import JsonObject
from tasks_app.fields import NewTask
from tasks_app.graphs import below_refused, circles
from tasks_app.new_tasks import InvalidTask, bulk_problems, member_problems, takes_results
from tasks_app.references import MARK
from tasks_app.selectors import statuses_of

MAX_TASKS: Final = 10_000
#: Bytes of JSON for why items were refused. An item that finds no room any more says how many errors it has.
#: With ids, or short refusals, for 10,000 items, a response stays below 2 MiB.
ROOM_FOR_ERRORS: Final = 512 * 1024
_NOT_STORED: Final = {"tasks": "not stored, because another task of this atomic call was refused"}

#: Most tasks that the tasks of one call depend on, counted for each of them.
MAX_EDGES: Final = 50_000

Refusal = dict[str, str]
Outcome = inputs.CheckedTask | Refusal


@dataclass(frozen=True, slots=True)
class BulkResult:
    document: JsonObject
    replayed: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """All tasks of a call, each of which can be stored, their ids, and the ids by ref."""

    tasks: list[inputs.CheckedTask]
    ids: list[UUID]
    refs: dict[str, UUID]

    def refuse_full(self, stored: Stored) -> None:
        """Raise `Problem` when some found no room: then none is to be stored."""
        if stored.full:
            refusals = _with_refused(list(self.tasks), stored)
            raise queue_full(services.full_for(stored), errors=_errors_of(refusals))


def create(body: Any, *, caller: Caller, atomic: bool, idempotency: Idempotency | None) -> BulkResult:
    """Store the tasks that can be stored (all or none when ``atomic``) and return one result for each, in order.

    Items that a full queue has no room for are refused, as those that are wrong. Raises `Problem` when none was stored,
    with the same results in it; `IdempotencyConflict`.
    """
    items = _read_tasks(body)
    fresh = new_task_ids(len(items))
    outcomes, _ = _outcomes(items, fresh, caller, bulk_problems)
    good = [outcome for outcome in outcomes if isinstance(outcome, inputs.CheckedTask)]
    if not good or (atomic and len(good) < len(outcomes)):
        raise _nothing_stored(outcomes)
    ids = [task_id for task_id, outcome in zip(fresh, outcomes, strict=True) if isinstance(outcome, inputs.CheckedTask)]
    document = _document(outcomes, Stored(ids))
    with transaction.atomic():
        if idempotency is not None:
            replay = take_idempotency_key(caller.name, idempotency, ids, document)
            if replay is not None:
                return BulkResult(replay.response, replayed=True)
        stored = services.store_tasks(
            [task.new for task in good],
            created_by=caller.name,
            texts=[task.text for task in good],
            ids=ids,
            idempotency=idempotency,
        )
        if stored.existing or stored.rejected or stored.full:
            document = _document(outcomes, stored)
            if not (document["created"] or document["existing"]) or (atomic and document["failed"]):
                raise _nothing_stored(
                    _with_refused(outcomes, stored), services.full_for(stored) if stored.full else None
                )
            if idempotency is not None:
                lives_with = None if document["created"] else stored.ids[min(stored.existing)]
                answer_with(caller.name, idempotency, stored.ids, document, lives_with=lives_with)
    return BulkResult(document, replayed=False)


def check_members(items: list[Any], *, caller: Caller, needs: Action = Action.TASK_CREATE) -> Checked:
    """The tasks of a call that are to be in a batch, all of them. Raises `Problem` when one cannot be stored.

    ``needs``: what it takes to have them run.
    """
    ids = new_task_ids(len(items))
    outcomes, refs = _outcomes(items, ids, caller, member_problems, needs)
    tasks = [outcome for outcome in outcomes if isinstance(outcome, inputs.CheckedTask)]
    if len(tasks) < len(outcomes):
        raise Problem.invalid(_errors_of(outcomes))
    return Checked(tasks, ids, {ref: ids[place] for ref, place in refs.items()})


def _read_tasks(body: Any) -> list[Any]:
    if type(body) is not dict:
        raise Problem.invalid({"body": 'must be an object: {"tasks":[…]}'})
    problems = {name[:100]: "unknown field" for name in body if name != "tasks"}
    tasks = body.get("tasks")
    if type(tasks) is not list or not 1 <= len(tasks) <= MAX_TASKS:
        problems["tasks"] = f"must be a list of 1 to {MAX_TASKS} tasks"
    if problems:
        raise Problem.invalid(problems)
    assert isinstance(tasks, list)
    return tasks


class _Refusals:
    """Why items were refused, as long as there is room in the response."""

    def __init__(self) -> None:
        self._room = ROOM_FOR_ERRORS

    def errors(self, refusal: Refusal) -> list[dict[str, str]]:
        errors = field_errors(refusal)
        needed = len(dumps(errors))
        if needed > self._room:
            return field_errors(and_more(count_of(refusal)))
        self._room -= needed
        return errors


def _outcomes(
    items: list[Any],
    ids: list[UUID],
    caller: Caller,
    problems: Callable[[NewTask], Refusal],
    needs: Action = Action.TASK_CREATE,
) -> tuple[list[Outcome], dict[str, int]]:
    """Each task of a call as it can be stored, or why it cannot; and the places of those with a ref."""
    refs, wrong = read_refs(items)
    outcomes = [_outcome(resolved(item, refs, ids), caller, problems, needs) for item in items]
    for place, text in wrong.items():
        outcomes[place] = _refused(outcomes[place], "ref", text)
    if any(isinstance(outcome, inputs.CheckedTask) and outcome.new.depends_on for outcome in outcomes):
        _refuse_dependents(outcomes, refs, ids)
    return outcomes, refs


def _refuse_dependents(outcomes: list[Outcome], refs: Mapping[str, int], ids: list[UUID]) -> None:
    """Refuse those that wait for each other, for a task that is not there, or for one of this call that is refused."""
    places, names = {task_id: place for place, task_id in enumerate(ids)}, {place: ref for ref, place in refs.items()}
    parents = {
        place: parents_of(outcome.new)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, inputs.CheckedTask) and outcome.new.depends_on
    }
    waits_for = {place: batches_of(outcomes[place].new) for place in parents}  # type: ignore[union-attr]  # as above
    if sum(map(len, [*parents.values(), *waits_for.values()])) > MAX_EDGES:
        raise Problem.invalid({"tasks": f"must not have more than {MAX_EDGES:,} dependsOn in all"})
    inner = {place: [places[each] for each in above if each in places] for place, above in parents.items()}
    for place, text in circles(inner, names).items():
        outcomes[place] = {"dependsOn": text}
    outer = {each for above in parents.values() for each in above if each not in places}
    there = statuses_of(outer) if outer else {}
    for place, above in parents.items():
        if missing := [each for each in above if each not in places and each not in there]:
            outcomes[place] = {"dependsOn": f"there is no task {missing[0]}"}
    _refuse_missing_batches(outcomes, waits_for)
    for place, parent in below_refused(inner, {at for at, each in enumerate(outcomes) if isinstance(each, dict)}):
        outcomes[place] = {"dependsOn": f"{names.get(parent, f'tasks.{parent}')}, on which it depends, was refused"}


def _refuse_missing_batches(outcomes: list[Outcome], waits_for: Mapping[int, list[UUID]]) -> None:
    if named := {each for batches in waits_for.values() for each in batches}:
        with connection.cursor() as cursor:
            missing = named - batches_there(cursor, named)
        for place, batches in waits_for.items():
            if lacks := missing.intersection(batches):
                outcomes[place] = {"dependsOn": f"there is no batch {min(lacks)}"}


def _refused(outcome: Outcome, name: str, text: str) -> Refusal:
    return {name: text} if isinstance(outcome, inputs.CheckedTask) else {**outcome, name: text}


def _outcome(item: Any, caller: Caller, problems: Callable[[NewTask], Refusal], needs: Action) -> Outcome:
    try:
        task = inputs.read_task(item)
    except InvalidTask as error:
        return bounded(error.problems.items())
    if text := caller.refusal(needs, task.new.type):
        return {"type": text}
    if wrong := problems(task.new):
        return wrong
    if MARK in task.text and takes_results(task.new.type, task.new.payload):
        text = caller.refusal(Action.TASK_READ, task.new.type)
    return {"payload": text} if text else task


def _with_refused(outcomes: list[Outcome], stored: Stored) -> list[Outcome]:
    """The outcomes, with what was refused because an open task has its unique key, or its queue is full."""
    refused: dict[int, Refusal] = {place: {full.field: str(full)} for place, full in stored.full.items()}
    refused |= {place: {"uniqueKey": f"the task {stored.ids[place]} has it"} for place in stored.rejected}
    places = iter(range(len(stored.ids)))
    return [
        refused.get(next(places), outcome) if isinstance(outcome, inputs.CheckedTask) else outcome
        for outcome in outcomes
    ]


def _document(outcomes: list[Outcome], stored: Stored) -> JsonObject:
    refused = stored.rejected | stored.full.keys()
    places, refusals = (place for place in range(len(stored.ids)) if place not in refused), _Refusals()
    items: list[JsonObject] = []
    for outcome in _with_refused(outcomes, stored):
        if not isinstance(outcome, inputs.CheckedTask):
            items.append({"errors": refusals.errors(outcome)})
            continue
        place = next(places)
        item = {"id": str(stored.ids[place])}
        items.append(item | {"existing": True} if place in stored.existing else item)
    made = len(stored.ids) - len(refused)
    return {
        "created": made - len(stored.existing),
        "existing": len(stored.existing),
        "failed": len(outcomes) - made,
        "items": items,
    }


def _errors_of(outcomes: list[Outcome]) -> Refusal:
    """What is wrong with the tasks of a call, by their places."""
    return bounded(
        (f"tasks.{index}.{name}", text)
        for index, refusal in enumerate(outcomes)
        if not isinstance(refusal, inputs.CheckedTask)
        for name, text in refusal.items()
    )


def _nothing_stored(outcomes: list[Outcome], full: QueueFull | None = None) -> Problem:
    """400; 429 when some were refused for want of room, and may be taken later."""
    refusals = [_NOT_STORED if isinstance(outcome, inputs.CheckedTask) else outcome for outcome in outcomes]
    errors, kept = _errors_of(outcomes), _Refusals()
    items = [{"errors": field_errors(r) if r is _NOT_STORED else kept.errors(r)} for r in refusals]
    more = {"created": 0, "existing": 0, "failed": len(refusals), "items": items}
    detail = "No task was stored; items says why, in the order of the tasks."
    if full is not None:
        return queue_full(full, detail=detail, errors=errors, more=more)
    return Problem(400, "invalid-request", detail, errors=errors, more=more)
