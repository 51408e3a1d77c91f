"""API keys in the staff UI: a secret is shown once and kept nowhere, and nobody gives away more than they have."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.test import Client

from access_app import keys
from access_app.models import ApiKey, AuditEvent

pytestmark = pytest.mark.django_db

KEYS = "/admin/access_app/apikey/"


def create(client: Client, name: str = "shop", **fields: Any) -> Any:
    return client.post(f"{KEYS}add/", {"name": name, "scopes": ["tasks:read"], **fields})


def secret_in(response: Any) -> str:
    [secret] = re.findall(r"ts_[A-Za-z0-9_-]{43}", response.content.decode())
    return str(secret)


class TestCreating:
    def test_shows_a_secret_that_works(self, staff: Client) -> None:
        response = create(staff, expires_in_days="30", scopes=["tasks:read", "admin"])
        assert response.status_code == 201
        assert "no-store" in response["Cache-Control"]
        key = keys.find_key(secret_in(response))
        assert key is not None
        assert (key.name, key.scopes, key.created_by) == ("shop", ["admin", "tasks:read"], "user:maria")
        assert key.expires_at is not None
        assert AuditEvent.objects.values_list("actor", "action").get() == ("user:maria", "api_key.created")

    def test_keeps_the_secret_nowhere(self, staff: Client) -> None:
        response = create(staff)
        secret = secret_in(response)
        key = ApiKey.objects.get()
        for url in (KEYS, f"{KEYS}{key.pk}/change/", "/admin/access_app/auditevent/", "/admin/", f"{KEYS}add/"):
            assert secret not in staff.get(url).content.decode(), url
        assert not list(get_messages(response.wsgi_request))
        assert all(secret not in str(session.get_decoded()) for session in Session.objects.all())
        assert all(secret not in cookie.value for cookie in staff.cookies.values())
        assert secret not in str(AuditEvent.objects.values().get())
        assert bytes(key.key_hash) != secret.encode()

    def test_again_is_refused_without_a_secret(self, staff: Client) -> None:
        create(staff)
        response = create(staff)
        assert response.status_code == 422
        assert "taken" in response.context["form"].errors["name"][0]
        assert "ts_" not in response.content.decode().replace("ts_…", "")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": "no spaces"}, "name"),
            ({"name": "x" * 65}, "name"),
            ({"name": "a\0"}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["root"]}, "scopes"),
            ({"expires_in_days": "0"}, "expires_in_days"),
            ({"expires_in_days": "99999999999"}, "expires_in_days"),
        ],
    )
    def test_shows_problems_on_their_fields(self, staff: Client, fields: dict[str, Any], field: str) -> None:
        response = staff.post(f"{KEYS}add/", {"name": "shop", "scopes": ["tasks:read"], **fields})
        assert response.status_code == 422
        assert field in response.context["form"].errors
        assert not ApiKey.objects.exists()

    def test_grants_no_more_than_one_has(self, client: Client) -> None:
        reading = ["view_task", "view_taskexecution"]
        user = User.objects.create_user("victor", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=["add_apikey", "view_apikey", *reading]))
        client.force_login(user)
        for scope in ("admin", "tasks:write", "tasks:shell"):
            assert create(client, scopes=[scope]).status_code == 422, scope
        assert create(client).status_code == 201

    def test_needs_the_permission_to_add(self, client: Client) -> None:
        user = User.objects.create_user("victor", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
        client.force_login(user)
        assert client.get(KEYS).status_code == 200
        assert create(client).status_code == 403
        assert not ApiKey.objects.exists()


class TestRevoking:
    def test_refuses_the_key_from_then_on(self, staff: Client) -> None:
        key, secret = keys.create_key("shop", ["tasks:read"], actor="test")
        assert "Refuse this key" in staff.get(f"{KEYS}{key.pk}/change/").content.decode()
        staff.post(f"{KEYS}{key.pk}/revoke/")
        assert keys.find_key(secret) is None
        assert AuditEvent.objects.filter(actor="user:maria", action="api_key.revoked").count() == 1
        assert "Refuse this key" not in staff.get(f"{KEYS}{key.pk}/change/").content.decode()

    def test_many_at_once(self, staff: Client) -> None:
        made = [keys.create_key(name, ["tasks:read"], actor="test") for name in ("a", "b")]
        chosen = [str(key.pk) for key, _ in made]
        staff.post(KEYS, {"action": "revoke_selected", "index": "0", "_selected_action": chosen})
        assert [keys.find_key(secret) for _, secret in made] == [None, None]

    def test_needs_the_permission_to_change(self, client: Client) -> None:
        key, secret = keys.create_key("shop", ["tasks:read"], actor="test")
        user = User.objects.create_user("victor", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_apikey", "add_apikey"]))
        client.force_login(user)
        assert client.post(f"{KEYS}{key.pk}/revoke/").status_code == 403
        assert keys.find_key(secret) is not None
