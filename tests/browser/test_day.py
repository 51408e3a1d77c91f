"""An operator's day: what people come for, in three clicks from the overview at most, by mouse and by keys alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app.models import Queue
from tasks_app.models import BulkOperation, Task
from tasks_app.states import ExecutionStatus, Gate, TaskStatus
from tests.factories import make_batch, make_execution, make_failure, make_task
from tests.support.pages import make_worker

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TASKS = "/admin/tasks_app/task/"
Begin = Callable[[], Any]


def make_failed(**columns: Any) -> Task:
    task = make_task(status=TaskStatus.FAILED, attempt=1, **columns)
    make_execution(task, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED, error_code="EXIT_CODE",
                   error_message="partner is down")  # fmt: skip
    return task


def succeed(task: Task) -> None:
    """As a worker does."""
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.SUCCESS, finished_at=task.created_at, attempt=2)
    make_execution(task, attempt=2, status=ExecutionStatus.SUCCESS, task_status=TaskStatus.SUCCESS)


def open_from(page: Any, name: str) -> None:
    """Take a way of the navigation."""
    page.locator("#nav-sidebar").get_by_role("link", name=name, exact=True).click()
    page.wait_for_url(lambda url: not url.endswith("/admin/"))


def answer(page: Any, name: str) -> None:
    """Press the button of the open question."""
    page.locator("dialog[open]").get_by_role("button", name=name).click()


def give_reason(page: Any, reason: str) -> None:
    """Decide the open question by Enter, behind a reason."""
    page.locator("dialog[open]").get_by_label("Reason").fill(reason)
    page.keyboard.press("Enter")


def is_the_same_page(page: Any) -> bool:
    return bool(page.evaluate("window.marked === true"))


def test_a_failed_task_is_found_retried_and_seen_to_succeed(begin: Begin) -> None:
    """And no reload."""
    task = make_failed()
    page = begin()
    page.locator(f"#failure-{task.pk} a").click()
    page.get_by_text("partner is down").first.wait_for()
    page.get_by_role("button", name="Retry").click()
    page.locator("dialog[open]").get_by_label("Reason").fill("partner is back")
    answer(page, "Retry")
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


def test_many_are_cancelled_by_filter_with_their_number_typed(begin: Begin) -> None:
    for _ in range(3):
        make_task(queue="mail")
    other = make_task(queue="other")
    page = begin()
    page.locator("a.ts-stat", has_text="Pending").click()
    page.get_by_placeholder("Queue, exactly").fill("mail")
    page.keyboard.press("Enter")
    page.wait_for_url("**queue=mail**")
    page.get_by_role("link", name="Act on all that match").click()
    page.select_option("[name=action]", "cancel")
    page.fill("[name=reason]", "sent twice")
    page.keyboard.press("Enter")
    page.locator("#dry-run").get_by_text("3 tasks match.").wait_for()
    page.fill("[name=confirm]", "4")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was done. Type 3 to begin.").wait_for()
    assert not BulkOperation.objects.exists()
    page.fill("[name=confirm]", "3")
    page.keyboard.press("Enter")
    page.get_by_text("It has begun, on 3 tasks.").wait_for()
    operation = BulkOperation.objects.get()
    page.evaluate("window.marked = true")
    BulkOperation.objects.update(touched=2)
    page.locator(".ts-head").get_by_text("2 / 3").wait_for()
    assert is_the_same_page(page)
    page.get_by_role("button", name="Stop").click()
    give_reason(page, "enough")
    page.get_by_text("It is stopped").wait_for()
    assert operation.filter["queue"] == "mail"
    assert Task.objects.get(pk=other.pk).status == TaskStatus.PENDING


def test_what_failed_alike_is_retried(begin: Begin) -> None:
    failures = [make_failure(f"partner {n} is down", queue="mail") for n in (7, 8)]
    other = make_failure("no such file")
    page = begin()
    open_from(page, "Failures")
    rows = page.locator("#result_list tbody tr")
    assert rows.count() == 2
    rows.filter(has_text="is down").locator("th a, td a").first.click()
    page.get_by_role("link", name="Last hour").click()
    page.fill("[name=reason]", "partner is back")
    page.keyboard.press("Enter")
    page.locator("#dry-run").get_by_text("2 tasks match.").wait_for()
    page.fill("[name=confirm]", "2")
    page.keyboard.press("Enter")
    page.get_by_text("It has begun, on 2 tasks.").wait_for()
    found = BulkOperation.objects.get()
    assert (found.action, found.filter["failure"]) == ("retry", failures[0].fingerprint)
    assert other.fingerprint != failures[0].fingerprint


def test_a_queue_is_limited(begin: Begin) -> None:
    make_task(queue="mail")
    page = begin()
    page.get_by_role("link", name="Pause and resume").click()
    page.get_by_role("link", name="mail").click()
    page.get_by_label("At most", exact=True).fill("4")
    page.get_by_role("button", name="Save the rules").click()
    page.get_by_text("The rules of the queue mail are saved.").wait_for()
    assert Queue.objects.get().max_concurrency == 4


def test_a_queue_is_paused(begin: Begin) -> None:
    make_task(queue="mail")
    page = begin()
    page.get_by_role("link", name="Pause and resume").click()
    page.get_by_role("link", name="mail").click()
    page.locator("#pause").get_by_label("Reason").fill("partner is down")
    page.locator("#pause").get_by_role("button", name="Pause").click()
    page.get_by_text("Reason: partner is down").wait_for()
    assert Queue.objects.get().is_paused


def test_a_worker_is_drained(begin: Begin) -> None:
    worker = make_worker(name="node-7")
    page = begin()
    page.locator(f"#worker-{worker.pk} a").click()
    page.get_by_role("button", name="Drain").click()
    answer(page, "Drain")
    page.get_by_text("1 worker asked to drain").wait_for()


def test_what_failed_in_a_batch_runs_again(begin: Begin) -> None:
    batch = make_batch(name="nightly", status="RUNNING")
    failed = make_failed(batch_id=batch.pk)
    kept = make_task(batch_id=batch.pk, status=TaskStatus.SUCCESS)
    page = begin()
    open_from(page, "Batches")
    page.locator("#result_list").get_by_role("link").filter(has_text="nightly").first.click()
    page.get_by_role("button", name="Rerun what failed").click()
    give_reason(page, "partner is back")
    page.get_by_text("1 task will run again.").wait_for()
    assert Task.objects.get(pk=failed.pk).status == TaskStatus.PENDING
    assert Task.objects.get(pk=kept.pk).status == TaskStatus.SUCCESS


def test_a_task_is_approved_by_its_group(begin: Begin) -> None:
    User.objects.get(username="maria").groups.add(Group.objects.create(name="release"))
    asked = {"of": "group:release", "note": "release 7"}
    task = make_task(gate=Gate.APPROVAL, approval=asked, approval_asked_at=timezone.now(), created_by="user:anna")
    page = begin()
    open_from(page, "To approve")
    page.locator(f"[id='row-{task.pk}'] th a").click()
    page.get_by_role("button", name="Approve").click()
    give_reason(page, "checked")
    page.get_by_text("1 task approved").wait_for()
    assert Task.objects.get().gate != Gate.APPROVAL


def test_the_audit_says_who_did_what_and_why(begin: Begin) -> None:
    AuditEvent.objects.create(actor="user:anna", action="task.retried", target="task:1", reason="partner is back")
    page = begin()
    open_from(page, "Audit trail")
    row = page.locator("#result_list tbody tr").first
    for text in ("user:anna", "task.retried", "partner is back"):
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
