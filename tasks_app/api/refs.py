"""Tasks of one call that depend on each other: a ``ref`` names one of them for the others. Pure.

Ids are known before anything is stored, so a ref is replaced by the id of its task, and what remains are tasks that
depend on ids. Only within one call can they go round in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from tasks_app.references import renamed


def read_refs(items: Sequence[Any]) -> tuple[dict[str, int], dict[int, str]]:
    """Ref → place of the task that has it, and place → what is wrong with its ref."""
    places: dict[str, int] = {}
    problems: dict[int, str] = {}
    for place, item in enumerate(items):
        ref = item.get("ref") if type(item) is dict else None
        if not isinstance(ref, str):
            continue  # what it must be is said where it is read
        if ref in places:
            problems[place] = f"another task of this call has the ref {ref}"
        elif _is_id(ref):
            problems[place] = "must not look like the id of a task"
        elif "uniqueKey" in item:
            problems[place] = "is not taken with uniqueKey: the task that others depend on might be another one"
        else:
            places[ref] = place
    return places, problems


def resolved(item: Any, refs: Mapping[str, int], ids: Sequence[UUID]) -> Any:
    """The task that was asked for, with ids for the refs of others. What depends on none refers to none."""
    if type(item) is not dict or type(item.get("dependsOn")) is not list:
        return item
    names = {each: str(ids[refs[each]]) for each in item["dependsOn"] if _is_ref(each, refs)}
    if not names:
        return item
    named = {"dependsOn": [names.get(each, each) if isinstance(each, str) else each for each in item["dependsOn"]]}
    return item | named | ({"payload": renamed(item["payload"], names)} if "payload" in item else {})


def _is_ref(value: Any, refs: Mapping[str, int]) -> bool:
    return isinstance(value, str) and value in refs


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
