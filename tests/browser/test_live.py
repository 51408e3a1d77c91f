"""The overview while somebody looks at it: it moves and keeps what is in use, or says since when it does not move."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache

from tasks_app.states import TaskStatus
from tests.factories import make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def overview(page: Any) -> Any:
    """The overview, whose clock runs at the test's word: five seconds are over at once."""
    cache.clear()
    page.clock.install()
    page.goto("/admin/")
    page.locator("h1").wait_for()
    return page


def later(page: Any) -> None:
    """Let the page ask once more, and see the server's present."""
    cache.clear()
    with page.expect_response(lambda answer: answer.request.headers.get("x-live") == "1"):
        page.clock.run_for(5_100)


def running(page: Any) -> Any:
    return page.locator("a.ts-stat", has_text="Running").locator("b")


def test_keeps_focus_and_selection_while_it_moves(overview: Any) -> None:
    assert running(overview).inner_text() == "0"
    overview.get_by_role("link", name="All failed tasks").focus()
    overview.evaluate("getSelection().selectAllChildren(document.querySelector('.ts-chart').closest('section'))")
    chosen = overview.evaluate("getSelection().toString()")
    make_task(status=TaskStatus.RUNNING)
    make_task(status=TaskStatus.FAILED)
    later(overview)
    overview.wait_for_function("document.querySelectorAll('a.ts-stat b')[2].textContent === '1'")
    assert overview.evaluate("document.activeElement.textContent") == "All failed tasks"
    assert overview.evaluate("getSelection().toString()")[:20] == chosen[:20]
    assert overview.locator("#ts-live-notice").is_hidden()


def test_says_that_it_is_signed_out_and_leads_back(overview: Any) -> None:
    make_task(status=TaskStatus.RUNNING)
    Session.objects.all().delete()
    later(overview)
    notice = overview.locator("#ts-live-notice")
    notice.get_by_text("you are signed out").wait_for()
    assert "Stale since" in notice.inner_text()
    assert running(overview).inner_text() == "0"
    assert "next=%2Fadmin%2F" in notice.get_by_role("link").get_attribute("href")


def test_says_since_when_the_server_cannot_be_reached(overview: Any) -> None:
    overview.route("**/admin/", lambda route: route.abort())
    overview.clock.run_for(5_100)
    notice = overview.locator("#ts-live-notice")
    notice.get_by_text("the server cannot be reached").wait_for()
    since = overview.locator("#ts-overview").get_attribute("data-as-of")
    assert f"Stale since {since}" in notice.inner_text()
    overview.unroute("**/admin/")
    make_task(status=TaskStatus.RUNNING)
    cache.clear()
    overview.clock.run_for(10_100)
    notice.wait_for(state="hidden")
    assert running(overview).inner_text() == "1"


def test_says_what_the_server_answers(overview: Any) -> None:
    overview.route("**/admin/", lambda route: route.fulfill(status=429, body="no"))
    overview.clock.run_for(5_100)
    overview.locator("#ts-live-notice").get_by_text("the server answers 429").wait_for()
