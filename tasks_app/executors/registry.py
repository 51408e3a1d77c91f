"""Which executor runs which task type. A new type is one file beside this one and one line of `BUILT_IN`.

Third parties name a class by its dotted path in the TASK_EXECUTORS setting; a type named there replaces a built-in one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from tasks_app.executors.base import Executor, JsonObject, TypeDocs
from tasks_app.references import KindAt, Reference, read_references

BUILT_IN = (
    "tasks_app.executors.http.HttpExecutor",
    "tasks_app.executors.shell.ShellExecutor",
    "tasks_app.executors.dummy.DummyExecutor",
)


@cache
def executors() -> dict[str, Executor]:
    """Every known executor by task type. Raises ImportError for a dotted path that leads nowhere."""
    paths = (*BUILT_IN, *settings.SCHEDULER.executors)
    return {executor.type: executor for executor in (import_string(path)() for path in paths)}


def executor_for(task_type: str) -> Executor | None:
    """The executor of a task type, or None when this installation has none."""
    return executors().get(task_type)


def target_of(task_type: str, payload: JsonObject) -> str | None:
    """What tasks of this type and payload call, where the executor names it; the payload has been checked."""
    target = _targets().get(task_type)
    return None if target is None else target(payload)


def inputs_of(task_type: str, payload: JsonObject) -> tuple[list[Reference], dict[str, str]]:
    """What a payload takes from results, if its type can, and what is wrong with that, by field."""
    kind_at = _kinds().get(task_type)
    return ([], {}) if kind_at is None else read_references(payload, kind_at)


@cache
def _kinds() -> dict[str, KindAt]:
    found = {name: getattr(executor, "input_at", None) for name, executor in executors().items()}
    return {name: kind_at for name, kind_at in found.items() if kind_at is not None}


@cache
def _targets() -> dict[str, Callable[[JsonObject], str | None]]:
    found = {name: getattr(executor, "target", None) for name, executor in executors().items()}
    return {name: target for name, target in found.items() if target is not None}


def documented_types() -> dict[str, TypeDocs]:
    """What task types say of themselves, by type, for those that do."""
    found = {name: getattr(executor, "docs", None) for name, executor in executors().items()}
    return {name: docs for name, docs in found.items() if docs is not None}
