"""Who may do what: one table of actions, and the callers it is asked about.

Everything that decides asks here: views of the API, sessions, pages and buttons of the admin, the roles, and which
scopes a person may give to a key. Pure: a person's permissions are read through `Account`; nothing here knows HTTP.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum, unique
from typing import Final, Protocol

from tasks_app.executors.registry import executor_for, executors


class Scope(StrEnum):
    """What an API key may be given. Task types of third parties may name further ones; see `scopes`."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    TASKS_SHELL = "tasks:shell"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_WRITE = "schedules:write"
    ADMIN = "admin"


class Role(StrEnum):
    """Groups of people made by migration; each may do what the ones before it may."""

    VIEWER = "Viewer"
    OPERATOR = "Operator"
    ADMINISTRATOR = "Administrator"


VIEWER, OPERATOR, ADMINISTRATOR = Role
#: In the column of keys: any valid key, and no key at all. In the column of people: any member of staff.
ANY_KEY: Final = frozenset[Scope]()
NO_KEY: Final = None
STAFF: Final = frozenset[str]()


@unique
class Action(Enum):
    """The table. Columns: what it allows, scopes a key needs, Django permissions a person needs, the least role.

    ``runs``: it may make a task run, or run at another time or place. Where the type of the task needs a scope of its
    own (SHELL: ``tasks:shell``), a key needs that as well, and only superusers of people. Stopping does not need it.
    """

    TASK_READ = "see tasks: payload, result, attempts, timeline", {Scope.TASKS_READ}, {"tasks_app.view_task"}, VIEWER
    TASK_CREATE = "create tasks", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True
    TASK_EDIT = "change a task that has not started", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR, True
    TASK_CANCEL = "cancel a task", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR
    TASK_RETRY = "run an ended task again", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR, True
    TASK_CLONE = "create a task like another", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True
    EXECUTION_READ = "see the list of all attempts", {Scope.TASKS_READ}, {"tasks_app.view_taskexecution"}, VIEWER

    SCHEDULE_READ = (
        "see schedules: template, ledger, preview, simulation",
        {Scope.SCHEDULES_READ},
        {"schedules_app.view_schedule"},
        VIEWER,
    )
    SCHEDULE_CREATE = "create schedules", {Scope.SCHEDULES_WRITE}, {"schedules_app.add_schedule"}, OPERATOR, True
    SCHEDULE_EDIT = "change a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_PAUSE = "pause a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR
    SCHEDULE_RESUME = "end its pause", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_TRIGGER = "run it now", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_BACKFILL = (
        "run its slots that did not run",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.change_schedule"},
        OPERATOR,
        True,
    )
    SCHEDULE_CLONE = "copy a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.add_schedule"}, OPERATOR, True
    SCHEDULE_DELETE = "delete a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.delete_schedule"}, OPERATOR
    FIRE_READ = "see the list of all slots", {Scope.SCHEDULES_READ}, {"schedules_app.view_schedulefire"}, VIEWER

    CALENDAR_READ = (
        "see blackout calendars",
        {Scope.SCHEDULES_READ},
        {"schedules_app.view_blackoutcalendar"},
        VIEWER,
    )
    CALENDAR_CREATE = (
        "create blackout calendars",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.add_blackoutcalendar"},
        ADMINISTRATOR,
    )
    CALENDAR_EDIT = (
        "change a blackout calendar, and so when the schedules that name it run",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.change_blackoutcalendar"},
        ADMINISTRATOR,
        True,
    )
    CALENDAR_DELETE = (
        "delete a blackout calendar that no schedule names",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.delete_blackoutcalendar"},
        ADMINISTRATOR,
    )

    QUEUE_READ = "see queues", {Scope.ADMIN}, {"tasks_app.view_queue"}, VIEWER
    QUEUE_CREATE = "list a queue before its first task", {Scope.ADMIN}, {"tasks_app.add_queue"}, OPERATOR
    QUEUE_PAUSE = "pause a queue", {Scope.ADMIN}, {"tasks_app.change_queue"}, OPERATOR
    QUEUE_RESUME = "open a queue, whatever waits in it", {Scope.ADMIN}, {"tasks_app.change_queue"}, OPERATOR

    WORKER_READ = "see workers and their load", ANY_KEY, {"workers_app.view_worker"}, VIEWER
    WORKER_DRAIN = "drain a worker", {Scope.ADMIN}, {"workers_app.change_worker"}, OPERATOR
    SCHEDULER_READ = "see schedulers", ANY_KEY, {"workers_app.view_scheduler"}, VIEWER
    RECOVERY_RUN = (
        "run system recovery",
        {Scope.ADMIN},
        {"tasks_app.change_task", "workers_app.change_worker"},
        OPERATOR,
    )

    HEALTH_READ = "see health, figures and metrics", ANY_KEY, STAFF, VIEWER
    SCHEMA_READ = "read the API's documentation", ANY_KEY, STAFF, VIEWER

    AUDIT_READ = "see the audit trail", NO_KEY, {"tasks_app.view_auditevent"}, ADMINISTRATOR
    KEY_READ = "see API keys", NO_KEY, {"tasks_app.view_apikey"}, ADMINISTRATOR
    KEY_CREATE = "create API keys", NO_KEY, {"tasks_app.add_apikey"}, ADMINISTRATOR
    KEY_REVOKE = "revoke API keys", NO_KEY, {"tasks_app.change_apikey"}, ADMINISTRATOR

    def __init__(
        self,
        allows: str,
        scopes: Collection[Scope] | None,
        permissions: Collection[str],
        role: Role,
        runs: bool = False,
    ) -> None:
        self.allows = allows
        self.scopes: frozenset[str] | None = None if scopes is None else frozenset(scopes)
        self.permissions = frozenset(permissions)
        self.role = role
        self.runs = runs

    def __str__(self) -> str:
        """As documents name it: ``task.read``."""
        return self.name.lower().replace("_", ".")


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
        if text := self._lacks(action):
            return text
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
        return f"This needs the scope {' and '.join(sorted(missing))}" if missing else None

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
        return f"This needs the permission {' and '.join(missing)}" if missing else None

    def _may_not_run(self, task_type: str, scope: str) -> str | None:
        return None if self.account.is_superuser else f"Running {task_type} tasks needs a superuser"


def type_scope(task_type: str) -> str | None:
    """The scope that running tasks of a type needs. Of a type this installation does not know: the strongest."""
    executor = executor_for(task_type)
    return executor.required_scope if executor else Scope.TASKS_SHELL


def scopes() -> list[str]:
    """Every scope a key may have here: ours, then those that task types of third parties name."""
    return [*_OURS, *sorted(_type_scopes() - set(_OURS))]


def grantable(person: Person) -> list[str]:
    """The scopes a person may give to a key: each only if they may do themselves everything that it allows."""
    if person.account.is_superuser:
        return scopes()
    types = _type_scopes()  # of people, only superusers may have such tasks run
    return [scope for scope, needed in _NEEDED.items() if scope not in types and _has_all(person.account, needed)]


def _has_all(account: Account, permissions: frozenset[str]) -> bool:
    return all(account.has_perm(permission) for permission in permissions)


def _type_scopes() -> set[str]:
    return {executor.required_scope for executor in executors().values() if executor.required_scope}


def _allowed_by(scope: Scope) -> list[Action]:
    return [action for action in Action if scope in (action.scopes or ())]


def permissions_of(role: Role) -> frozenset[str]:
    """The Django permissions a role has: those of every action that it, or a role before it, is the least one for."""
    roles: Iterable[Role] = tuple(Role)[: tuple(Role).index(role) + 1]
    return frozenset[str]().union(*(action.permissions for action in Action if action.role in roles))


_OURS: Final = [str(scope) for scope in Scope]
#: The permissions for everything that a scope allows; a scope that no action asks for is not here.
_NEEDED: Final = {
    str(scope): frozenset[str]().union(*(action.permissions for action in _allowed_by(scope)))
    for scope in Scope
    if _allowed_by(scope)
}
