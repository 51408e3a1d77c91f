"""What the audit trail says of changes to accounts: each, once, in the same transaction, whoever made it how."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from access_app.models import AuditEvent
from scheduler_project.accounts import trail
from tests.support.accounts import (
    GROUPS,
    OTHER_PASSWORD,
    PASSWORD,
    USERS,
    change,
    form_of,
    state,
)

pytestmark = pytest.mark.django_db


def events() -> list[tuple[str, str, str, Any]]:
    return list(AuditEvent.objects.order_by("id").values_list("actor", "action", "target", "detail"))


class TestTrail:
    def test_tells_what_was_changed(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser, ordinary = sign_in("root"), accounts["ordinary"]
        group = Group.objects.create(name="Operators")
        permission = Permission.objects.get(codename="change_queue")
        values = {"username": "renamed", "email": "a@example.org", "is_staff": "on", "is_superuser": "on"}
        ties = {"groups": [str(group.pk)], "user_permissions": [str(permission.pk)]}
        assert change(browser, ordinary, **values, **ties) == 302
        told = {"username": ["ordinary", "renamed"], "email": "changed"}
        flags = {"is_staff": [False, True], "is_superuser": [False, True]}
        assert events() == [
            ("user:root", "user.changed", "user:ordinary", {**told, **flags}),
            ("user:root", "user.groups_changed", "user:renamed", {"added": ["Operators"]}),
            ("user:root", "user.permissions_changed", "user:renamed", {"added": ["flow_app.change_queue"]}),
        ]
        assert change(browser, ordinary, groups="", user_permissions="") == 302
        assert [(action, detail) for _, action, _, detail in events()[3:]] == [
            ("user.groups_changed", {"removed": ["Operators"]}),
            ("user.permissions_changed", {"removed": ["flow_app.change_queue"]}),
        ]

    def test_is_silent_when_nothing_changed(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        assert change(sign_in("root"), accounts["operator"]) == 302
        assert events() == []

    def test_tells_of_passwords_that_they_changed(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User]
    ) -> None:
        browser = sign_in("root")
        new = {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
        browser.post(f"{USERS}{accounts['chief'].pk}/password/", new)
        mine = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
        assert browser.post("/admin/password_change/", mine).status_code == 302
        assert events() == [
            ("user:root", "user.password_changed", "user:chief", None),
            ("user:root", "user.password_changed", "user:root", None),
        ]

    def test_tells_of_accounts_made_and_deleted(self, sign_in: Callable[[str], Client]) -> None:
        browser = sign_in("keeper")
        new = {"username": "fresh", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        browser.post(f"{USERS}add/", new)
        fresh = User.objects.get(username="fresh")
        browser.post(f"{USERS}{fresh.pk}/delete/", {"post": "yes"})
        assert events() == [
            ("user:keeper", "user.created", "user:fresh", None),
            ("user:keeper", "user.deleted", "user:fresh", None),
        ]

    def test_tells_of_each_account_an_action_deletes(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User]
    ) -> None:
        chosen = [str(accounts[name].pk) for name in ("ordinary", "operator")]
        data = {"action": "delete_selected", "post": "yes", "index": "0", "_selected_action": chosen}
        sign_in("root").post(USERS, data)
        assert {target for _, action, target, _ in events() if action == "user.deleted"} == {
            "user:ordinary",
            "user:operator",
        }

    def test_tells_of_groups(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser = sign_in("root")
        permission = str(Permission.objects.get(codename="change_queue").pk)
        browser.post(f"{GROUPS}add/", {"name": "Night", "permissions": [permission]})
        group = Group.objects.get(name="Night")
        accounts["ordinary"].groups.add(group)
        browser.post(
            f"{GROUPS}{group.pk}/change/",
            form_of(browser, f"{GROUPS}{group.pk}/change/") | {"name": "Day", "permissions": []},
        )
        browser.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"})
        assert events() == [
            ("user:root", "group.created", "group:Night", None),
            ("user:root", "group.permissions_changed", "group:Night", {"added": ["flow_app.change_queue"]}),
            ("user:root", "group.changed", "group:Night", {"name": ["Night", "Day"]}),
            ("user:root", "group.permissions_changed", "group:Day", {"removed": ["flow_app.change_queue"]}),
            ("user:root", "group.deleted", "group:Day", {"members": ["ordinary"], "permissions": []}),
        ]

    def test_sees_both_sides_of_a_relation(self, accounts: dict[str, User]) -> None:
        group = Group.objects.create(name="Night")
        permission = Permission.objects.get(codename="delete_queue")  # which no role has
        with trail.acting_as(lambda: "test"):
            group.user_set.add(accounts["ordinary"])
            group.user_set.clear()
            permission.user_set.add(accounts["ordinary"])
            permission.group_set.set([group])
        assert [event[1:] for event in events()] == [
            ("group.members_changed", "group:Night", {"added": ["ordinary"]}),
            ("group.members_changed", "group:Night", {"removed": ["ordinary"]}),
            ("permission.users_changed", "permission:flow_app.delete_queue", {"added": ["ordinary"]}),
            ("permission.groups_changed", "permission:flow_app.delete_queue", {"added": ["Night"]}),
        ]

    @pytest.mark.parametrize("page", ["change", "password", "delete"])
    def test_row_and_change_are_one_transaction(
        self,
        sign_in: Callable[[str], Client],
        accounts: dict[str, User],
        monkeypatch: pytest.MonkeyPatch,
        page: str,
    ) -> None:
        browser, ordinary = sign_in("root"), accounts["ordinary"]
        url, before = f"{USERS}{ordinary.pk}/{page}/", state(ordinary)
        data = {**form_of(browser, f"{USERS}{ordinary.pk}/change/"), "is_staff": "on", "post": "yes"}
        data |= {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
        monkeypatch.setattr("access_app.audit.record", fail)
        browser.raise_request_exception = False
        assert browser.post(url, data).status_code == 500
        assert state(ordinary) == before

    def test_own_password_and_row_are_one_transaction(
        self, sign_in: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = sign_in("helper")
        browser.raise_request_exception = False
        monkeypatch.setattr("access_app.audit.record", fail)
        mine = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
        assert browser.post("/admin/password_change/", mine).status_code == 500
        assert User.objects.get(username="helper").check_password(PASSWORD)

    def test_holds_no_secret(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser = sign_in("root")
        new = {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
        browser.post(f"{USERS}{accounts['ordinary'].pk}/password/", new)
        change(browser, accounts["ordinary"], email="secret@example.org")
        rows = f"{list(AuditEvent.objects.values())}{list(LogEntry.objects.values())}"
        for secret in (OTHER_PASSWORD, "md5$", "secret@example.org"):
            assert secret not in rows

    def test_commands_are_actors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        call_command("createsuperuser", "--noinput", "--username", "boss", "--email", "", stdout=io.StringIO())
        passwords = iter([OTHER_PASSWORD, OTHER_PASSWORD])
        monkeypatch.setattr("getpass.getpass", lambda prompt: next(passwords))
        call_command("changepassword", "boss", stdout=io.StringIO())
        assert events() == [
            ("command:createsuperuser", "user.created", "user:boss", {"flags": ["is_staff", "is_superuser"]}),
            ("command:changepassword", "user.password_changed", "user:boss", None),
        ]

    def test_scripts_that_name_nobody_leave_no_rows(self, accounts: dict[str, User]) -> None:
        accounts["ordinary"].groups.add(Group.objects.create(name="Night"))
        accounts["ordinary"].delete()
        assert events() == []


def fail(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("the audit trail is out of order")
