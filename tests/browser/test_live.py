"""Pages while somebody looks at them: they move and keep what is in use, or say since when they do not move."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache

from flow_app import freezes
from flow_app.admin import banner
from flow_app.freezes import NewFreeze
from scheduler_project.accounts.viewers import VIEWERS
from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.factories import make_execution, make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def overview(page: Any) -> Any:
    """The overview, whose clock runs at the test's word: five seconds are over at once."""
    cache.clear()
    page.clock.install()
    page.goto("/admin/")
    page.locator("h1").wait_for()
    return page


def later(page: Any, seconds: int = 5) -> None:
    """Let the page ask once more, and see the server's present."""
    cache.clear()
    VIEWERS._checked_at = float("-inf")
    with page.expect_response(lambda answer: answer.request.headers.get("x-live") == "1"):
        page.clock.run_for(seconds * 1000 + 100)


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


@pytest.fixture
def failed(page: Any) -> Task:
    """A task that has failed twice, and its page."""
    task = make_task(status=TaskStatus.FAILED, attempt=2)
    for attempt in (1, 2):
        make_execution(task, attempt=attempt, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED,
                       error_code="EXIT_CODE", error_message="boom", result={"stdout": "line\n" * 300})  # fmt: skip
    page.clock.install()
    page.goto(f"/admin/tasks_app/task/{task.pk}/change/")
    return task


def succeed(task: Task) -> None:
    """As if it had been retried elsewhere, and done."""
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.SUCCESS, unsuccessful=False, attempt=3)
    make_execution(task, attempt=3, status=ExecutionStatus.SUCCESS, task_status=TaskStatus.SUCCESS)


def test_the_page_of_a_task_moves_under_what_is_read(page: Any, failed: Task) -> None:
    page.locator("#attempt-1 summary").click()
    output = page.locator("#attempt-2 pre")
    output.evaluate("box => { box.scrollTop = 500; }")
    page.locator("#attempt-1 summary").focus()
    succeed(failed)
    later(page, 20)
    page.locator(".ts-head").get_by_text("SUCCESS").wait_for()
    page.locator("#attempt-3").wait_for()
    assert page.locator("#attempt-1").get_attribute("open") is not None
    assert output.evaluate("box => box.scrollTop") == 500
    assert page.evaluate("document.activeElement.closest('details').id") == "attempt-1"


def test_a_question_stands_until_it_is_decided(page: Any, failed: Task) -> None:
    page.get_by_role("button", name="Retry").click()
    page.get_by_placeholder("Reason").fill("partner is back")
    succeed(failed)
    later(page, 20)
    assert page.get_by_placeholder("Reason").input_value() == "partner is back"
    assert page.locator(".ts-head").get_by_text("FAILED").count() == 1
    page.locator("dialog[open]").get_by_role("button", name="Back").click()
    later(page, 20)
    page.locator(".ts-head").get_by_text("SUCCESS").wait_for()


def test_what_is_being_filled_in_stays(page: Any) -> None:
    make_task(queue="mail")
    page.clock.install()
    page.goto("/admin/flow_app/queue/mail/change/")
    page.get_by_label("At most", exact=True).fill("4")
    page.locator("h2").first.click()
    later(page)
    page.wait_for_function("document.querySelector('#ts-row').dataset.asOf")
    assert page.get_by_label("At most", exact=True).input_value() == "4"


def test_says_that_a_task_is_gone(page: Any, failed: Task) -> None:
    failed.delete()
    later(page, 20)
    page.locator("#ts-live-notice").get_by_text("it is gone").wait_for()


def test_a_hidden_page_asks_nothing(page: Any, failed: Task) -> None:
    asked = []
    page.on("request", lambda request: request.headers.get("x-live") and asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })")
    page.clock.run_for(120_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true })")
    with page.expect_response(lambda answer: answer.request.headers.get("x-live") == "1"):
        page.evaluate("dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture
def rows(page: Any) -> Any:
    """The list of three tasks, the mouse elsewhere."""
    for _ in range(3):
        make_task()
    page.clock.install()
    page.goto("/admin/tasks_app/task/")
    page.mouse.move(5, 5)
    return page.locator("#result_list tbody tr")


def test_a_list_takes_up_what_comes(page: Any, rows: Any) -> None:
    newest = make_task()
    Task.objects.exclude(pk=newest.pk).update(queue="mail")
    later(page, 10)
    page.locator(f"[id='row-{newest.pk}']").wait_for()
    assert rows.count() == 4
    assert rows.nth(3).get_by_text("mail").count() == 1
    rows.first.locator("input").check()
    assert page.locator(".action-counter").inner_text() == "1 of 4 selected"


def test_a_list_keeps_its_order_under_the_hand(page: Any, rows: Any) -> None:
    first, chosen = rows.first.get_attribute("id"), rows.nth(1)
    chosen.locator("input").check()
    make_task()
    oldest = Task.objects.order_by("pk")[0]
    Task.objects.filter(pk=oldest.pk).update(queue="mail")
    later(page, 10)
    rows.nth(2).get_by_text("mail").wait_for()
    assert rows.count() == 3
    assert rows.first.get_attribute("id") == first
    page.get_by_role("button", name="1 new: show the list as it is now").click()
    assert rows.count() == 4
    assert rows.nth(2).locator("input").is_checked()
    assert page.locator(".action-counter").inner_text() == "1 of 4 selected"
    assert page.locator("#ts-fresh button").count() == 0


def test_rows_are_chosen_in_a_range_and_all_at_once(page: Any, rows: Any) -> None:
    rows.first.locator("input").check()
    rows.nth(2).locator("input").click(modifiers=["Shift"])
    assert page.locator(".action-counter").inner_text() == "3 of 3 selected"
    assert page.locator("#action-toggle").is_checked()
    page.locator("#action-toggle").click()
    assert page.locator("#result_list :checked").count() == 0


def test_what_is_frozen_meanwhile_is_said_at_the_top(overview: Any) -> None:
    freezes.freeze(NewFreeze(types=["SHELL"], reason="it is down"), actor="ops")
    banner.forget()
    later(overview)
    overview.locator("#ts-incident").get_by_text("Frozen: type SHELL").wait_for()
