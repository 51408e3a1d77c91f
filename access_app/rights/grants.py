"""What follows from the table: scopes that somebody may give to a key, and the permissions of the roles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from access_app.rights.callers import Person
from access_app.rights.table import Action, Role, Scope
from access_app.rights.task_types import type_scopes


def scopes() -> list[str]:
    """Every scope a key may have here: ours, then those that task types of third parties name."""
    return [*_OURS, *sorted(type_scopes() - set(_OURS))]


def grantable(person: Person) -> list[str]:
    """The scopes a person may give to a key: each only if they may do themselves everything that it allows."""
    if person.account.is_superuser:
        return scopes()
    types = type_scopes()  # of people, only superusers may have such tasks run
    return [scope for scope, allowed in _ALLOWED.items() if scope not in types and all(map(person.may, allowed))]


def _allowed_by(scope: Scope) -> list[Action]:
    return [action for action in Action if any(scope in (way.scopes or ()) for way in action.ways)]


def permissions_of(role: Role) -> frozenset[str]:
    """The Django permissions a role has: those of every action that it, or a role before it, is the least one for."""
    roles: Iterable[Role] = tuple(Role)[: tuple(Role).index(role) + 1]
    return frozenset[str]().union(*(action.permissions for action in Action if action.role in roles))


_OURS: Final = [str(scope) for scope in Scope]
#: Everything that a scope allows; a scope that no action asks for is not here.
_ALLOWED: Final = {str(scope): allowed for scope in Scope if (allowed := _allowed_by(scope))}
