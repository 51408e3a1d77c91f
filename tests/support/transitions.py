"""The changes of a task's status that are published: what the engine, its model and ``docs/architecture.md`` are held
against. The guarded statements make them; no code of the product reads such a table."""

from __future__ import annotations

from typing import Final

from tasks_app.states import TaskStatus

_PUBLISHED: Final = """
    PENDING   > SCHEDULED CANCELLED FAILED
    SCHEDULED > RUNNING PENDING CANCELLED FAILED
    RUNNING   > SUCCESS FAILED CANCELLED PENDING
    SUCCESS   > PENDING
    FAILED    > PENDING
    CANCELLED > PENDING
"""
TRANSITIONS: Final[frozenset[tuple[TaskStatus, TaskStatus]]] = frozenset(
    (TaskStatus(source.strip()), TaskStatus(target))
    for source, _, targets in (line.partition(">") for line in _PUBLISHED.strip().splitlines())
    for target in targets.split()
)


def is_legal(source: str, target: str) -> bool:
    return (source, target) in TRANSITIONS
