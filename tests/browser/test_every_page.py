"""Every page in a browser, light and dark: nothing the Content-Security-Policy refuses, no error in the console, and
nothing that axe finds against the Web Content Accessibility Guidelines 2.2 AA.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.support.pages import admin_addresses, make_everything, make_schedules, other_addresses

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]

#: Pages outside the admin, and one that is not there.
ELSEWHERE: Final = {"docs": "/docs", "nothing": "/admin/nonsense/"}
RULES: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
}
#: How Swagger UI is built: links in buttons, headings that leave out a level, small links, a select without a name.
SWAGGER: Final = {"nested-interactive", "heading-order", "target-size", "select-name", "region"}
COLOURS: Final = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}


#: Pages of which rows are made: that they are walked depends on it.
ROWS: Final = {
    "tasks_app_task", "tasks_app_taskexecution", "tasks_app_failuregroup", "tasks_app_bulkoperation", "flow_app_queue",
    "flow_app_target", "flow_app_freeze", "schedules_app_schedule", "schedules_app_blackoutcalendar",
    "workflows_app_batch", "workflows_app_delivery", "workflows_app_webhookendpoint", "workers_app_worker",
    "workers_app_scheduler", "monitoring_app_mark", "access_app_apikey", "access_app_auditevent", "auth_user",
}  # fmt: skip


def pages_of(page: Any, text: str) -> dict[str, str]:
    """The address of each page by its name, with a text in all rows; what is no page, leads to another, or is refused
    as others are is left out.
    """
    make_everything(text)
    make_schedules("text")
    others, found = other_addresses(), {}
    for name, url in {**admin_addresses(), **others, **ELSEWHERE}.items():
        answer = page.request.get(url, max_redirects=0, headers={"Accept": "text/html"})
        is_page = answer.headers.get("content-type", "").startswith("text/html") and answer.body()
        if is_page and (answer.status == 200 or name in ELSEWHERE):
            found[name] = url
    assert {*others, "admin:history", *(f"admin:{name}_change" for name in ROWS)} <= found.keys()
    return found


def is_too_wide(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_is_clean(page: Any) -> None:
    found = []
    for name, url in pages_of(page, "text").items():
        page.emulate_media(color_scheme="light")
        page.goto(url)
        page.wait_for_function("!document.querySelector('[x-cloak]:not([x-show])')")  # Alpine has begun
        page.locator("h1").first.wait_for()  # and what Swagger UI draws is there
        found += [f"{name}: it scrolls sideways"] if is_too_wide(page) else []
        found += [f"{name}: it has no main"] if page.locator("main").count() != 1 else []
        page.evaluate(AXE_SCRIPT)
        found += violations(page, name, RULES)
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.documentElement.classList.add('dark')")
        found += violations(page, f"{name}, dark", COLOURS)
    assert not found, "\n".join(found)


def violations(page: Any, name: str, options: dict[str, Any]) -> list[str]:
    """What axe finds on a page as it is shown now: rule, element, and why."""
    result = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{name}: {each['id']}: {node['target']}: {node.get('failureSummary', '')}"
        for each in result["violations"]
        for node in each["nodes"]
        if not (name.startswith("docs") and each["id"] in SWAGGER)
    ]


def test_every_page_fits_a_phone_in_the_dark(page: Any) -> None:
    pages = pages_of(page, "a long text of many words, " * 20)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    wide = []
    for name, url in pages.items():
        page.goto(url)
        page.locator("h1").first.wait_for()
        if is_too_wide(page):
            wide.append(name)
        assert name in ELSEWHERE or page.evaluate("document.documentElement.classList.contains('dark')"), name
    assert not wide
