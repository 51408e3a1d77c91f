"""``onBusy`` over HTTP: statuses, headers, what is refused by name, and who may cancel by it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tasks_app.models import Task
from tests.integration.test_task_fields import FORM
from tests.support.api import Api, fields_of, problem_of

K = {"type": "DUMMY", "concurrencyKey": "k"}
LATER = {"scheduleAt": "2998-01-01T00:00:00Z"}


class TestOnBusy:
    def test_skip_returns_the_open_task(self, api: Api) -> None:
        first = api.post("/tasks", K).json()
        again = api.post("/tasks", K | {"onBusy": "skip", "priority": 3})
        assert (again.status_code, again["Not-Created"], again.json()) == (200, "skipped", first)
        assert api.post("/tasks", K | {"onBusy": "skip", "queue": "other"}).status_code == 201

    def test_queue_one_returns_the_one_that_waits(self, api: Api) -> None:
        api.post("/tasks", K)
        body = K | LATER | {"onBusy": "queue_one"}
        second, third = api.post("/tasks", body), api.post("/tasks", body)
        assert (second.status_code, third.status_code, third["Not-Created"]) == (201, 200, "queued")
        assert third.json() == second.json()

    def test_cancel_running_creates_the_next(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        response = api.post("/tasks", K | {"onBusy": "cancel_running"})
        assert response.status_code == 201
        assert api.get(f"/tasks/{first}").json()["status"] == "CANCELLED"
        [event] = [event for event in api.get(f"/tasks/{first}/events").json()["content"] if event["to"] == "CANCELLED"]
        assert event["actor"] == "caller"

    def test_is_replayed_with_its_idempotency_key(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        body = K | {"onBusy": "skip"}
        api.post("/tasks", body, Idempotency_Key="i")
        api.delete(f"/tasks/{first}")
        again = api.post("/tasks", body, Idempotency_Key="i")
        assert (again.json()["id"], again["Idempotent-Replayed"]) == (first, "true")

    @pytest.mark.parametrize(
        "body",
        [
            {"onBusy": "skip"},
            {"concurrencyKey": "k", "onBusy": "wait"},
            {"concurrencyKey": "k", "onBusy": None},
            {"concurrencyKey": "k", "onBusy": 1},
            {"concurrencyKey": "k", "uniqueKey": "u", "onBusy": "skip"},
        ],
    )
    def test_is_refused_by_name(self, api: Api, body: dict[str, Any]) -> None:
        assert fields_of(api.post("/tasks", {"type": "DUMMY"} | body)) == {"onBusy"}

    def test_is_queue_in_bulk_calls_and_in_no_template(self, api: Api) -> None:
        body = K | {"onBusy": "skip"}
        problem = problem_of(api.post("/tasks/bulk", {"tasks": [body]}), 400)
        assert [error["field"] for error in problem["errors"]] == ["tasks.0.onBusy"]
        schedule = {"name": "s", "cron": "0 0 1 1 *", "task": body}
        assert fields_of(api.post("/schedules", schedule)) == {"task.onBusy"}

    def test_is_not_cloned(self, api: Api) -> None:
        task = api.post("/tasks", K | {"onBusy": "skip"}).json()
        assert api.post(f"/tasks/{task['id']}/clone").status_code == 201


class TestRights:
    """Who may only add tasks changes no other one by adding."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"concurrency_key": "k", "on_busy": "cancel_running"},
            {"unique_key": "u", "on_duplicate": "replace"},
            {"unique_key": "u", "on_duplicate": "postpone", "debounce_seconds": "9"},
        ],
    )
    def test_of_people_who_may_add_only(self, api: Api, client: Client, fields: dict[str, str]) -> None:
        api.post("/tasks", K | {"uniqueKey": "u"})
        person = User.objects.create_user("paul", is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=["add_task", "view_task"]))
        client.force_login(person)
        page = client.post("/admin/tasks_app/task/add/", FORM | fields)
        assert page.status_code == 422
        assert "change_task" in str(page.context_data["form"].non_field_errors())  # type: ignore[attr-defined]
        task = Task.objects.get()
        assert (task.version, task.status) == (1, "PENDING")
