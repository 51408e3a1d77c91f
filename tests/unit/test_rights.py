"""The table of who may do what, asked about keys, people and roles."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from access_app import rights as access
from access_app.rights import Action, KeyCaller, Person, Refused, Role, Scope, task_types


@dataclass
class Account:
    permissions: frozenset[str] = frozenset()
    is_superuser: bool = False
    asked: list[str] = field(default_factory=list)

    def get_username(self) -> str:
        return "maria"

    def has_perm(self, permission: str) -> bool:
        self.asked.append(permission)
        return self.is_superuser or permission in self.permissions


def key(*scopes: str) -> KeyCaller:
    return KeyCaller("ci", frozenset(scopes))


def person(*permissions: str) -> Person:
    return Person(Account(frozenset(permissions)))


ROOT = Person(Account(is_superuser=True))


class TestKeyCaller:
    @pytest.mark.parametrize("action", Action)
    def test_needs_every_scope_of_the_row_and_no_other(self, action: Action) -> None:
        others = set(Scope).difference(*(way.scopes or () for way in action.ways))
        assert key(*(action.scopes or ())).may(action) is (action.scopes is not None)
        assert key(*others).may(action) is (action.scopes is not None and not action.scopes)

    def test_needs_the_scope_of_the_type_as_well_to_have_it_run(self) -> None:
        for action in Action:
            if not action.runs:
                continue
            assert action.scopes is not None
            assert not key(*action.scopes).may(action, "SHELL")
            assert key(*action.scopes, "tasks:shell").may(action, "SHELL")
            assert key(*action.scopes).may(action, "DUMMY")

    @pytest.mark.parametrize("action", [Action.TASK_CANCEL, Action.SCHEDULE_PAUSE, Action.SCHEDULE_DELETE])
    def test_needs_no_scope_of_the_type_to_stop_it(self, action: Action) -> None:
        assert key("tasks:write", "schedules:write").may(action, "SHELL")

    def test_of_a_type_nobody_here_knows_needs_the_strongest(self) -> None:
        assert not key("tasks:write").may(Action.TASK_RETRY, "GONE")
        assert key("tasks:write", "tasks:shell").may(Action.TASK_RETRY, "GONE")

    def test_reads_no_more_with_tasks_shell_and_admin(self) -> None:
        may = {action for action in Action if key("tasks:shell").may(action)}
        read = {Action.WORKER_READ, Action.SCHEDULER_READ, Action.MARK_READ}
        assert may == read | {Action.HEALTH_READ, Action.SCHEMA_READ}

    def test_says_what_is_missing(self) -> None:
        with pytest.raises(Refused, match=r"^This needs the scope tasks:write\.$"):
            key().require(Action.TASK_EDIT)
        with pytest.raises(Refused, match=r"^SHELL tasks need the scope tasks:shell\.$"):
            key("tasks:write").require(Action.TASK_EDIT, "SHELL")
        with pytest.raises(Refused, match=r"^No API key may do this\.$"):
            key(*Scope).require(Action.KEY_CREATE)


class TestPerson:
    @pytest.mark.parametrize("action", Action)
    def test_needs_every_permission_of_the_row_and_no_other(self, action: Action) -> None:
        others = access.permissions_of(Role.ADMINISTRATOR).difference(*(way.permissions for way in action.ways))
        assert person(*action.permissions).may(action)
        assert person(*others).may(action) is (not action.permissions)
        assert ROOT.may(action)

    @pytest.mark.parametrize("action", [action for action in Action if action.runs])
    def test_runs_commands_only_as_superuser(self, action: Action) -> None:
        assert person(*action.permissions).refusal(action, "SHELL") == "Running SHELL tasks needs a superuser"
        assert person(*action.permissions).may(action, "HTTP")
        assert ROOT.may(action, "SHELL")

    def test_says_what_is_missing(self) -> None:
        with pytest.raises(Refused, match=r"^This needs the permission tasks_app\.change_task\.$"):
            person("tasks_app.view_task").require(Action.TASK_RETRY)

    def test_has_a_name_that_no_key_may_have(self) -> None:
        assert person().name == "user:maria"


class TestTypesOfThirdParties:
    """One may name a scope of its own, or one of ours."""

    @pytest.fixture(autouse=True)
    def types(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_types, "_known", [lambda: {"REPORT": "reports:run", "OPS": "admin"}])

    def test_add_their_scopes_to_ours(self) -> None:
        assert access.scopes() == [*Scope, "reports:run"]

    def test_run_for_keys_with_that_scope(self) -> None:
        for task_type, scope in (("REPORT", "reports:run"), ("OPS", "admin")):
            assert not key("tasks:write", "tasks:shell").may(Action.TASK_CREATE, task_type)
            assert key("tasks:write", scope).may(Action.TASK_CREATE, task_type)

    def test_run_for_no_person_but_superusers_who_alone_give_the_scope_away(self) -> None:
        administrator = person(*access.permissions_of(Role.ADMINISTRATOR))
        assert not administrator.may(Action.TASK_CREATE, "OPS")
        assert "admin" not in access.grantable(administrator)
        assert ROOT.may(Action.TASK_CREATE, "REPORT")
        assert access.grantable(ROOT) == access.scopes()


class TestComesWith:
    """Queues are seen by whoever sees tasks."""

    def test_lets_in_by_the_right_of_its_own_and_by_the_other(self) -> None:
        for caller in (key("admin"), key("tasks:read"), person("flow_app.view_queue"), person("tasks_app.view_task")):
            assert caller.may(Action.QUEUE_READ)
            assert not caller.may(Action.QUEUE_EDIT, "DUMMY") or caller == key("admin")

    def test_does_not_go_the_other_way(self) -> None:
        assert not key("admin").may(Action.TASK_READ)
        assert not person("flow_app.view_queue").may(Action.TASK_READ)

    def test_says_both_ways_to_get_it(self) -> None:
        assert key("tasks:write").refusal(Action.QUEUE_READ) == "This needs the scope admin or the scope tasks:read"

    def test_is_by_another_scope_than_its_own(self) -> None:
        """Who freezes with a key of `admin` alone sees what is frozen."""
        for action in Action:
            scopes = [scope for way in action.ways for scope in way.scopes or ()]
            assert len(scopes) == len(set(scopes)), action
        assert key("admin").may(Action.FREEZE_READ)

    def test_takes_no_permission_more_to_give_tasks_read_away(self) -> None:
        assert "tasks:read" in access.grantable(person("tasks_app.view_task", "tasks_app.view_taskexecution"))


class TestRoles:
    @pytest.mark.parametrize("role", Role)
    def test_may_do_what_the_table_says_and_nothing_else(self, role: Role) -> None:
        """Permissions are of models, not of actions: one given for an action must not bring a later role's along."""
        lesser = list(Role)[: list(Role).index(role) + 1]
        mine = person(*access.permissions_of(role))
        assert {action for action in Action if mine.may(action)} == {a for a in Action if a.role in lesser}

    def test_are_what_their_names_say(self) -> None:
        viewer, operator, administrator = (access.permissions_of(role) for role in Role)
        assert all(permission.partition(".")[2].startswith("view_") for permission in viewer)
        assert not {permission for permission in operator if "apikey" in permission or "audit" in permission}
        assert viewer < operator < administrator
        assert not {permission for permission in administrator if permission.startswith("auth.")}


class TestGrantable:
    def test_is_what_the_person_may_do_themselves(self) -> None:
        assert access.grantable(ROOT) == list(Scope)
        assert access.grantable(person()) == []
        assert access.grantable(person(*access.permissions_of(Role.VIEWER))) == ["tasks:read", "schedules:read"]
        mine = access.grantable(person(*access.permissions_of(Role.ADMINISTRATOR)))
        assert mine == [scope for scope in Scope if scope != Scope.TASKS_SHELL]

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope != Scope.TASKS_SHELL])
    def test_misses_a_scope_when_one_permission_for_it_is_missing(self, scope: Scope) -> None:
        everything = access.permissions_of(Role.ADMINISTRATOR)
        needed = {
            p
            for action in Action
            if scope in (action.scopes or ()) and action.ways == (action,)
            for p in action.permissions
        }
        assert scope in access.grantable(person(*everything))
        for permission in needed:
            assert scope not in access.grantable(person(*everything - {permission}))
