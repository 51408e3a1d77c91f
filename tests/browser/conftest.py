"""A browser, and a signed-in page in it that fails its test for errors of scripts, anything the Content-Security-Policy
refuses, and requests to elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from flow_app.admin import banner

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
#: What keeps Chromium from calling home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_known() -> None:
    """What this process shows for some seconds outlives the database of a test."""
    banner.forget()
    cache.clear()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    # Playwright's synchronous interface runs an event loop in this thread, and Django takes that for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def expected() -> set[int]:
    """Statuses from 500 on that a test brings about itself."""
    return set()


@pytest.fixture
def page(browser: Any, live_server: Any, expected: set[int]) -> Iterator[Any]:
    """A signed-in page. Errors of scripts, refusals by the policy, dialogs and requests to elsewhere fail the test."""
    client = Client()
    client.force_login(User.objects.create_superuser("maria"))
    context = browser.new_context(base_url=live_server.url)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    opened, bad = context.new_page(), []
    opened.on("pageerror", lambda error: bad.append(f"{opened.url}: script error: {error}"))
    opened.on("console", lambda said: _is_trouble(said) and bad.append(f"{opened.url}: {said.type}: {said.text}"))
    opened.on("dialog", lambda dialog: (bad.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda request: _is_foreign(request.url, live_server.url) and bad.append(request.url))
    opened.on(
        "response",
        lambda answer: (
            answer.status >= 500 and answer.status not in expected and bad.append(f"{answer.status} {answer.url}")
        ),
    )
    yield opened
    context.close()
    assert not bad


#: Counts what a mouse presses, over pages that follow each other. What is typed, Enter included, does not count.
_COUNT = "addEventListener('pointerdown', () => { sessionStorage.clicks = 1 + +(sessionStorage.clicks ?? 0); }, true)"


@pytest.fixture
def begin(page: Any) -> Iterator[Callable[[], Any]]:
    """Opens the overview for one job, which takes three clicks from there at most."""
    page.add_init_script(_COUNT)

    def overview() -> Any:
        page.goto("/admin/")
        page.locator("h1").wait_for()
        return page

    yield overview
    assert 1 <= page.evaluate("+sessionStorage.clicks") <= 3


def _is_trouble(said: Any) -> bool:
    """Whether a line in the console is about the page: a refusal by the policy, an expression Alpine cannot run.

    That the server refused something is no fault of the page, and tests look at it themselves.
    """
    return said.type in ("error", "warning") and not said.text.startswith("Failed to load resource")


def _is_foreign(url: str, ours: str) -> bool:
    return not url.startswith((ours, "data:"))
