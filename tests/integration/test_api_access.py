"""What a key or a session may do through the API: which types of tasks it may have run, and what it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from schedules_app.models import BlackoutCalendar, Schedule
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_execution, make_key, make_task
from tests.support.api import Api, problem_of
from tests.support.schedules import make_calendar, make_schedule

pytestmark = pytest.mark.django_db

SECRET = "hunter2"
HELD = "2999-01-01T00:00:00Z"
SHELL = {"type": "SHELL", "payload": {"command": "true"}}
CHRISTMAS = {"dates": "12-24/12-26"}


def shell_task(**columns: Any) -> Task:
    return make_task(type="SHELL", payload={"command": f"echo {SECRET}"}, **columns)


class TestTasksOfATypeWithAScope:
    """A key without it moves none of them, whichever field it is; it may stop them."""

    @pytest.fixture
    def modest(self) -> Api:
        return Api(make_key("tasks:read", "tasks:write", "schedules:read", "schedules:write", "admin"))

    @pytest.mark.parametrize(
        "changes",
        [
            {"scheduleAt": "2001-01-01T00:00:00Z"},
            {"queue": "fast"},
            {"priority": 100},
            {"maxRetries": 9},
            {"timeoutMs": 1000},
            {"expiresAt": None},
            {"payload": {"command": "id"}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_are_not_moved(self, modest: Api, changes: dict[str, Any]) -> None:
        task = shell_task(schedule_at=HELD, run_at=HELD)
        assert "tasks:shell" in problem_of(modest.patch(f"/tasks/{task.pk}", changes), 403)["detail"]
        assert Task.objects.get().version == task.version

    def test_are_not_run_again_nor_copied(self, modest: Api) -> None:
        task = shell_task(status=TaskStatus.FAILED)
        for word in ("retry", "clone"):
            assert "tasks:shell" in problem_of(modest.post(f"/tasks/{task.pk}/{word}"), 403)["detail"]
        assert Task.objects.get().status == TaskStatus.FAILED

    def test_may_be_cancelled(self, modest: Api) -> None:
        assert modest.delete(f"/tasks/{shell_task().pk}").json()["status"] == "CANCELLED"

    def test_are_not_let_out_of_a_blackout(self, modest: Api) -> None:
        """A calendar says when the schedules that name it run."""
        make_calendar("freeze", {"from": "2020-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"})
        schedule = make_schedule(task=SHELL, calendars=["freeze"])
        problem = problem_of(modest.patch("/calendars/freeze", {"ranges": [CHRISTMAS]}), 403)
        assert "tasks:shell" in problem["detail"]
        assert BlackoutCalendar.objects.get().version == 1
        Schedule.objects.filter(pk=schedule.pk).update(task={"type": "DUMMY", "payload": {}})
        assert modest.patch("/calendars/freeze", {"ranges": [CHRISTMAS]}).status_code == 200

    def test_of_a_type_that_is_gone_need_the_strongest(self, modest: Api) -> None:
        """This process does not know what running it means; a worker may."""
        task = make_task(type="REPORT", status=TaskStatus.FAILED)
        assert "tasks:shell" in problem_of(modest.post(f"/tasks/{task.pk}/retry"), 403)["detail"]
        assert Api(make_key()).post(f"/tasks/{task.pk}/retry").status_code == 200


class TestAnswersToWhoMayNotRead:
    """Changing something shows nothing of what it holds."""

    HIDDEN = {"payload", "result", "error"}

    @pytest.fixture
    def writer(self) -> Api:
        return Api(make_key("tasks:write", "schedules:write", name="writer"))

    def checked(self, response: Any, status: int = 200) -> dict[str, Any]:
        assert response.status_code == status, response.content
        assert SECRET not in response.content.decode()
        answer: dict[str, Any] = response.json()
        return answer

    def foreign(self, **columns: Any) -> str:
        headers = {"Authorization": f"Bearer {SECRET}"}
        task = make_task(type="HTTP", payload={"url": "http://127.0.0.1/", "headers": headers}, attempt=1, **columns)
        answer = {"statusCode": 500, "headers": {}, "body": SECRET, "bodyTruncated": False, "durationMs": 1}
        make_execution(task, result=answer, error_code="TASK_FAILED", error_message=SECRET)
        return f"/tasks/{task.pk}"

    def test_of_tasks_leave_payload_result_and_error_out(self, writer: Api) -> None:
        waiting, ended = self.foreign(), self.foreign(status=TaskStatus.FAILED)
        answers = [
            self.checked(writer.patch(waiting, {"priority": 1})),
            self.checked(writer.post(f"{ended}/retry")),
            self.checked(writer.post(f"{ended}/clone"), 201),
            self.checked(writer.delete(waiting)),
            self.checked(writer.post("/tasks", {"type": "DUMMY"}, Idempotency_Key="k"), 201),
            self.checked(writer.post("/tasks", {"type": "DUMMY"}, Idempotency_Key="k")),
            self.checked(writer.delete(self.foreign(status=TaskStatus.RUNNING)), 202),
        ]
        for answer in answers:
            assert not answer.keys() & self.HIDDEN
            assert answer.keys() >= {"id", "status", "type", "version"}

    def test_of_bulk_calls_hold_ids_only(self, writer: Api) -> None:
        body = {"tasks": [{"type": "HTTP", "payload": {"url": f"http://127.0.0.1/{SECRET}"}}]}
        assert self.checked(writer.post("/tasks/bulk", body), 201)["items"][0].keys() == {"id"}

    def test_of_schedules_leave_the_templates_payload_out(self, writer: Api) -> None:
        template = {"type": "HTTP", "payload": {"url": f"http://127.0.0.1/?{SECRET}"}}
        path = f"/schedules/{make_schedule(due=0, task=template).pk}"
        new = {"name": "mine", "cron": "0 4 * * *", "task": {"type": "DUMMY"}}
        answers = [
            self.checked(writer.patch(path, {"jitterSeconds": 1})),
            self.checked(writer.post(f"{path}/pause")),
            self.checked(writer.post(f"{path}/resume")),
            self.checked(writer.post(f"{path}/clone", {"name": "copy"}), 201),
            self.checked(writer.post("/schedules", new, Idempotency_Key="k"), 201),
            self.checked(writer.post("/schedules", new, Idempotency_Key="k")),
        ]
        for answer in answers:
            assert answer["task"].keys() >= {"type", "queue"} - {"queue"}
            assert "payload" not in answer["task"]

    def test_of_triggers_show_as_little_of_the_task(self, writer: Api) -> None:
        template = {"type": "HTTP", "payload": {"url": f"http://127.0.0.1/?{SECRET}"}}
        path = f"/schedules/{make_schedule(due=0, task=template).pk}/trigger"
        for status in (201, 200):
            answer = self.checked(writer.post(path, Idempotency_Key="once"), status)
            assert not answer.keys() & self.HIDDEN
        reader = Api(make_key("schedules:write", "schedules:read"))
        assert not self.checked(reader.post(path), 201).keys() & self.HIDDEN  # the task is for who may read tasks

    def test_are_whole_for_who_may_read(self) -> None:
        both = Api(make_key("tasks:read", "tasks:write", "schedules:read", "schedules:write"))
        assert both.patch(self.foreign(), {"priority": 1}).json().keys() >= self.HIDDEN
        schedule = make_schedule(due=0)
        assert both.post(f"/schedules/{schedule.pk}/pause").json()["task"]["payload"] == {}


class TestSessions:
    """A person's Django permissions decide, thing by thing; they are not turned into scopes."""

    def browser(self, *permissions: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(raise_request_exception=False)
        client.force_login(user)
        return client

    def test_with_permissions_for_tasks_reach_no_schedules(self) -> None:
        client = self.browser("view_task", "add_task", "change_task", "delete_task")
        schedule = make_schedule()
        body = {"name": "mine", "cron": "0 4 * * *", "task": {"type": "DUMMY"}}
        assert client.post("/schedules", body, "application/json").status_code == 403
        assert client.delete(f"/schedules/{schedule.pk}").status_code == 403
        assert client.get(f"/schedules/{schedule.pk}").status_code == 403
        assert client.get("/calendars").status_code == 403
        assert Schedule.objects.get() == schedule

    def test_do_each_thing_by_the_permission_for_it(self) -> None:
        client = self.browser("change_task")
        task = make_task(payload={"sleepDurationMs": 7})
        answer = client.patch(f"/tasks/{task.pk}", {"priority": 3}, "application/json")
        assert (answer.status_code, "payload" in answer.json()) == (200, False)
        assert client.post("/tasks", {"type": "DUMMY"}, "application/json").status_code == 403
        assert client.post(f"/tasks/{task.pk}/clone").status_code == 403
        assert client.get(f"/tasks/{task.pk}").status_code == 403
        assert client.delete(f"/tasks/{task.pk}").json()["status"] == "CANCELLED"

    def test_run_commands_only_as_superusers(self) -> None:
        client = self.browser("view_task", "add_task", "change_task")
        task = shell_task(schedule_at=HELD, run_at=HELD)
        answer = client.patch(f"/tasks/{task.pk}", {"queue": "x"}, "application/json")
        assert (answer.status_code, answer.json()["detail"]) == (403, "Running SHELL tasks needs a superuser.")
        assert client.post("/tasks", SHELL, "application/json").status_code == 403
        assert client.delete(f"/tasks/{task.pk}").status_code == 200
