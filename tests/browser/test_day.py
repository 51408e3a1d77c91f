"""An operator's day: what people come for, in as few clicks as they have patience for, by mouse and by keys alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app.models import Queue
from tasks_app.models import BulkOperation, Task
from tasks_app.states import ExecutionStatus, Gate, TaskStatus
from tests.factories import make_batch, make_execution, make_task
from tests.support.pages import admin_addresses, make_everything, make_schedules, make_worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TASKS = "/admin/tasks_app/task/"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(autouse=True)
def fresh() -> None:
    cache.clear()


def make_failed(**columns: Any) -> Task:
    task = make_task(status=TaskStatus.FAILED, attempt=1, **columns)
    make_execution(task, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED, error_code="EXIT_CODE",
                   error_message="partner is down")  # fmt: skip
    return task


def succeed(task: Task) -> None:
    """As a worker does."""
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.SUCCESS, finished_at=task.created_at, attempt=2)
    make_execution(task, attempt=2, status=ExecutionStatus.SUCCESS, task_status=TaskStatus.SUCCESS)


def answer(page: Any, name: str, reason: str = "") -> None:
    """Press the button of the open question."""
    question = page.locator("dialog[open]")
    if reason:
        question.get_by_label("Reason").fill(reason)
    question.get_by_role("button", name=name).click()


def is_the_same_page(page: Any) -> bool:
    return bool(page.evaluate("window.marked === true"))


def test_a_failed_task_is_found_retried_and_seen_to_succeed(page: Any) -> None:
    """Three clicks from the overview, and no reload."""
    task = make_failed()
    page.goto("/admin/")
    page.locator(f"#failure-{task.pk} a").click()
    page.get_by_text("partner is down").first.wait_for()
    page.get_by_role("button", name="Retry").click()
    answer(page, "Retry", "partner is back")
    page.locator(".ts-head").get_by_text("PENDING").wait_for()
    page.evaluate("window.marked = true")
    succeed(task)
    page.locator(".ts-head").get_by_text("SUCCESS").wait_for()
    page.locator("#attempt-2").get_by_text("SUCCESS").wait_for()
    assert is_the_same_page(page)


def test_the_same_by_keys_alone(page: Any) -> None:
    task = make_failed()
    page.goto("/admin/")
    page.locator("h1").wait_for()
    page.keyboard.press("Control+k")
    page.locator("#search-input-command:focus").wait_for()
    page.keyboard.type(str(task.pk))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{task.pk}/change/")
    page.locator("h1").wait_for()
    tab_to(page, "Retry")
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    tab_to(page, "Reason")
    page.keyboard.type("partner is back")
    page.keyboard.press("Enter")
    page.locator(".ts-head").get_by_text("PENDING").wait_for()
    assert AuditEvent.objects.get(action="task.retried").reason == "partner is back"


def tab_to(page: Any, name: str) -> None:
    for _ in range(60):
        focused = page.evaluate(
            "[document.activeElement.textContent.trim(), document.activeElement.getAttribute('aria-label')]"
        )
        if name in focused:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached")


def test_many_are_cancelled_by_filter_with_their_number_typed(page: Any) -> None:
    for _ in range(3):
        make_task(queue="mail")
    other = make_task(queue="other")
    page.goto(f"{TASKS}?queue=mail&status=PENDING")
    page.get_by_role("link", name="Act on all that match").click()
    page.select_option("[name=action]", "cancel")
    page.fill("[name=reason]", "sent twice")
    page.get_by_role("button", name="Look").click()
    page.locator("#dry-run").get_by_text("3 tasks match.").wait_for()
    page.fill("[name=confirm]", "4")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("Nothing was done. Type 3 to begin.").wait_for()
    assert not BulkOperation.objects.exists()
    page.fill("[name=confirm]", "3")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("It has begun, on 3 tasks.").wait_for()
    operation = BulkOperation.objects.get()
    page.evaluate("window.marked = true")
    BulkOperation.objects.update(touched=2)
    page.locator(".ts-head").get_by_text("2 / 3").wait_for()
    assert is_the_same_page(page)
    page.get_by_role("button", name="Stop").click()
    answer(page, "Stop", "enough")
    page.get_by_text("It is stopped").wait_for()
    assert operation.filter["queue"] == ["mail"] or operation.filter["queue"] == "mail"
    assert Task.objects.get(pk=other.pk).status == TaskStatus.PENDING


def test_a_queue_is_limited_and_paused(page: Any) -> None:
    make_task(queue="mail")
    page.goto("/admin/flow_app/queue/")
    page.get_by_role("link", name="mail").click()
    page.get_by_label("At most", exact=True).fill("4")
    page.get_by_role("button", name="Save the rules").click()
    page.get_by_text("The rules of the queue mail are saved.").wait_for()
    page.locator("#pause").get_by_label("Reason").fill("partner is down")
    page.locator("#pause").get_by_role("button", name="Pause").click()
    page.get_by_text("Reason: partner is down").wait_for()
    queue = Queue.objects.get()
    assert (queue.max_concurrency, queue.is_paused) == (4, True)


def test_a_worker_is_drained(page: Any) -> None:
    worker = make_worker(name="node-7")
    page.goto("/admin/")
    page.locator(f"#worker-{worker.pk} a").click()
    page.get_by_role("button", name="Drain").click()
    answer(page, "Drain")
    page.get_by_text("1 worker asked to drain").wait_for()


def test_what_failed_in_a_batch_runs_again(page: Any) -> None:
    batch = make_batch(name="nightly", status="RUNNING")
    failed = make_failed(batch_id=batch.pk)
    kept = make_task(batch_id=batch.pk, status=TaskStatus.SUCCESS)
    page.goto(f"/admin/workflows_app/batch/{batch.pk}/change/")
    page.get_by_role("button", name="Rerun what failed").click()
    answer(page, "Rerun what failed", "partner is back")
    page.get_by_text("1 task will run again.").wait_for()
    assert Task.objects.get(pk=failed.pk).status == TaskStatus.PENDING
    assert Task.objects.get(pk=kept.pk).status == TaskStatus.SUCCESS


def test_a_task_is_approved_by_its_group(page: Any) -> None:
    User.objects.get(username="maria").groups.add(Group.objects.create(name="release"))
    asked = {"of": "group:release", "note": "release 7"}
    task = make_task(gate=Gate.APPROVAL, approval=asked, approval_asked_at=timezone.now(), created_by="user:anna")
    page.goto(f"{TASKS}?approval=mine")
    page.locator(f"[id='row-{task.pk}'] th a").click()
    page.get_by_role("button", name="Approve").click()
    answer(page, "Approve", "checked")
    page.get_by_text("1 task approved").wait_for()
    assert Task.objects.get().gate != Gate.APPROVAL


def test_the_audit_says_who_did_what_and_why(page: Any) -> None:
    task = make_failed()
    page.goto(f"{TASKS}{task.pk}/change/")
    page.get_by_role("button", name="Retry").click()
    answer(page, "Retry", "partner is back")
    page.get_by_text("1 task due again").wait_for()
    page.goto("/admin/access_app/auditevent/")
    row = page.locator("#result_list tbody tr").first
    for text in ("user:maria", "task.retried", "partner is back"):
        row.get_by_text(text).first.wait_for()


def test_a_viewer_may_look_and_do_nothing(page: Any, live_server: Any) -> None:
    task, worker = make_failed(), make_worker()
    victor = User.objects.create_user("victor", is_staff=True)
    victor.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(victor)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    for url, words in (
        (f"{TASKS}{task.pk}/change/", ("retry", "cancel", "clone")),
        (f"/admin/workers_app/worker/{worker.pk}/change/", ("drain",)),
        ("/admin/flow_app/queue/mail/change/", ("pause", "resume", "edit")),
    ):
        page.goto(url)
        assert page.locator("main form[method=post]").count() == 0, url
        token = page.context.cookies()[0]["value"]
        for word in words:
            headers = {"X-CSRFToken": token, "Referer": live_server.url + url}
            answered = page.request.post(url.replace("change/", f"{word}/"), headers=headers, max_redirects=0)
            assert answered.status == 403, (url, word)
    assert page.request.get(f"{TASKS}add/").status == 403


def test_every_page_fits_a_phone_in_the_dark(page: Any) -> None:
    make_everything("a long text of many words, " * 20)
    make_schedules("text")
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    wide = []
    for name, url in admin_addresses().items():
        response = page.request.get(url, max_redirects=0, headers={"Accept": "text/html"})
        if response.status != 200 or not response.headers.get("content-type", "").startswith("text/html"):
            continue
        page.goto(url)
        page.locator("h1").first.wait_for()
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(name)
        assert page.evaluate("document.documentElement.classList.contains('dark')"), name
    assert not wide
