"""Which task types need a scope of their own. Said by the app that runs them: nothing here knows what a task is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

#: Type → the scope that running such tasks needs, or None. The app that knows task types sets it when it starts.
Types = Mapping[str, str | None]

_known: list[Callable[[], Types]] = []
#: Of a type that this installation does not know: the strongest.
_UNKNOWN: Final = "tasks:shell"


def register(types: Callable[[], Types]) -> None:
    """Name the function that returns all types of this installation. The last one counts."""
    _known[:] = [types]


def type_scope(task_type: str) -> str | None:
    """The scope that running tasks of a type needs. Of a type this installation does not know: the strongest."""
    return _types().get(task_type, _UNKNOWN)


def type_scopes() -> frozenset[str]:
    """Every scope that some type needs."""
    return frozenset(scope for scope in _types().values() if scope)


def _types() -> Types:
    return _known[0]() if _known else {}
