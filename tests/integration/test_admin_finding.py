"""What Ctrl-K finds: whatever has the id or name, for whom, and at what cost."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve

from access_app.ids import new_task_ids
from access_app.staff import finding
from flow_app.targets import Rules, put_target
from tests.factories import make_batch, make_operation, make_task
from tests.support.pages import make_worker
from tests.support.people import sign_in
from tests.support.schedules import make_schedule
from tests.support.webhooks import make_delivery, make_endpoint
from workflows_app.models import Delivery

pytestmark = pytest.mark.django_db

SEARCH = "/admin/search/"


def found(client: Client, text: str) -> list[str]:
    """The addresses that are found, in order."""
    html = client.get(SEARCH, {"s": text}, headers={"HX-Request": "true"}).content.decode()
    return re.findall(r'<li [^>]*><a href="([^"]*)"', html)


def row_of(url: str) -> Any:
    match = resolve(url)
    return f"{match.url_name}:{match.kwargs.get('object_id', '')}"


class TestFind:
    def test_finds_everything_by_its_id(self, staff: Client) -> None:
        endpoint, _ = make_endpoint("on-call")
        rows = [
            make_task(),
            make_worker(),
            make_schedule(due=0),
            make_batch(),
            make_operation(),
            make_delivery(endpoint),
        ]
        for row in rows:
            urls = found(staff, f" {str(row.pk).upper()} ")
            assert f"/{row._meta.model_name}/{row.pk}/" in urls[-1]
            assert len(urls) == (2 if isinstance(row, Delivery) else 1)  # a delivery is a task, too
            assert found(staff, f"/admin/x/{row.pk}/change/") == urls

    def test_finds_by_names_and_parts_of_them(self, staff: Client) -> None:
        make_task(queue="Mail.out")
        put_target("mail.example.com", Rules(max_concurrency=4), actor="user:maria")
        make_schedule(name="nightly mails", due=0)
        make_worker(name="mailer")
        make_batch(name="mail")
        assert {row_of(url).partition(":")[0] for url in found(staff, "mail")} == {
            "flow_app_queue_change", "flow_app_target_change", "schedules_app_schedule_change",
            "workers_app_worker_change", "workflows_app_batch_change",
        }  # fmt: skip

    def test_finds_tasks_by_correlation_id_and_leads_to_all_of_many(self, staff: Client) -> None:
        few, many = make_task(correlation_id="order-1"), [make_task(correlation_id="order-2") for _ in range(7)]
        assert found(staff, "order-1") == [f"/admin/tasks_app/task/{few.pk}/change/"]
        first, *rest = found(staff, "order-2")
        assert first == "/admin/tasks_app/task/?q=order-2"
        assert len(rest) == finding.MOST
        assert {url.split("/")[-3] for url in rest} <= {str(task.pk) for task in many}

    def test_finds_pages_and_forms(self, staff: Client) -> None:
        assert found(staff, "queue") == ["/admin/flow_app/queue/", "/admin/flow_app/queue/add/"]
        assert "/admin/tasks_app/task/" in found(staff, "")

    @pytest.mark.parametrize(
        "text", ["", "x", "%", "_", "a" * 5000, "'; --", "\u202e", "\ud800".encode("utf-8", "replace").decode()]
    )
    def test_takes_any_text(self, staff: Client, text: str) -> None:
        assert staff.get(SEARCH, {"s": text}).status_code == 200

    def test_shows_text_as_text(self, staff: Client) -> None:
        make_schedule(name="<script>alert(1)</script>", due=0)
        html = staff.get(SEARCH, {"s": "<script>"}, headers={"HX-Request": "true"}).content.decode()
        assert "<script>" not in html
        assert "&lt;script&gt;alert" in html


class TestWhoFinds:
    def test_only_what_they_may_look_at(self, client: Client) -> None:
        """Everything is called the same; each permission finds its own kind, and no page of another."""
        task = make_task(queue="hunter2", correlation_id="hunter2")
        make_schedule(name="hunter2", due=0)
        make_worker(name="hunter2")
        make_batch(name="hunter2")
        kinds = {
            "view_task": {"tasks_app_task", "flow_app_queue", "workflows_app_batch"},
            "view_queue": {"flow_app_queue"},
            "view_schedule": {"schedules_app_schedule"},
            "view_worker": {"workers_app_worker"},
        }
        for permission, shown in kinds.items():
            User.objects.all().delete()
            sign_in(client, permission)
            kinds_found = {row_of(url).partition("_change")[0] for url in found(client, "hunter2")}
            assert kinds_found == shown, permission
            assert bool(found(client, str(task.pk))) == (permission == "view_task")

    def test_nothing_without_a_login(self, client: Client) -> None:
        assert client.get(SEARCH, {"s": "queue"}).status_code == 302


class TestCost:
    def test_is_a_bounded_number_of_statements(self, viewer: Client) -> None:
        make_task(correlation_id="hunter2")
        for text in ("hunter2", str(new_task_ids(1)[0])):
            with CaptureQueriesContext(connection) as queries:
                viewer.get(SEARCH, {"s": text}, headers={"HX-Request": "true"})
            sent = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
            assert len(sent) <= 15, sent

    def test_is_given_up_after_a_moment(self, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def sleeps(asked: finding.Asked) -> list[finding.Found]:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)")
            return []

        assert found(staff, "queue")  # the pages, and with them the finders, are loaded by now
        finders = [(action, sleeps) for action, _ in finding._finders[:1]]
        monkeypatch.setattr(finding, "_finders", finders)
        assert "took too long" in staff.get(SEARCH, {"s": "queue"}).content.decode()
        assert found(staff, "queue")

    def test_is_given_up_when_many_together_take_as_long(self, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        asked_for = []

        def takes_a_while(asked: finding.Asked) -> list[finding.Found]:
            asked_for.append(asked.text)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.03)")
            return []

        assert found(staff, "queue")
        finders = [(action, takes_a_while) for action, _ in finding._finders]
        monkeypatch.setattr(finding, "_finders", finders)
        monkeypatch.setattr(finding, "_LONGEST_SEARCH", timedelta(milliseconds=50))
        assert "took too long" in staff.get(SEARCH, {"s": "queue"}).content.decode()
        assert 0 < len(asked_for) <= 2
