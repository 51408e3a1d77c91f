"""Lists as files: what is in them and in which order, who may have one, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import threading
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access_app import exports
from access_app.masking import MASK
from access_app.models import AuditEvent
from schedules_app.models import ScheduleFire
from tasks_app.models import Task
from tests.factories import make_execution, make_key, make_task
from tests.support.api import Api, problem_of, validator
from tests.support.schedules import make_schedule

pytestmark = pytest.mark.django_db

LISTS = ("tasks_app/task", "tasks_app/taskexecution", "schedules_app/schedulefire", "access_app/auditevent")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every place free: tests that walk all addresses leave files unread, whose places come back some time."""
    monkeypatch.setattr(exports, "_PAGE", 2)
    monkeypatch.setattr(exports, "_places", threading.BoundedSemaphore(exports.MOST_AT_ONCE))


def body_of(response: Any) -> str:
    assert response.status_code == 200, response
    return b"".join(response.streaming_content).decode()  # which closes it


def drop(response: Any) -> None:
    """As a server does when the reader has gone, but for the connection, which is that of the test."""
    request_finished.disconnect(close_old_connections)
    response.close()
    request_finished.connect(close_old_connections)


def rows_of(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body_of(response))))


def ask(api: Api, **query: Any) -> Any:
    return api.get(f"/tasks/export?{urlencode(query, doseq=True)}")


class TestTasks:
    def test_has_all_that_match_in_the_order_of_the_list(self, api: Api) -> None:
        made = [make_task(priority=priority, queue="a") for priority in (3, -5, 3, 0, 1)]
        make_task(queue="b")
        found = json.loads(body_of(ask(api, queue="a", sort="priority,asc")))
        listed = api.get("/tasks?queue=a&sort=priority,asc").json()["content"]
        assert found == {"content": listed, "count": len(made)}
        assert not list(validator({"$ref": "#/components/schemas/TaskExport"}).iter_errors(found))
        rows = rows_of(ask(api, queue="a", sort="priority,asc", format="csv"))
        assert [row["id"] for row in rows] == [item["id"] for item in listed]
        assert rows[0].keys() == listed[0].keys()
        assert rows[0]["priority"] == "-5"
        assert json.loads(rows[0]["retry"]) == listed[0]["retry"]

    def test_leaves_out_what_has_gone_or_matches_no_longer(self, api: Api) -> None:
        made = [make_task(queue="a") for _ in range(6)]
        response = ask(api, queue="a", sort="createdAt,asc")
        pieces = response.streaming_content
        begun = [next(pieces), next(pieces)]
        Task.objects.filter(pk=made[2].pk).delete()
        Task.objects.filter(pk=made[4].pk).update(queue="b")
        found = json.loads(b"".join([*begun, *pieces]))
        assert [item["id"] for item in found["content"]] == [str(made[n].pk) for n in (0, 1, 3, 5)]
        assert found["count"] == 4

    def test_is_a_file_with_a_safe_name_and_an_audit_row(self, api: Api) -> None:
        make_task(queue="a")
        response = ask(api, queue="a", status=["PENDING", "RUNNING"], format="csv")
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        name = response["Content-Disposition"].removeprefix('attachment; filename="tasks-').removesuffix('Z.csv"')
        assert datetime.strptime(name, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        body_of(response)
        [event] = AuditEvent.objects.filter(action="tasks.exported")
        asked = {"queue": "a", "status": ["PENDING", "RUNNING"]}
        assert (event.target, event.detail) == ("list:tasks", {"format": "csv", "rows": 1, "filter": asked})

    def test_of_nothing_has_a_head(self, api: Api) -> None:
        assert body_of(ask(api, format="csv")).startswith("id,status,type,")
        assert json.loads(body_of(ask(api))) == {"content": [], "count": 0}

    def test_costs_a_head_nothing(self, api: Api) -> None:
        assert api.send("HEAD", "/tasks/export?format=csv").status_code == 200
        assert not AuditEvent.objects.filter(action="tasks.exported").exists()

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"status": "DONE"}, "status"),
            ({"format": "xml"}, "format"),
            ({"page": "1"}, "page"),
            ({"stats": "x"}, "stats"),
        ],
    )
    def test_refuses_a_bad_filter(self, api: Api, query: dict[str, str], field: str) -> None:
        assert [error["field"] for error in problem_of(ask(api, **query), 400)["errors"]] == [field]

    def test_refuses_more_rows_than_a_file_takes(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exports, "MOST_ROWS", 2)
        for _ in range(3):
            make_task()
        assert "Narrow the filters" in problem_of(ask(api), 400)["detail"]
        assert not AuditEvent.objects.filter(action="tasks.exported").exists()

    def test_makes_so_many_files_at_a_time(self, api: Api) -> None:
        held = [ask(api) for _ in range(exports.MOST_AT_ONCE)]
        refused = ask(Api(api.secret, allow_5xx=True))
        assert problem_of(refused, 503)
        assert refused["Retry-After"] == "5"
        drop(held[0])  # not read at all
        drop(held[0])
        body_of(ask(api))
        for response in held[1:]:
            drop(response)

    def test_needs_what_the_list_needs(self, db: None) -> None:
        assert ask(Api(make_key("schedules:read"))).status_code == 403


class TestPages:
    @pytest.mark.parametrize("page", LISTS)
    @pytest.mark.parametrize("form", ["csv", "json"])
    def test_are_files_with_all_their_columns(self, staff: Client, page: str, form: str) -> None:
        _make_some()
        text = body_of(staff.get(f"/admin/{page}/export/{form}/"))
        found = json.loads(text)["content"] if form == "json" else list(csv.DictReader(io.StringIO(text)))
        assert found
        head = text.partition("\r\n")[0].split(",") if form == "csv" else list(found[0])
        assert set(head) == set(found[0])
        assert f"export/{form}/" in staff.get(f"/admin/{page}/").content.decode()

    def test_keep_filters_search_and_secrets(self, staff: Client) -> None:
        failed = make_task(status="FAILED", attempt=1)
        message = "GET https://maria:hunter2@example.com failed"
        make_execution(failed, status="FAILED", error_code="NETWORK", error_message=message)
        make_task(status="SUCCESS")
        text = body_of(staff.get("/admin/tasks_app/task/export/json/?status=FAILED&p=3"))
        [item] = json.loads(text)["content"]
        assert item["id"] == str(failed.pk)
        assert "hunter2" not in text
        assert MASK in item["error"]["message"]
        [row] = rows_of(staff.get(f"/admin/tasks_app/task/export/csv/?q={failed.pk}"))
        assert row["id"] == str(failed.pk)
        assert AuditEvent.objects.filter(action="tasks.exported", actor="user:maria").count() == 2

    @pytest.mark.parametrize("query", ["worker=vm", "status=FAILED&wrong=1", "status=FAILED&status=SUCCESS"])
    def test_drop_no_filter_that_means_nothing(self, staff: Client, query: str) -> None:
        make_task()
        response = staff.get(f"/admin/tasks_app/task/export/csv/?{query}")
        assert response.status_code == 302
        page = staff.get(response["Location"])
        assert page.status_code == 400
        assert "Nothing was exported" in page.content.decode()

    @pytest.mark.parametrize("page", LISTS)
    def test_are_for_whoever_may_see_the_list(self, client: Client, page: str) -> None:
        user = User.objects.create_user("victor", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_worker"))
        client.force_login(user)
        assert client.get(f"/admin/{page}/export/csv/").status_code == 403
        assert client.post(f"/admin/{page}/export/csv/").status_code == 403

    def test_are_read_page_by_page(self, staff: Client) -> None:
        for _ in range(5):
            make_task()
        response = staff.get("/admin/tasks_app/task/export/json/")
        with CaptureQueriesContext(connection) as seen:
            body_of(response)
        assert len(seen) == 3  # a statement for each two tasks, which have no attempts
        assert not [query for query in seen.captured_queries if '"payload"' in query["sql"]]


def _make_some() -> None:
    task = make_task()
    make_execution(task)
    AuditEvent.objects.create(actor="test", action="test", target="queue:default", reason="=1", correlation_id="")
    schedule = make_schedule()
    now = datetime.now(UTC)
    ScheduleFire.objects.create(schedule_id=schedule.pk, slot=now, due_at=now, decided_at=now, state="FIRED")
