"""Flow control in a browser: a limit is set, a key set apart and removed, a target added, and `why` followed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flow_app import freezes
from flow_app.freezes import NewFreeze
from flow_app.models import Freeze, Queue, QueueKey, Target
from flow_app.queue_keys import set_key
from flow_app.queues import pause_queue
from flow_app.targets import Rules, put_target
from tests.factories import make_task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUEUES = "/admin/flow_app/queue/"
TARGETS = "/admin/flow_app/target/"
NARROW = {"width": 390, "height": 844}


def test_a_limit_is_set_from_the_list_of_queues(page: Any) -> None:
    make_task(queue="mail")
    page.goto(QUEUES)
    page.get_by_role("link", name="mail").click()
    page.get_by_label("At most", exact=True).fill("4")
    page.get_by_role("button", name="Save the rules").click()
    page.get_by_text("The rules of the queue mail are saved.").wait_for()
    assert Queue.objects.get().max_concurrency == 4
    page.get_by_label("At most", exact=True).fill("1000000")
    page.get_by_role("button", name="Save the rules").click()
    page.locator(".ts-problem").wait_for()
    assert Queue.objects.get().max_concurrency == 4


def test_queues_without_an_entry_are_paused_from_the_list(page: Any) -> None:
    make_task(queue="mail")
    page.goto(QUEUES)
    page.locator("input.action-select").check()
    page.select_option("select[name=action]", "pause_selected")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("1 queue paused: mail.").wait_for()
    assert Queue.objects.get().paused_by == "user:maria"


def test_a_queue_is_frozen(begin: Callable[[], Any]) -> None:
    make_task(queue="mail")
    page = begin()
    page.locator("#nav-sidebar").get_by_role("link", name="Freezes").click()
    page.get_by_role("link", name="Freeze", exact=True).click()
    page.get_by_label("Queues").fill("mail")
    page.get_by_label("Reason").fill("partner is down")
    page.get_by_role("button", name="Freeze", exact=True).click()
    page.get_by_text("Frozen: queue mail. What runs goes on").wait_for()
    page.goto("/admin/")
    page.locator("#ts-incident").get_by_text("partner is down").wait_for()
    assert Freeze.objects.get().queues == ["mail"]


def test_it_is_thawed_from_the_banner_at_a_rate(begin: Callable[[], Any]) -> None:
    make_task(queue="mail")
    freezes.freeze(NewFreeze(queues=["mail"], reason="partner is down"), actor="user:anna")
    page = begin()
    page.locator("#ts-incident").get_by_role("link", name="Incident page").click()
    for field, number in zip(page.locator("#thaw input[type=number]").all(), ("10", "1"), strict=False):
        field.fill(number)
    page.locator("#thaw").get_by_role("button", name="Thaw").click()
    page.get_by_text("It is thawed").wait_for()
    assert page.locator("#ts-incident").count() == 0
    assert Freeze.objects.get().thawed_by == "user:maria"


def test_a_key_is_set_apart_changed_and_removed(page: Any) -> None:
    key = "tenant/41 <b>&"
    page.goto(f"{QUEUES}mail/change/")
    page.get_by_role("link", name="Set a key apart").click()
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_label("At most").fill("8")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("is saved.").wait_for()
    page.get_by_role("link", name=f"Change {key}").click()
    assert page.get_by_label("Key", exact=True).input_value() == key
    page.get_by_label("Paused").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("none, it is paused").wait_for()
    assert QueueKey.objects.get().max_concurrency == 8
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    assert QueueKey.objects.exists()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("is as usual again.").wait_for()
    assert not QueueKey.objects.exists()


def test_a_key_that_somebody_changed_meanwhile_is_not_overwritten(page: Any) -> None:
    set_key("mail", "k", {"weight": 2}, actor="a")
    page.goto(f"{QUEUES}mail/key/?key=k")
    set_key("mail", "k", {"weight": 9}, actor="other")
    page.get_by_label("Weight").fill("3")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Somebody changed this key meanwhile").wait_for()
    assert QueueKey.objects.get().weight == 9


def test_a_target_is_added_and_forgotten(page: Any) -> None:
    page.goto(TARGETS)
    page.get_by_role("link", name="New target").click()
    page.get_by_label("Host").fill("API.example.com")
    page.get_by_label("At most").fill("8")
    page.get_by_role("button", name="Add target").click()
    page.get_by_text("The rules of api.example.com hold from now on.").wait_for()
    target = Target.objects.get()
    assert (target.host, target.max_concurrency, target.respect_retry_after) == ("api.example.com", 8, True)
    page.get_by_role("button", name="Forget its rules").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget its rules").click()
    page.get_by_text("has no rules any more.").wait_for()
    assert not Target.objects.exists()


def test_why_leads_to_what_holds_a_task_and_lets_it_go(page: Any) -> None:
    put_target("api.example.com", Rules(max_concurrency=0), actor="a")
    Target.objects.update(backing_off_until=timezone.now() + timedelta(minutes=5))
    pause_queue("mail", actor="user:anna", reason="a look")
    task = f"/admin/tasks_app/task/{make_task(queue='mail', target='api.example.com').pk}/change/"
    page.goto(task)
    page.locator("#why").get_by_role("link", name="Target api.example.com").first.click()
    page.get_by_text("It asked to be left alone").wait_for()
    page.goto(task)
    page.locator("#why").get_by_role("link", name="Change the rules of the target").first.click()
    page.wait_for_url("**#rules")
    page.goto(task)
    page.locator("#why").get_by_role("button", name="Resume the queue").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume the queue").click()
    page.get_by_text("The queue mail is open.").wait_for()
    assert Queue.objects.get().paused_at is None


@pytest.mark.parametrize("word", ["queue", "target", "task"])
def test_pages_are_no_wider_than_a_phone(page: Any, word: str) -> None:
    """Names of strangers are long, and without a place to break."""
    long = "x" * 90
    put_target("h" * 200, Rules(max_concurrency=1), actor="a")
    set_key(long, "k" * 200, {"weight": 2}, actor="a")
    pause_queue(long, actor="a" * 90, reason="r" * 400)
    task = make_task(queue=long, target="h" * 200, concurrency_key="k" * 200)
    rows = {
        "queue": f"flow_app/queue/{long}",
        "target": f"flow_app/target/{'h' * 200}",
        "task": f"tasks_app/task/{task.pk}",
    }
    page.set_viewport_size(NARROW)
    for address in (f"/admin/{rows[word]}/change/", f"/admin/{rows[word].rpartition('/')[0]}/"):
        page.goto(address)
        page.locator("h1").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
