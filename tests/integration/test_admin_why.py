"""Why a task is not running, on its page: what each reason leads to, and what the viewer may do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flow_app.models import Queue, Target
from flow_app.queue_keys import set_key
from flow_app.queues import edit_queue, pause_queue
from flow_app.targets import Rules, put_target
from tasks_app.admin.why_panel import LONGEST_DETAIL, Shown
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.forms import forms_of
from tests.support.people import sign_in
from workers_app.models import Worker

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"
VIEWS = ("view_task", "view_queue", "view_target", "view_worker", "view_scheduler")


def page_of(task: Task) -> str:
    return f"/admin/tasks_app/task/{task.pk}/change/"


def panel(client: Client, task: Task) -> dict[str, Shown]:
    return {shown.code: shown for shown in client.get(page_of(task)).context["reasons"]}


def led_to(shown: Shown) -> list[str]:
    return [step.label for step in shown.links]


def offered(shown: Shown) -> list[str]:
    return [step.label for step in shown.actions]


def held_in_every_way(queue: str = "q", key: str = "k", host: str = "api.example.com") -> Task:
    """A task that waits for all that its queue, its key and its target can make it wait for."""
    put_target(host, Rules(max_concurrency=1), actor="a")
    Target.objects.update(backing_off_until=timezone.now() + timedelta(minutes=5))
    make_task(queue=queue, target=host, status=TaskStatus.RUNNING, concurrency_key=key, limited=True)
    edit_queue(queue, {"maxConcurrency": 1, "rateLimit": {"limit": 1, "periodSeconds": 600}}, actor="a")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE buckets SET full_at = now() + interval '9 minutes'")
    pause_queue(queue, actor="a", reason="a look")
    return make_task(queue=queue, target=host, concurrency_key=key)


class TestLinks:
    def test_lead_to_queue_target_holder_and_processes(self, staff: Client) -> None:
        task = held_in_every_way()
        found = panel(staff, task)
        for code in ("QUEUE_PAUSED", "QUEUE_LIMIT", "RATE_LIMIT", "KEY_LIMIT"):
            assert led_to(found[code]) == ["Queue q"], code
        for code in ("TARGET_LIMIT", "TARGET_BACKING_OFF"):
            assert led_to(found[code]) == ["Target api.example.com"], code
        assert led_to(found["NO_LIVE_WORKER"]) == ["Workers"]
        assert led_to(found["NO_LIVE_SCHEDULER"]) == ["Schedulers"]
        holder = Task.objects.get(status=TaskStatus.RUNNING)
        assert f'href="{page_of(holder)}"' in found["KEY_LIMIT"].detail

    def test_are_pages_that_are_there(self, staff: Client) -> None:
        task = held_in_every_way(queue="a.b:c_d", key="../x?&=#%2f", host="_h%25:1")
        make_task(queue="a.b:c_d", priority=9)
        steps = [step for shown in panel(staff, task).values() for step in (*shown.links, *shown.actions)]
        assert len(steps) > 12
        for step in steps:
            if not step.question:
                assert staff.get(step.url).status_code == 200, step
        [form] = [step.url for step in steps if step.label == "Change its key"]
        assert staff.get(form).context["form"].initial["key"] == "../x?&=#%2f"

    def test_lead_to_all_holders_of_a_key(self, staff: Client) -> None:
        edit_queue("q", {"perKey": {"maxConcurrency": 3}}, actor="a")
        holders = [
            make_task(queue="q", concurrency_key="k", key_slot=slot, status=TaskStatus.RUNNING) for slot in range(3)
        ]
        found = panel(staff, make_task(queue="q", concurrency_key="k"))["KEY_LIMIT"]
        assert [page_of(holder) in str(link) for holder, link in zip(holders, found.tasks, strict=True)] == [True] * 3

    def test_lead_to_what_is_ahead_and_to_the_worker_that_has_it(self, staff: Client) -> None:
        due = timezone.now() - timedelta(minutes=1)
        make_task(queue="q", priority=9, run_at=due)
        [ahead] = panel(staff, make_task(queue="q", run_at=due))["AHEAD_IN_QUEUE"].links
        assert len(staff.get(ahead.url).context["cl"].result_list) == 2
        worker = Worker.objects.create(worker_id=uuid4(), pid=1, slots=1, host="h", name="w")
        [assigned] = panel(staff, make_task(status=TaskStatus.SCHEDULED, worker_id=worker.pk))["ASSIGNED"].links
        assert staff.get(assigned.url).context["original"] == worker


class TestActions:
    def test_fit_each_reason(self, staff: Client) -> None:
        found = panel(staff, held_in_every_way())
        rules, target = ["Change the rules of the queue"], ["Change the rules of the target"]
        assert {code: offered(shown) for code, shown in found.items() if shown.actions} == {
            "QUEUE_PAUSED": ["Resume the queue"],
            "QUEUE_LIMIT": rules,
            "RATE_LIMIT": rules,
            "KEY_LIMIT": ["Change its key"],
            "TARGET_LIMIT": target,
            "TARGET_BACKING_OFF": target,
        }

    def test_resume_the_queue(self, staff: Client) -> None:
        task = held_in_every_way()
        html = staff.get(page_of(task)).content.decode()
        [(url, sent)] = [(action, sent) for action, sent in forms_of(html) if action.endswith("/resume/")]
        assert staff.post(url, sent).status_code == 302
        assert Queue.objects.get().paused_at is None

    def test_lead_to_the_form_of_a_resume(self, staff: Client) -> None:
        held_in_every_way()
        rate = {"thaw_limit": "1", "thaw_period": "900"}
        assert staff.post("/admin/flow_app/queue/q/resume/", rate).status_code == 302
        with connection.cursor() as cursor:
            cursor.execute("UPDATE buckets SET full_at = now() + interval '14 minutes' WHERE kind = 'thaw'")
        found = panel(staff, Task.objects.get(status=TaskStatus.PENDING))["RATE_LIMIT"]
        assert offered(found) == ["Change the rate of its resume"]

    def test_are_not_shown_to_who_may_only_look(self, client: Client) -> None:
        task = held_in_every_way()
        sign_in(client, *VIEWS)
        found = panel(client, task)
        assert not any(shown.actions for shown in found.values())
        assert led_to(found["QUEUE_PAUSED"]) == ["Queue q"]
        html = client.get(page_of(task)).content.decode()
        assert {action for action, _ in forms_of(html)} == {"/admin/logout/"}

    def test_are_those_of_each_permission(self, client: Client) -> None:
        task = held_in_every_way()
        sign_in(client, *VIEWS, "change_target")
        found = panel(client, task)
        assert offered(found["TARGET_LIMIT"]) == ["Change the rules of the target"]
        assert not offered(found["QUEUE_LIMIT"])

    def test_change_the_weight_of_a_tenant(self, staff: Client) -> None:
        edit_queue("q", {"fairBy": "fairKey"}, actor="a")
        worker = Worker.objects.create(worker_id=uuid4(), pid=1, slots=1, host="h", name="w", state="ACTIVE")
        make_task(queue="q", fair_key="acme", tenant="acme", status=TaskStatus.RUNNING, worker_id=worker.pk)
        waits = make_task(queue="q", fair_key="acme", tenant="acme", gate=6)
        [step] = panel(staff, waits)["FAIR_SHARE"].actions
        assert step.label == "Change its weight"
        assert staff.get(step.url).context["form"].initial["key"] == "acme"


class TestTexts:
    @pytest.mark.parametrize("name", [SCRIPT, '"onmouseover="alert(1)', "x" * 200, "a\u202eb", "{{ 7 }}{% now %}"])
    def test_of_strangers_are_escaped(self, staff: Client, name: str) -> None:
        make_task(queue="q", concurrency_key=name, status=TaskStatus.RUNNING)
        pause_queue("q", actor="a", reason=name)
        task = make_task(queue="q", concurrency_key=name, target=name)
        Target.objects.create(host=name, max_concurrency=0)
        html = staff.get(page_of(task)).content.decode()
        assert "TARGET_LIMIT" in html
        assert SCRIPT not in html
        assert '"onmouseover' not in html
        assert "\u202e" not in html

    def test_that_are_long_are_cut(self, staff: Client) -> None:
        secret = "https://user:hunter2@example.com/"
        pause_queue("q", actor="a", reason="x" * (LONGEST_DETAIL - 45) + secret + "y" * 150)
        task = make_task(queue="q")
        html = staff.get(page_of(task)).content.decode()
        shown = panel(staff, task)["QUEUE_PAUSED"]
        assert len(shown.detail) < LONGEST_DETAIL + 20
        assert shown.whole.endswith("y" * 100)
        assert "hunter2" not in html

    def test_of_a_paused_key_lead_to_its_form(self, staff: Client) -> None:
        set_key("q", SCRIPT, {"paused": True}, actor="a")
        found = panel(staff, make_task(queue="q", concurrency_key=SCRIPT))["KEY_PAUSED"]
        assert offered(found) == ["Change its key"]
        assert staff.get(found.actions[0].url).context["form"].initial["paused"] is True


class TestCost:
    def test_is_a_statement_or_two(self, staff: Client) -> None:
        task: Any = held_in_every_way()
        plain = make_task(queue="q", status=TaskStatus.SUCCESS)
        counts = []
        for each in (plain, task):
            staff.get(page_of(each))
            with CaptureQueriesContext(connection) as queries:
                staff.get(page_of(each))
            counts.append(len(queries))
        assert counts[1] - counts[0] <= 2
