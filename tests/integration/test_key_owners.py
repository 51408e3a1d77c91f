"""API keys that belong to somebody: they can do no more than their owner, and end with the account."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from access_app import keys
from access_app import rights as access
from access_app.models import ApiKey, AuditEvent
from access_app.rights import Scope
from access_app.sql import statement
from tests.factories import make_key
from tests.support.api import Api, problem_of

pytestmark = pytest.mark.django_db

KEYS = "/admin/access_app/apikey/"
READS = ("view_task", "view_taskexecution")
ADDRESS = "192.0.2.7"


def staff(name: str, *codenames: str, **fields: Any) -> User:
    user = User.objects.create_user(name, is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def operators() -> Group:
    group = Group.objects.create(name="Night shift")
    wanted = {name.partition(".")[2] for name in access.permissions_of(access.Role.OPERATOR)}
    group.permissions.set(Permission.objects.filter(codename__in=wanted))
    return group


def owned(owner: User, *scopes: str, name: str = "k") -> str:
    return keys.create_key(name, scopes, actor="test", owner=owner)[1]


def scopes_of(secret: str) -> list[str] | None:
    key = keys.find_key(secret)
    return None if key is None else sorted(key.scopes)


class TestOwner:
    @pytest.mark.parametrize(
        "close",
        [
            lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
            lambda user: User.objects.filter(pk=user.pk).update(is_staff=False),
            lambda user: user.delete(),
        ],
        ids=["deactivated", "no longer staff", "deleted"],
    )
    @pytest.mark.parametrize("superuser", [True, False])
    def test_who_is_gone_takes_the_key_along(self, close: Callable[[User], Any], superuser: bool) -> None:
        owner = staff("maria", *READS, is_superuser=superuser)
        secret, other = owned(owner, "tasks:read"), make_key("tasks:read")
        assert Api(secret).get("/tasks").status_code == 200
        close(owner)
        problem_of(Api(secret).get("/tasks"), 401)
        assert Api(other).get("/tasks").status_code == 200
        assert keys.state_of(ApiKey.objects.get(name="k"), None) == "OWNER_GONE"

    def test_who_comes_back_brings_the_key_back(self) -> None:
        owner = staff("maria", *READS, is_active=True)
        secret = owned(owner, "tasks:read")
        User.objects.update(is_active=False)
        assert scopes_of(secret) is None
        User.objects.update(is_active=True)
        assert scopes_of(secret) == ["tasks:read"]

    def test_of_a_deleted_account_is_not_whoever_comes_next(self) -> None:
        owner = staff("maria", *READS)
        secret = owned(owner, "tasks:read")
        owner.delete()
        staff("maria", *READS)
        assert scopes_of(secret) is None

    def test_who_loses_a_right_takes_it_from_the_key(self) -> None:
        owner, group = staff("maria"), operators()
        owner.groups.add(group)
        secret = owned(owner, "tasks:read", "tasks:write", "admin")
        assert scopes_of(secret) == ["admin", "tasks:read", "tasks:write"]
        group.permissions.remove(Permission.objects.get(codename="change_queue"))
        assert scopes_of(secret) == ["tasks:read", "tasks:write"]
        owner.groups.clear()
        assert scopes_of(secret) == []
        problem_of(Api(secret).get("/tasks"), 403)
        owner.groups.add(group)
        assert scopes_of(secret) == ["tasks:read", "tasks:write"]

    def test_who_is_no_longer_superuser_takes_shell_from_the_key(self) -> None:
        owner = staff("maria", *READS, is_superuser=True)
        secret = owned(owner, *Scope)
        assert scopes_of(secret) == sorted(Scope)
        User.objects.update(is_superuser=False)
        assert scopes_of(secret) == ["tasks:read"]

    def test_has_the_permissions_that_django_says(self) -> None:
        owner = staff("maria", "view_task", "add_task", "change_worker")
        owner.groups.add(operators())
        second = Group.objects.create(name="second")
        second.permissions.set(Permission.objects.filter(codename__startswith="view_"))
        owner.groups.add(second)
        staff("other", "delete_user")
        with connection.cursor() as cursor:
            cursor.execute("SELECT account_permissions(%s)", [owner.pk])
            [found] = cursor.fetchone()
        assert set(found) == User.objects.get(username="maria").get_all_permissions()

    def test_of_none_bounds_nothing(self) -> None:
        """Keys made on the command line, and those from before keys had owners."""
        secret = make_key(*Scope)
        User.objects.all().delete()
        assert scopes_of(secret) == sorted(Scope)

    @pytest.mark.parametrize("owner", [{}, {"is_superuser": True}])
    def test_costs_no_further_query(self, owner: dict[str, Any], django_assert_num_queries: Any) -> None:
        api = Api(owned(staff("maria", *READS, **owner), "tasks:read"))
        api.get("/tasks")  # notes when the key was last used, once a minute
        with django_assert_num_queries(2):
            api.get("/tasks")

    def test_is_found_through_indexes(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {statement('find_key')}", {"key_hash": b"x" * 32})
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "api_keys_key_hash" in plan
        assert "Seq Scan" not in plan


class TestCreating:
    def test_gives_no_scope_that_the_owner_may_not_give_away(self) -> None:
        owner = staff("maria", *READS)
        with pytest.raises(keys.KeyRefused, match="scopes: maria may not give away admin, tasks:shell"):
            owned(owner, "tasks:read", "admin", "tasks:shell")
        assert not ApiKey.objects.exists()

    @pytest.mark.parametrize("fields", [{"is_active": False}, {"is_superuser": True, "is_staff": False}])
    def test_needs_an_owner_who_may_sign_in(self, fields: dict[str, Any]) -> None:
        owner = staff("maria", *READS)
        User.objects.filter(pk=owner.pk).update(**fields)
        owner.refresh_from_db()
        with pytest.raises(keys.KeyRefused, match="owner: maria is not an active member of staff"):
            owned(owner, "tasks:read")

    @pytest.mark.parametrize(
        ("setting", "asked", "left"),
        [
            (365, None, 365),
            (None, None, None),
            (365, 7, 7),
            (30, 400, 400),
            (365, 0, None),
        ],
    )
    def test_expires_when_the_setting_says_unless_asked_otherwise(
        self, settings: Any, setting: int | None, asked: int | None, left: int | None
    ) -> None:
        with_config(settings, api_key_default_expiry=timedelta(days=setting) if setting else None)
        key, _ = keys.create_key(
            "k", ["admin"], actor="test", expires_in=None if asked is None else timedelta(days=asked)
        )
        detail = AuditEvent.objects.get().detail
        if left is None:
            assert key.expires_at is detail["expiresAt"] is None
        else:
            assert key.expires_at is not None
            assert key.expires_at - timezone.now() == pytest.approx(timedelta(days=left), abs=timedelta(minutes=1))
            assert detail["expiresAt"] == key.expires_at.isoformat()

    def test_by_default_expires_after_a_year(self) -> None:
        assert django_settings.SCHEDULER.api_key_default_expiry == timedelta(days=365)


def with_config(settings: Any, **values: Any) -> None:
    from dataclasses import replace

    settings.SCHEDULER = replace(settings.SCHEDULER, **values)


class TestLastUse:
    def test_tells_the_clients_address(self) -> None:
        api = Api(make_key("tasks:read", name="k"))
        api.send("GET", "/tasks", environ={"REMOTE_ADDR": ADDRESS}, X_Forwarded_For="198.51.100.1")
        assert ApiKey.objects.get().last_used_address == ADDRESS

    @pytest.mark.parametrize("peer", ["", "unix:", "not an address"])
    def test_does_without_one(self, peer: str) -> None:
        api = Api(make_key("tasks:read", name="k"))
        assert api.send("GET", "/tasks", environ={"REMOTE_ADDR": peer}).status_code == 200
        key = ApiKey.objects.get()
        assert key.last_used_address is None
        assert key.last_used_at is not None

    def test_is_not_told_of_a_refused_one(self) -> None:
        owner = staff("maria", *READS)
        secret = owned(owner, "tasks:read")
        User.objects.update(is_active=False)
        keys.find_key(secret, address=ADDRESS)
        assert ApiKey.objects.get().last_used_at is None


class TestCommands:
    def run(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command(*arguments, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    def test_createapikey_names_the_owner(self) -> None:
        staff("maria", *READS)
        secret = self.run("createapikey", "k", "--scopes", "tasks:read", "--owner", "maria").strip()
        assert scopes_of(secret) == ["tasks:read"]
        assert AuditEvent.objects.get().detail["owner"] == "maria"
        User.objects.update(is_active=False)
        assert scopes_of(secret) is None

    def test_createapikey_may_make_one_that_never_expires(self) -> None:
        self.run("createapikey", "k", "--scopes", "tasks:read", "--expires", "never")
        assert ApiKey.objects.get().expires_at is None

    @pytest.mark.parametrize(
        ("owner", "scopes", "text"),
        [
            ("nobody", "tasks:read", "owner: there is no account 'nobody'"),
            ("a\0b", "tasks:read", "owner: there is no account"),
            ("maria", "tasks:shell", "scopes: maria may not give away tasks:shell"),
            ("visitor", "tasks:read", "owner: visitor is not an active member of staff"),
        ],
    )
    def test_createapikey_refuses_what_is_not_the_owners(self, owner: str, scopes: str, text: str) -> None:
        staff("maria", *READS)
        User.objects.create_user("visitor")
        with pytest.raises(CommandError, match=text) as refused:
            self.run("createapikey", "k", "--scopes", scopes, "--owner", owner)
        assert refused.value.returncode == 2
        assert not ApiKey.objects.exists()

    def test_list_is_a_table_for_people(self) -> None:
        owner = staff("maria", *READS)
        secret = owned(owner, "tasks:read", name="mine")
        make_key("admin", "tasks:read", name="ci")
        keys.find_key(secret, address=ADDRESS)
        head, ci, mine = self.run("apikey", "list").splitlines()
        assert head.split() == ["name", "state", "owner", "scopes", "expires", "last", "used", "from"]
        assert ci.split()[:4] == ["ci", "VALID", "-", "admin,tasks:read"]
        assert mine.split()[:4] == ["mine", "VALID", "maria", "tasks:read"]
        assert mine.split()[-1] == ADDRESS
        owner.delete()
        assert self.run("apikey", "list").splitlines()[2].split()[1:3] == ["OWNER_GONE", "deleted"]

    def test_list_is_an_array_for_programs(self) -> None:
        owned(staff("maria", *READS), "tasks:read", name="mine")
        keys.revoke_key(ApiKey.objects.get(), actor="test")
        [key] = json.loads(self.run("apikey", "list", "--json"))
        assert (key["name"], key["state"], key["owner"], key["scopes"]) == ("mine", "REVOKED", "maria", ["tasks:read"])
        assert key["revokedAt"].endswith("Z")
        assert (key["lastUsedAt"], key["lastUsedAddress"], key["createdBy"]) == (None, None, "test")

    def test_lists_show_no_secret_nor_hash(self) -> None:
        secret = make_key("admin", name="k")
        shown = self.run("apikey", "list") + self.run("apikey", "list", "--json")
        assert secret not in shown
        assert bytes(ApiKey.objects.get().key_hash).hex() not in shown

    def test_revoke_refuses_the_key_from_then_on(self) -> None:
        secret = make_key("admin", name="k")
        assert "refused from now on" in self.run("apikey", "revoke", "k")
        assert scopes_of(secret) is None
        assert "has been refused since" in self.run("apikey", "revoke", "k")
        assert list(AuditEvent.objects.filter(action="api_key.revoked").values_list("actor", "target")) == [
            ("command:apikey", "api_key:k")
        ]

    @pytest.mark.parametrize("name", ["unknown", "a\0", ""])
    def test_revoke_of_no_key_ends_with_status_2(self, name: str) -> None:
        with pytest.raises(CommandError, match="there is no API key") as refused:
            self.run("apikey", "revoke", name)
        assert refused.value.returncode == 2


class TestPages:
    @pytest.fixture
    def browser(self, client: Client) -> Client:
        client.force_login(staff("maria", "add_apikey", "view_apikey", "change_apikey", *READS))
        return client

    def test_a_new_key_belongs_to_who_made_it_and_expires(self, browser: Client) -> None:
        assert browser.post(f"{KEYS}add/", {"name": "k", "scopes": ["tasks:read"]}).status_code == 201
        key = ApiKey.objects.get()
        assert key.owner_id == User.objects.get().pk
        assert key.expires_at is not None
        assert key.expires_at - timezone.now() == pytest.approx(timedelta(days=365), abs=timedelta(minutes=1))

    @pytest.mark.parametrize(
        ("fields", "status"),
        [({"never_expires": "on"}, 201), ({"never_expires": "on", "expires_in_days": "3"}, 422)],
    )
    def test_never_is_said_and_not_left_out(self, browser: Client, fields: dict[str, str], status: int) -> None:
        response = browser.post(f"{KEYS}add/", {"name": "k", "scopes": ["tasks:read"], **fields})
        assert response.status_code == status
        assert [key.expires_at for key in ApiKey.objects.all()] == ([None] if status == 201 else [])

    @pytest.mark.parametrize("field", ["owner", "owner_id", "created_by"])
    def test_a_forged_owner_is_not_heard(self, browser: Client, field: str) -> None:
        root = User.objects.create_superuser("root")
        browser.post(f"{KEYS}add/", {"name": "k", "scopes": ["tasks:read"], field: str(root.pk)})
        assert ApiKey.objects.get().owner_id == User.objects.get(username="maria").pk

    def test_show_owner_address_and_what_is_not_in_effect(self, browser: Client) -> None:
        owner = staff("otto", "change_queue", *READS, is_superuser=True)
        secret = owned(owner, "tasks:read", "tasks:shell")
        keys.find_key(secret, address=ADDRESS)
        User.objects.filter(pk=owner.pk).update(is_superuser=False)
        page = f"{KEYS}{ApiKey.objects.get().pk}/change/"
        shown = dict(browser.get(page).context["facts"])
        assert (shown["Owner"], shown["Last used from"]) == ("otto", ADDRESS)
        assert shown["Not in effect"].startswith("tasks:shell")
        listed = browser.get(KEYS).content.decode()
        assert "otto" in listed
        assert ADDRESS in listed
        owner.delete()
        assert dict(browser.get(page).context["facts"])["Owner"] == "a deleted account"
        assert "OWNER GONE" in browser.get(KEYS).content.decode()

    @pytest.mark.parametrize("lookup", ["owner__password__startswith", "owner__user_permissions__codename", "key_hash"])
    def test_are_no_way_to_ask_about_owners(self, browser: Client, lookup: str) -> None:
        owned(staff("otto", *READS), "tasks:read", name="ottos")
        response = browser.get(f"{KEYS}?{lookup}=pbkdf2")
        assert response.status_code in (302, 400) or "ottos" not in response.content.decode()

    def test_read_owners_in_one_query(self, browser: Client) -> None:
        for number in range(5):
            owned(staff(f"o{number}", *READS), "tasks:read", name=f"k{number}")
        with Reads() as one:
            browser.get(KEYS)
        assert len([sql for sql in one.seen if 'FROM "auth_user"' in sql]) <= 2  # the session's, and the owners


class Reads:
    """What the database is asked meanwhile."""

    def __enter__(self) -> Reads:
        self.seen: list[str] = []
        self._wrapped = connection.execute_wrapper(self._note)
        self._wrapped.__enter__()
        return self

    def _note(self, execute: Any, sql: str, *args: Any) -> Any:
        self.seen.append(sql)
        return execute(sql, *args)

    def __exit__(self, *args: Any) -> None:
        self._wrapped.__exit__(*args)
