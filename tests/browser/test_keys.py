"""Getting about without a mouse: Ctrl-K, keys of one letter, the way past the navigation."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session

from tests.factories import make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TASKS = "/admin/tasks_app/task/"


def palette(page: Any) -> Any:
    page.keyboard.press("Control+k")
    page.locator("#search-input-command:focus").wait_for()
    return page.locator("#search-input-command")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.closest('tr')?.id || document.activeElement.id"))


def test_control_k_finds_a_page_and_closes(page: Any) -> None:
    page.goto("/admin/")
    palette(page).press_sequentially("sched")
    page.locator("#command-results-list li").nth(3).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/schedulefire/")
    palette(page).press("Escape")
    page.locator("#search-input-command").wait_for(state="hidden")


def test_an_id_that_is_pasted_and_entered_at_once_opens_its_page(page: Any) -> None:
    """Enter comes before the answer, and does not open what was found for other words."""
    task = make_task()
    page.goto(TASKS)
    page.locator(".ts-search").focus()
    box = palette(page)
    box.fill("queue")
    page.locator("#command-results-list[data-for=queue] li").first.wait_for()
    box.fill(str(task.pk))
    box.press("Enter")
    page.wait_for_url(f"**/task/{task.pk}/change/")


def test_says_why_nothing_is_found(page: Any) -> None:
    page.goto("/admin/")
    box = palette(page)
    box.fill("no such thing")
    page.get_by_text("Nothing is called that.").wait_for()
    Session.objects.all().delete()
    box.fill("queue")
    page.get_by_text("You are signed out.").wait_for()


def test_rows_are_reached_chosen_and_opened_by_keys(page: Any) -> None:
    tasks = [make_task() for _ in range(3)]
    page.goto(TASKS)
    page.locator("h1").wait_for()
    for key, at in (("j", 2), ("j", 1), ("k", 2), ("j", 1)):
        page.keyboard.press(key)
        assert focused(page) == f"row-{tasks[at].pk}"
    page.keyboard.press("x")
    assert page.locator(".action-counter").inner_text() == "1 of 3 selected"
    page.keyboard.press("/")
    page.keyboard.type("jx?")
    assert page.locator(".ts-search").input_value() == "jx?"
    page.locator(".ts-search").blur()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/task/{tasks[2].pk}/change/")


def test_keys_of_one_letter_are_listed_and_switched_off(page: Any) -> None:
    make_task()
    page.goto(TASKS)
    page.locator("h1").wait_for()
    page.keyboard.press("?")
    sheet = page.locator("#ts-keys")
    sheet.get_by_label("Keys of one letter").uncheck()
    sheet.get_by_role("button", name="Close").click()
    page.reload()
    page.locator("h1").wait_for()
    page.keyboard.press("j")
    assert focused(page) == ""
    page.get_by_role("button", name="Keys").click()
    sheet.get_by_label("Keys of one letter").check()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert focused(page).startswith("row-")


def test_the_first_tab_leads_past_the_navigation(page: Any) -> None:
    page.goto(TASKS)
    page.locator("h1").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")
    assert focused(page) == "main"
