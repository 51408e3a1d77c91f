"""The checks of a new task that every way in shares (API, admin, Python code).

Pure but for the executor registry. Field names in problems are those of the JSON API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from access_app.refusals import InvalidInput, bounded, problems_at
from access_app.rights import Action
from access_app.texts import JSON_NUL
from tasks_app.executors.base import JsonObject, PayloadError
from tasks_app.executors.registry import executor_for, executors, inputs_of
from tasks_app.fields import ASKED, NewTask
from tasks_app.references import MARK, filled, stand_ins
from tasks_app.states import OnBusy, OnDuplicate, Otherwise, RunIf

MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
EXPIRES_TOO_EARLY: Final = "must lie after scheduleAt: the task would expire before it is due"
#: Fields that `joint_problems` compares, which takes readable ones.
_JOINT: Final = {
    *("scheduleAt", "expiresAt", "onBusy", "onDuplicate", "debounceSeconds", "debounceMaxSeconds"),
    *("dependsOn", "runIf", "otherwise", "approval"),
}
_CHECKS: Final = tuple((row.name, row.default, row.kind.check or row.kind.read) for row in ASKED)
_values_of: Final = attrgetter(*(row.column for row in ASKED))


class InvalidTask(InvalidInput):
    """A task that cannot be created. ``problems`` maps a JSON field path to one sentence."""


def check_task(new: NewTask, *, read: bool = False) -> str:
    """Check a task and return its payload as JSON text, dumped once. Raises `InvalidTask` naming every bad field.

    ``read``: each field was read from JSON by its kind, which has checked it.
    """
    problems: dict[str, str] = {}
    text = check_payload(new.type, new.payload, problems)
    problems |= joint_problems(new) if read else field_problems(new)
    if MARK in text and not problems:
        parents = [UUID(each) for each in new.depends_on or () if isinstance(each, str)]
        problems = input_problems(new.type, new.payload, parents)
    if problems:
        raise InvalidTask(problems)
    return text


def field_problems(new: NewTask) -> dict[str, str]:
    """What is wrong with the fields other than type and payload."""
    problems: dict[str, str] = {}
    for value, (name, default, check) in zip(_values_of(new), _CHECKS, strict=True):
        try:
            if value is not default:
                check(value)
        except ValueError as error:
            problems |= problems_at(name, error)
    return problems if problems.keys() & _JOINT else joint_problems(new) | problems


def joint_problems(new: NewTask) -> dict[str, str]:
    """What is wrong with fields together, each of which may be right."""
    alone = order_problems(new) | duplicate_problems(new) | busy_problems(new)
    return alone | dependency_problems(new) | approval_problems(new)


def order_problems(new: NewTask) -> dict[str, str]:
    """Both times as they were asked for: without a clock, the same request is taken or refused whenever it comes."""
    if new.schedule_at is None or new.expires_at is None or new.expires_at > new.schedule_at:
        return {}
    return {"expiresAt": EXPIRES_TOO_EARLY}


def duplicate_problems(new: NewTask) -> dict[str, str]:
    """What is asked for in case of a duplicate must mean something: a misspelt rule would look like one that holds."""
    postpones = new.on_duplicate == OnDuplicate.POSTPONE
    problems: dict[str, str] = {}
    if new.unique_key is None and new.on_duplicate != OnDuplicate.RETURN:
        problems["onDuplicate"] = "means nothing without uniqueKey"
    if not postpones:
        for name, seconds in (
            ("debounceSeconds", new.debounce_seconds),
            ("debounceMaxSeconds", new.debounce_max_seconds),
        ):
            if seconds is not None:
                problems[name] = "is for onDuplicate postpone"
        return problems
    if new.debounce_seconds is None:
        problems["debounceSeconds"] = "is required with onDuplicate postpone"
    elif new.debounce_max_seconds is not None and new.debounce_max_seconds < new.debounce_seconds:
        problems["debounceMaxSeconds"] = "must not be less than debounceSeconds"
    if new.schedule_at is not None:
        problems["scheduleAt"] = "is not taken with onDuplicate postpone: debounceSeconds says when it is due"
    return problems


def busy_problems(new: NewTask) -> dict[str, str]:
    """As `duplicate_problems`. With a unique key there is one open task at most, and nothing left to decide."""
    if new.on_busy == OnBusy.QUEUE:
        return {}
    if new.concurrency_key is None:
        return {"onBusy": "means nothing without concurrencyKey"}
    return {} if new.unique_key is None else {"onBusy": "is not taken with uniqueKey: use onDuplicate"}


def dependency_problems(new: NewTask) -> dict[str, str]:
    """As `duplicate_problems`. What is there already, or makes way, has no place among the parents of another task."""
    if not new.depends_on:
        rules = {"runIf": new.run_if != RunIf.ALL_SUCCESS, "otherwise": new.otherwise != Otherwise.CANCEL}
        return {name: "means nothing without dependsOn" for name, said in rules.items() if said}
    for parent in new.depends_on:
        try:
            UUID(parent if isinstance(parent, str) else str(parent.id))
        except ValueError:
            return {"dependsOn": f"{parent} is neither the id of a task nor a ref of this call"}
    if new.unique_key is not None:
        return {"dependsOn": "is not taken with uniqueKey"}
    return {} if new.on_busy == OnBusy.QUEUE else {"dependsOn": "is not taken with onBusy"}


def approval_problems(new: NewTask) -> dict[str, str]:
    """As `dependency_problems`: what is approved is what runs, so no other task takes its place."""
    if new.approval is None:
        return {}
    if new.unique_key is not None:
        return {"approval": "is not taken with uniqueKey"}
    return {} if new.on_busy == OnBusy.QUEUE else {"approval": "is not taken with onBusy"}


def input_problems(task_type: str, payload: Any, parents: Iterable[UUID]) -> dict[str, str]:
    """What is wrong with the tasks that a payload takes results of: they are among those its own depends on."""
    references, _ = inputs_of(task_type, payload)
    parents, problems = set(parents), {}
    for each in references:
        try:
            known = UUID(each.task) in parents
        except ValueError:
            problems[f"{each.field}.$from"] = f"{each.task} is neither the id of a task nor a ref that dependsOn names"
        else:
            if not known:
                problems[f"{each.field}.$from"] = f"{each.task} is not among dependsOn: name it there, too"
    return bounded(problems.items())


def depending_on_inputs(new: NewTask) -> NewTask:
    """A task that depends on those whose results it takes and on no others, and runs when all have ended, however."""
    references, _ = inputs_of(new.type, new.payload)
    parents = tuple(dict.fromkeys(each.task for each in references))
    return replace(new, depends_on=parents, run_if=RunIf.ALL_DONE) if parents else new


def takes_results(task_type: str, payload: Any) -> bool:
    """Whether a checked payload takes anything from results of other tasks."""
    return bool(inputs_of(task_type, payload)[0])


def further_actions(new: NewTask, text: str = MARK) -> list[Action]:
    """What its caller must be allowed to do to other tasks, besides creating this one.

    ``text`` is the payload as `check_task` returned it, which spares a look at most.
    """
    needs = []
    if MARK in text and takes_results(new.type, new.payload):
        needs.append(Action.TASK_READ)  # a result may be sent anywhere
    if new.on_duplicate in (OnDuplicate.REPLACE, OnDuplicate.POSTPONE):
        needs.append(Action.TASK_EDIT)
    if new.on_busy == OnBusy.CANCEL_RUNNING:
        needs.append(Action.TASK_CANCEL)
    return needs


def bulk_problems(new: NewTask) -> dict[str, str]:
    """What a task of many cannot ask for: other tasks are changed one at a time."""
    if new.on_duplicate in (OnDuplicate.REPLACE, OnDuplicate.POSTPONE):
        return {"onDuplicate": "must be return or reject here: a bulk call changes no other task"}
    if new.on_busy != OnBusy.QUEUE:
        return {"onBusy": "must be queue here: it is decided for one task at a time"}
    return {}


def member_problems(new: NewTask) -> dict[str, str]:
    """What a task of a batch cannot ask for besides: an open task of its unique key would stand outside of it."""
    taken = {} if new.unique_key is None else {"uniqueKey": "is not taken in a batch, which is made of new tasks"}
    return bulk_problems(new) | taken


def check_payload(task_type: str, payload: Any, problems: dict[str, str]) -> str:
    """Check type and payload, add what is wrong to ``problems``, and return the payload as JSON text."""
    executor = executor_for(task_type)
    if executor is None:
        problems["type"] = f"must be one of {', '.join(sorted(executors()))}"
        return "{}"
    if not isinstance(payload, dict):
        problems["payload"] = "must be an object"
        return "{}"
    try:
        text = json_text(payload) if payload else "{}"
        if len(text) > MAX_PAYLOAD_BYTES // 4 and len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"must not be larger than {MAX_PAYLOAD_BYTES} bytes of JSON")  # noqa: TRY301
    except ValueError as error:
        problems["payload"] = str(error)
        return "{}"
    try:
        executor.validate(_with_stand_ins(task_type, payload) if MARK in text else payload)
    except PayloadError as error:
        problems.update({f"payload.{name}": text for name, text in error.problems.items()})
    return text


def _with_stand_ins(task_type: str, payload: JsonObject) -> JsonObject:
    """A payload as it can be checked before the results are known that it refers to. Raises `PayloadError`."""
    references, wrong = inputs_of(task_type, payload)
    if wrong:
        raise PayloadError(wrong)
    checked: JsonObject = filled(payload, stand_ins(references))
    return checked


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def json_text(value: Any) -> str:
    """A JSON value as text that PostgreSQL's jsonb, and every reader after it, takes. Raises ValueError: why not."""
    try:
        text = _encode(value)
        text.encode()
    except RecursionError:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    except (TypeError, ValueError):
        raise ValueError("must be JSON: no NaN, no infinity") from None
    if "\\u0000" in text and JSON_NUL.search(text):
        raise ValueError("must not contain NUL characters")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
    return text


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
