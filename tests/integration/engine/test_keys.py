"""API keys: shown once, stored as a hash, refused when revoked or expired."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from access_app import keys
from access_app.keys import KeyRefused, create_key, find_key, revoke_key
from access_app.models import ApiKey, AuditEvent
from access_app.rights import Scope

pytestmark = pytest.mark.usefixtures("committed_db")


class TestCreateKey:
    def test_returns_a_secret_that_is_not_stored(self) -> None:
        key, secret = create_key("ci", [Scope.TASKS_READ], actor="me")
        with connection.cursor() as cursor:
            cursor.execute("SELECT row_to_json(k)::text, encode(key_hash, 'escape') FROM api_keys k")
            stored = "".join(cursor.fetchone())
        assert secret.startswith(keys.PREFIX)
        assert len(secret) >= len(keys.PREFIX) + 43  # 256 bits
        assert secret not in stored
        assert key.prefix == secret[:11]

    def test_makes_another_secret_each_time(self) -> None:
        assert len({create_key(f"k{n}", [Scope.ADMIN], actor="me")[1] for n in range(20)}) == 20

    def test_is_audited_without_the_secret(self) -> None:
        _, secret = create_key("ci", [Scope.ADMIN, Scope.TASKS_READ], actor="me")
        event = AuditEvent.objects.get()
        assert (event.actor, event.action, event.target) == ("me", "api_key.created", "api_key:ci")
        assert secret not in str(event.detail)

    @pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 65, "a\n", "ok\0", "scheduler", "System"])
    def test_refuses_a_bad_name(self, name: str) -> None:
        with pytest.raises(KeyRefused, match="name"):
            create_key(name, [Scope.ADMIN], actor="me")

    @pytest.mark.parametrize("scopes", [["root"], ["admin", "tasks:fly"], [""]])
    def test_refuses_unknown_scopes(self, scopes: list[str]) -> None:
        with pytest.raises(KeyRefused, match="scopes"):
            create_key("ci", scopes, actor="me")

    def test_never_gives_a_name_twice(self) -> None:
        """Tasks record who made them by this name, also after the key was revoked."""
        key, _ = create_key("ci", [Scope.ADMIN], actor="me")
        revoke_key(key, actor="me")
        with pytest.raises(KeyRefused, match="taken"):
            create_key("ci", [Scope.ADMIN], actor="me")
        assert ApiKey.objects.count() == 1


class TestFindKey:
    def test_finds_the_key_of_its_secret(self) -> None:
        key, secret = create_key("ci", [Scope.TASKS_READ], actor="me")
        create_key("other", [Scope.ADMIN], actor="me")
        found = find_key(secret)
        assert found is not None
        assert (found.pk, found.scopes) == (key.pk, ["tasks:read"])

    @pytest.mark.parametrize(
        "change", [lambda s: s[:-1], lambda s: s + "x", lambda s: s.upper(), lambda s: s[3:], lambda s: ""]
    )
    def test_finds_none_for_any_other_text(self, change: object) -> None:
        _, secret = create_key("ci", [Scope.ADMIN], actor="me")
        assert find_key(change(secret)) is None  # type: ignore[operator]

    def test_finds_none_that_was_revoked(self) -> None:
        key, secret = create_key("ci", [Scope.ADMIN], actor="me")
        revoke_key(key, actor="me")
        assert find_key(secret) is None

    def test_finds_none_that_has_expired_by_the_databases_clock(self) -> None:
        _, secret = create_key("ci", [Scope.ADMIN], actor="me", expires_in=timedelta(days=1))
        assert find_key(secret) is not None
        with connection.cursor() as cursor:
            cursor.execute("UPDATE api_keys SET expires_at = now()")
        assert find_key(secret) is None

    def test_notes_the_use_at_most_once_a_minute(self) -> None:
        _, secret = create_key("ci", [Scope.ADMIN], actor="me")
        find_key(secret)
        first = ApiKey.objects.get().last_used_at
        find_key(secret)
        assert first is not None
        assert ApiKey.objects.get().last_used_at == first
        with connection.cursor() as cursor:
            cursor.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
        find_key(secret)
        assert (ApiKey.objects.get().last_used_at or first) >= first


class TestRevokeKey:
    def test_is_audited_once(self) -> None:
        key, _ = create_key("ci", [Scope.ADMIN], actor="me")
        revoke_key(key, actor="you")
        revoke_key(key, actor="you")
        assert list(AuditEvent.objects.filter(action="api_key.revoked").values_list("actor", flat=True)) == ["you"]
