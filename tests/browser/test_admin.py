"""The staff UI in a browser: buttons and dialogs work, nothing is fetched from elsewhere, hostile text stays text."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.factories import make_execution, make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDTHS = (1280, 400)


def test_many_tasks_are_cancelled_from_the_list(page: Any) -> None:
    tasks = [make_task() for _ in range(3)]
    page.goto("/admin/tasks_app/task/")
    for box in page.locator("#result_list input.action-select").all()[:2]:
        box.check()
    assert page.locator(".action-counter").inner_text() == "2 of 3 selected"
    page.select_option("select[name=action]", "cancel_selected")
    page.click("#changelist-actions button[type=submit]")
    page.get_by_text("2 tasks cancelled").wait_for()
    ended = Task.objects.filter(status=TaskStatus.CANCELLED)
    assert set(ended.values_list("pk", flat=True)) == {task.pk for task in tasks[1:]}


def test_a_task_is_retried_with_a_reason(page: Any) -> None:
    task = make_task(status=TaskStatus.FAILED)
    page.goto(f"/admin/tasks_app/task/{task.pk}/change/")
    page.get_by_role("button", name="Retry").click()
    page.get_by_placeholder("Reason").fill("partner is back")
    page.locator("dialog[open]").get_by_role("button", name="Retry").click()
    page.get_by_text("1 task due again").wait_for()
    assert page.get_by_text("partner is back").count() == 1


def test_pages_fit_and_keep_hostile_text_as_text(page: Any) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>" + "w" * 300
    result = {"exitCode": 1, "stdout": script, "stderr": "x" * 2000}
    task = make_task(status=TaskStatus.FAILED, attempt=1, payload={"command": script}, type="SHELL", queue="q" * 100)
    make_execution(task, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED, result=result,
                   error_code="EXIT_CODE", error_message=script)  # fmt: skip
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for url in (
            "/admin/",
            "/admin/tasks_app/task/",
            f"/admin/tasks_app/task/{task.pk}/change/",
            "/admin/tasks_app/task/add/",
        ):
            page.goto(url, wait_until="networkidle")
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, (url, width)


def test_the_overview_refreshes_itself(page: Any) -> None:
    page.goto("/admin/")
    make_task(status=TaskStatus.RUNNING)
    cache.clear()
    tile = page.locator("a.ts-stat", has_text="Running")
    tile.get_by_text("1", exact=True).wait_for(timeout=12_000)
