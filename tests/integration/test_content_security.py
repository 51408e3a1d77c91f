"""The policy is on every answer, and no page has anything in it that the policy forbids."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from scheduler_project.content_security import DATA, HEADER, PAGE
from tests.support.pages import admin_addresses, make_everything, make_schedules

pytestmark = pytest.mark.django_db

#: Attributes whose value the browser runs or takes as a style.
FORBIDDEN_URLS = ("javascript:", "vbscript:", "data:text/html")


class Inline(HTMLParser):
    """Collects what a policy without 'unsafe-inline' blocks: scripts, styles, handlers, addresses that are code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag == "style" or (tag == "script" and "src" not in named and named.get("type") != "application/json"):
            self.found.append(f"<{tag}>")
        if tag in ("base", "object", "embed", "iframe"):
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.found.append(f"<{tag} {name}={value!r}>")
            if (value or "").strip().lower().startswith(FORBIDDEN_URLS):
                self.found.append(f"<{tag} {name}={value!r}>")

    handle_startendtag = handle_starttag


def inline_in(response: Any) -> list[str]:
    parser = Inline()
    parser.feed(response.content.decode())
    return parser.found


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("maria"))
    client.raise_request_exception = False
    return client


def routes() -> list[str]:
    """Every address outside the admin, with something in place of each parameter."""
    return ["/" + "".join(parts) for parts in _routes(get_resolver().url_patterns)]


def _routes(patterns: list[Any]) -> Any:
    for pattern in patterns:
        if isinstance(pattern, URLResolver) and pattern.namespace != "admin":
            yield from _routes(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            regex = pattern.pattern.regex.pattern.removeprefix("^").removesuffix("/?\\Z").removesuffix("\\Z")
            yield ["x" if part.startswith("(?P") else part for part in _parts(regex)]


def _parts(regex: str) -> list[str]:
    return re.split(r"(\(\?P<\w+>[^)]*\))", regex)


class TestEveryAnswer:
    def test_has_a_policy_that_lets_nothing_inline_through(self) -> None:
        assert "unsafe" not in PAGE + DATA
        for policy in (PAGE, DATA):
            for directive in ("default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
                assert directive in policy
        assert "form-action 'self'" in PAGE

    def test_of_the_admin_has_it_and_is_clean(self, staff: Client) -> None:
        make_everything("text")
        make_schedules("text")
        seen = 0
        for name, url in admin_addresses().items():
            response = staff.get(url)
            is_page = response["Content-Type"].startswith("text/html")
            assert response[HEADER] == (PAGE if is_page else DATA), name
            if is_page and response.content:
                assert inline_in(response) == [], name
                seen += 1
        assert seen > 40

    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "NONSENSE"])
    def test_of_the_api_has_it_with_and_without_a_session(self, staff: Client, method: str) -> None:
        for caller in (staff, Client(raise_request_exception=False)):
            for url in routes():
                response = caller.generic(method, url, "{}", "application/json")
                is_page = response["Content-Type"].startswith("text/html")
                assert response[HEADER] == (PAGE if is_page else DATA), url
                if is_page:
                    assert inline_in(response) == [], url

    @pytest.mark.parametrize(
        ("url", "status"),
        [("/admin/nonsense/", 404), ("/nonsense", 404), ("/admin/login/", 200), ("/static/scheduler/admin.css", 200),
         ("/static/scheduler/favicon.svg", 200), ("/static/nonsense.css", 404)],
    )  # fmt: skip
    def test_to_a_stranger_has_it(self, client: Client, url: str, status: int) -> None:
        for caller in (client, Client(HTTP_HOST="elsewhere.example")):
            response = caller.get(url)
            assert response.status_code in (status, 302, 400, 401)
            is_page = response["Content-Type"].startswith("text/html")
            assert response[HEADER] == (PAGE if is_page else DATA)
            if is_page:
                assert inline_in(response) == []
            response.close()
