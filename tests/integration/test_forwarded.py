"""A request's address and scheme in log lines, links and cookies, with and without a proxy in front; and a bad Host."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from django.conf import settings
from django.test import Client
from django_structlog.signals import bind_extra_request_finished_metadata
from python_ipware.modern import defaults

from tests.support.api import Api, problem_of
from tests.support.logs import capture_logs
from tests.unit.test_proxies import WRITTEN_BY_PROXIES

FORGED = "198.51.100.66"
STRANGER = "203.0.113.9"
PROXY = "127.0.0.1"
#: All names that the library which used to look for the address knows, and ours.
HEADERS = sorted({*WRITTEN_BY_PROXIES, *defaults.DEFAULT_PRECEDENCE} - {"REMOTE_ADDR"})


def addresses_logged(path: str, **meta: Any) -> set[str]:
    """What is bound as ``ip`` when the line of a request is written."""
    bound: set[str] = set()

    def note(**_: Any) -> None:
        bound.add(structlog.contextvars.get_contextvars()["ip"])

    bind_extra_request_finished_metadata.connect(note)
    try:
        Client(raise_request_exception=False).get(path, **meta)
    finally:
        bind_extra_request_finished_metadata.disconnect(note)
    return bound


class TestAddress:
    @pytest.mark.parametrize("header", HEADERS)
    def test_is_not_what_a_stranger_writes(self, db: None, header: str) -> None:
        assert addresses_logged("/tasks", REMOTE_ADDR=STRANGER, **{header: FORGED}) == {STRANGER}

    def test_is_what_a_trusted_proxy_says(self, db: None) -> None:
        said = {"HTTP_X_FORWARDED_FOR": f"{FORGED}, {STRANGER}"}
        assert addresses_logged("/tasks", REMOTE_ADDR=PROXY, **said) == {STRANGER}


class TestScheme:
    @pytest.mark.parametrize(("peer", "secure"), [(STRANGER, False), (PROXY, True)])
    def test_is_believed_of_a_trusted_proxy_only(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any, db: None, peer: str, secure: bool
    ) -> None:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # as in the prod profile
        settings.SECURE_HSTS_SECONDS = 60
        answer = Client().get("/health/live", headers={"X-Forwarded-Proto": "https"}, REMOTE_ADDR=peer)
        assert answer.has_header("Strict-Transport-Security") is secure


def test_proxies_are_settled_before_anything_looks() -> None:
    assert settings.MIDDLEWARE[0] == "scheduler_project.web.proxies.TrustedProxies"


class TestBadHost:
    @pytest.mark.parametrize("host", ["evil.example", "a b", "x" * 5_000, "evil.example\r\nX: y", ""])
    def test_is_one_short_line_at_info_and_a_400(self, api: Api, caplog: pytest.LogCaptureFixture, host: str) -> None:
        with capture_logs() as lines:
            problem = problem_of(api.get("/tasks", Host=host), 400)
        assert problem["detail"] == "The Host header names no host of this site."
        [line] = lines
        assert (line["event"], line["log_level"], line["kind"]) == ("request_refused", "info", "DisallowedHost")
        assert len(line["reason"]) <= 200
        assert "exc_info" not in line
