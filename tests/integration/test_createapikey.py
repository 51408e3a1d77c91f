"""``createapikey``: the key alone on stdout, everything else on stderr."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from access_app.models import ApiKey, AuditEvent
from tests.support.api import Api


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("createapikey", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db
class TestCreateApiKey:
    def test_prints_a_key_that_works_alone_on_stdout(self) -> None:
        out, err = run("ci", "--scopes", "tasks:read, tasks:write")
        assert out.startswith("ts_")
        assert out.count("\n") == 1
        assert out.strip() not in err
        assert Api(out.strip()).get("/tasks").status_code == 200
        assert ApiKey.objects.get(name="ci").scopes == ["tasks:read", "tasks:write"]

    def test_stores_neither_the_key_nor_shows_it_in_the_audit_trail(self) -> None:
        secret = run("ci", "--scopes", "admin")[0].strip()
        key = ApiKey.objects.get(name="ci")
        assert secret not in f"{key.prefix} {bytes(key.key_hash)!r}"
        assert AuditEvent.objects.get(action="api_key.created").target == "api_key:ci"

    def test_may_expire(self) -> None:
        run("ci", "--scopes", "admin", "--expires", "1.5")
        left = ApiKey.objects.annotate(now=Now()).get(name="ci")
        assert left.expires_at - left.now == pytest.approx(timedelta(days=1.5), abs=timedelta(minutes=1))

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("a b", "--scopes", "admin"), "name"),
            (("x" * 65, "--scopes", "admin"), "name"),
            (("", "--scopes", "admin"), "name"),
            (("ci", "--scopes", "root"), "scopes"),
            (("ci", "--scopes", ""), "scopes"),
            (("ci", "--scopes", ","), "scopes"),
            (("ci",), "--scopes"),
            (("ci", "--scopes", "admin", "--expires", "0"), "--expires"),
            (("ci", "--scopes", "admin", "--expires", "-1"), "--expires"),
            (("ci", "--scopes", "admin", "--expires", "nan"), "--expires"),
            (("ci", "--scopes", "admin", "--expires", "1e9"), "--expires"),
            (("ci", "--scopes", "admin", "--expires", "soon"), "--expires"),
        ],
    )
    def test_refuses_bad_arguments_by_name(self, arguments: tuple[str, ...], named: str) -> None:
        with pytest.raises(CommandError, match=named) as refused:
            run(*arguments)
        assert refused.value.returncode in (1, 2)
        assert not ApiKey.objects.exists()

    def test_ends_with_status_2(self) -> None:
        with pytest.raises(CommandError) as refused:
            run("ci", "--scopes", "root")
        assert refused.value.returncode == 2

    def test_a_name_is_used_once(self) -> None:
        run("ci", "--scopes", "admin")
        with pytest.raises(CommandError, match="taken"):
            run("ci", "--scopes", "admin")
