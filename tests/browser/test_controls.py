"""What the frame round every page offers, and the API's documents, work under the strict policy of their answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from access_app import keys
from tests.factories import make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TASKS = "/admin/tasks_app/task/"


def test_the_account_menu_switches_to_dark_and_signs_out(page: Any) -> None:
    page.goto("/admin/")
    page.get_by_role("button", name="maria").press("Enter")
    page.get_by_role("button", name="Dark", exact=True).click()
    page.wait_for_selector("html.dark")
    page.reload()
    page.wait_for_selector("html.dark")
    page.get_by_role("button", name="maria").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("Logged out").first.wait_for()


def test_the_navigation_is_folded_and_stays_so(page: Any) -> None:
    page.goto("/admin/")
    page.get_by_role("button", name="Navigation").click()
    page.locator("#nav-sidebar").wait_for(state="hidden")
    page.reload()
    page.get_by_role("button", name="Navigation").wait_for()
    assert not page.locator("#nav-sidebar").is_visible()
    page.set_viewport_size({"width": 400, "height": 900})
    page.get_by_role("button", name="Navigation").click()
    page.locator("#nav-sidebar").wait_for(state="visible")
    page.get_by_role("button", name="Close the navigation").click()
    page.locator("#nav-sidebar").wait_for(state="hidden")


def test_a_choice_among_the_filters_is_applied_at_once(page: Any) -> None:
    make_task(type="HTTP")
    make_task(type="DUMMY")
    page.goto(TASKS)
    page.select_option("select[name=type]", "HTTP")
    page.wait_for_url("**type=HTTP**")
    assert page.locator("#result_list tbody tr").count() == 1


def test_the_bar_of_actions_is_as_wide_as_the_list(page: Any) -> None:
    make_task()
    page.goto(TASKS)
    page.locator("input.action-select").check()
    bar, around = page.locator("#changelist-actions"), page.locator(".result-list-wrapper")
    bar.wait_for(state="visible")
    assert abs(bar.bounding_box()["width"] - around.bounding_box()["width"]) < 2


def test_a_new_key_is_copied(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/access_app/apikey/add/")
    page.fill("[name=name]", "shop")
    page.get_by_label("tasks:read").check()
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    secret = page.evaluate("navigator.clipboard.readText()")
    assert keys.find_key(secret) is not None


def test_an_account_is_changed(page: Any) -> None:
    User.objects.create_user("victor")
    page.goto(f"/admin/auth/user/{User.objects.get(username='victor').pk}/change/")
    page.locator("[data-id=related-widget-wrapper-groups] [x-on\\:click]").click()
    page.locator("#related-widget-wrapper-groups").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.fill("[name=first_name]", "Victor")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()
    assert User.objects.get(username="victor").first_name == "Victor"


def test_the_api_documents_call_the_api(page: Any) -> None:
    page.goto("/docs")
    page.locator(".opblock-summary-get [data-path='/tasks']").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table .response-col_status", has_text="200").first.wait_for()
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input").first.fill("ts_nonsense")
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").first.click()


def test_signing_in(browser: Any, page: Any, live_server: Any) -> None:
    User.objects.create_user("anna", password="a long password", is_staff=True)
    page.context.clear_cookies()
    page.goto("/admin/")
    page.get_by_role("button", name="Light or dark").click()
    page.get_by_role("button", name="Dark", exact=True).click()
    page.wait_for_selector("html.dark")
    page.fill("[name=username]", "anna")
    page.fill("[name=password]", "a long password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="anna").wait_for()
