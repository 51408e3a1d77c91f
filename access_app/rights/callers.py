"""Keys and people, and what the table says about them. Which task types need a scope is in `task_types`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Protocol

from access_app.rights.table import Action
from access_app.rights.task_types import type_scope

_NEEDS: Final = "This needs "


class Refused(Exception):
    """A caller may not do what it asked for. The text says what is missing."""


class Account(Protocol):
    """What is asked about a person: Django's user, or anything like one."""

    @property
    def is_superuser(self) -> bool: ...
    def get_username(self) -> str: ...
    def has_perm(self, permission: str, /) -> bool: ...


class Caller(ABC):
    """Somebody who has proved who they are. ``name`` is what ``createdBy`` and the audit trail record."""

    name: str

    def may(self, action: Action, task_type: str | None = None) -> bool:
        """Whether the table lets them. Without a type, for the types that need no scope of their own."""
        return self.refusal(action, task_type) is None

    def require(self, action: Action, task_type: str | None = None) -> None:
        """Raise `Refused` unless the table lets them."""
        if text := self.refusal(action, task_type):
            raise Refused(f"{text}.")

    def refusal(self, action: Action, task_type: str | None = None) -> str | None:
        """Why not, without a full stop; None when they may."""
        lacking = [self._lacks(way) for way in action.ways]
        if all(lacking):
            texts = (str(lacking[0]), *(str(text).removeprefix(_NEEDS) for text in lacking[1:]))
            return " or ".join(dict.fromkeys(texts))
        scope = type_scope(task_type) if action.runs and task_type is not None else None
        return None if scope is None else self._may_not_run(str(task_type), scope)

    @abstractmethod
    def _lacks(self, action: Action) -> str | None: ...

    @abstractmethod
    def _may_not_run(self, task_type: str, scope: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class KeyCaller(Caller):
    """An API key, judged by its scopes."""

    name: str
    scopes: frozenset[str]

    def _lacks(self, action: Action) -> str | None:
        if action.scopes is None:
            return "No API key may do this"
        missing = action.scopes - self.scopes
        return f"{_NEEDS}the scope {' and '.join(sorted(missing))}" if missing else None

    def _may_not_run(self, task_type: str, scope: str) -> str | None:
        return None if scope in self.scopes else f"{task_type} tasks need the scope {scope}"


@dataclass(frozen=True, slots=True)
class Person(Caller):
    """A member of staff, judged by their Django permissions: in the admin, and when their session uses the API.

    The name has a colon, which no key's name may have.
    """

    account: Account

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"user:{self.account.get_username()}"

    def _lacks(self, action: Action) -> str | None:
        missing = sorted(permission for permission in action.permissions if not self.account.has_perm(permission))
        return f"{_NEEDS}the permission {' and '.join(missing)}" if missing else None

    def _may_not_run(self, task_type: str, scope: str) -> str | None:
        return None if self.account.is_superuser else f"Running {task_type} tasks needs a superuser"
