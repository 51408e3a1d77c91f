"""Results in payloads, as callers ask for them: who may, refs of a call, schedules, and reading what was taken."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from tasks_app.models import Task, TaskInputs
from tests.factories import make_key, make_task
from tests.support.api import Api, fields_of, problem_of

SHELL_KEY = ("tasks:write", "tasks:shell")


def shell(*words: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "SHELL", "payload": {"argv": ["echo", *words]}, **fields}


def taking(task_id: Any, path: str = "/stdout") -> dict[str, Any]:
    return shell({"$from": str(task_id), "path": path}, dependsOn=[str(task_id)])


class TestCreate:
    def test_keeps_references_as_they_were_written(self, api: Api) -> None:
        body = taking(make_task().pk)
        made = api.post("/tasks", body)
        assert made.status_code == 201
        assert api.get(f"/tasks/{made.json()['id']}").json()["payload"] == body["payload"]

    def test_depends_on_what_it_takes(self, api: Api) -> None:
        parent = make_task().pk
        [error] = problem_of(api.post("/tasks", taking(parent) | {"dependsOn": None}), 400)["errors"]
        assert error == {
            "field": "payload.argv.1.$from",
            "message": f"{parent} is not among dependsOn: name it there, too",
        }
        assert not Task.objects.exclude(pk=parent).exists()

    @pytest.mark.parametrize("path", ["/tasks", "/tasks/bulk"])
    def test_is_for_who_may_read_tasks(self, db: None, path: str) -> None:
        """A result could be sent anywhere."""
        body, writer = taking(make_task().pk), Api(make_key(*SHELL_KEY))
        assert writer.post(path, body if path == "/tasks" else {"tasks": [body]}).status_code in (400, 403)
        assert Task.objects.count() == 1
        reader = Api(make_key(*SHELL_KEY, "tasks:read"))
        assert reader.post(path, body if path == "/tasks" else {"tasks": [body]}).status_code == 201

    def test_says_where_a_command_takes_none(self, api: Api) -> None:
        parent = str(make_task().pk)
        body = {"type": "SHELL", "payload": {"command": {"$from": parent}}, "dependsOn": [parent]}
        assert fields_of(api.post("/tasks", body)) == {"payload.command"}


class TestBulk:
    def test_knows_refs_in_payloads(self, api: Api) -> None:
        items = [
            shell({"$from": "a"}, {"$from": "b", "path": "/x"}, dependsOn=["a", "b"]),
            {"type": "DUMMY", "ref": "a"},
            {"type": "DUMMY", "ref": "b"},
        ]
        child, one, two = (each["id"] for each in api.post("/tasks/bulk", {"tasks": items}).json()["items"])
        assert Task.objects.get(pk=child).payload["argv"] == ["echo", {"$from": one}, {"$from": two, "path": "/x"}]

    def test_names_refs_that_there_are_not(self, api: Api) -> None:
        parent = str(make_task().pk)
        items = [
            shell({"$from": "b"}, dependsOn=["a"]),
            shell({"$from": "a"}),
            shell({"$from": parent}, dependsOn=["a"]),
            {"type": "DUMMY", "ref": "a"},
            shell({"$from": "a"}, dependsOn=["nobody"]),
        ]
        found = api.post("/tasks/bulk", {"tasks": items}).json()["items"]
        unknown = "is neither the id of a task nor a ref that dependsOn names"
        assert [each["errors"] for each in found if "errors" in each] == [
            [{"field": "payload.argv.1.$from", "message": f"b {unknown}"}],
            [{"field": "payload.argv.1.$from", "message": f"a {unknown}"}],
            [{"field": "payload.argv.1.$from", "message": f"{parent} is not among dependsOn: name it there, too"}],
            [{"field": "dependsOn", "message": "nobody is neither the id of a task nor a ref of this call"}],
        ]


class TestEdit:
    def test_takes_what_it_depends_on_for_who_may_read(self, api: Api) -> None:
        parent, other = make_task().pk, make_task().pk
        task_id = api.post("/tasks", shell("x", dependsOn=[str(parent)])).json()["id"]
        change = {"payload": taking(parent)["payload"]}
        assert Api(make_key(*SHELL_KEY)).patch(f"/tasks/{task_id}", change).status_code == 403
        assert api.patch(f"/tasks/{task_id}", change).status_code == 200
        answer = api.patch(f"/tasks/{task_id}", {"payload": taking(other)["payload"]})
        assert fields_of(answer) == {"payload.argv.1.$from"}
        assert Task.objects.get(pk=task_id).payload == change["payload"]


class TestClone:
    def test_depends_on_what_it_takes_and_on_nothing_else(self, api: Api) -> None:
        parent, other = make_task().pk, make_task().pk
        task_id = api.post("/tasks", taking(parent) | {"dependsOn": [str(parent), str(other)]}).json()["id"]
        clone = api.post(f"/tasks/{task_id}/clone").json()["id"]
        assert api.get(f"/tasks/{clone}/dependencies").json() == {
            "runIf": "all_done",
            "otherwise": "cancel",
            "content": [{"taskId": str(parent), "outcome": None}],
        }

    def test_of_what_takes_a_deleted_ones_result_is_refused(self, api: Api) -> None:
        parent = make_task()
        task_id, gone = api.post("/tasks", taking(parent.pk)).json()["id"], parent.pk
        parent.delete()
        [error] = problem_of(api.post(f"/tasks/{task_id}/clone"), 400)["errors"]
        assert error == {"field": "dependsOn", "message": f"there is no task {gone}"}


class TestSchedule:
    def test_has_no_result_to_take(self, api: Api) -> None:
        task = shell({"$from": str(uuid4())})
        problem = problem_of(api.post("/schedules", {"name": "s", "cron": "0 0 * * *", "task": task}), 400)
        assert problem["errors"] == [
            {
                "field": "task.payload.argv.1.$from",
                "message": "takes no result here: the tasks of a schedule depend on none",
            }
        ]


class TestInputs:
    USED = {
        "field": "payload.environment.API_TOKEN",
        "taskId": "018f0000-0000-7000-8000-000000000001",
        "attempt": 1,
        "path": "/stdout",
        "origin": "result",
        "value": "hush-hush",
    }

    def test_are_listed_with_secrets_masked(self, api: Api) -> None:
        task_id = api.post("/tasks", taking(make_task().pk)).json()["id"]
        assert api.get(f"/tasks/{task_id}/inputs").json() == {"attempt": None, "content": []}
        TaskInputs.objects.create(task_id=task_id, attempt=2, used=[self.USED])
        found = api.get(f"/tasks/{task_id}/inputs").json()
        assert found == {"attempt": 2, "content": [self.USED | {"value": "••••••••"}]}

    def test_are_on_the_page_of_the_task(self, api: Api, admin_client: Client) -> None:
        task_id = api.post("/tasks", taking(make_task().pk)).json()["id"]
        page = f"/admin/tasks_app/task/{task_id}/change/"
        assert "Inputs of attempt" not in admin_client.get(page).content.decode()
        plain = self.USED | {"field": "payload.argv.1", "value": "<b>&", "origin": "default"}
        TaskInputs.objects.create(task_id=task_id, attempt=2, used=[self.USED, plain])
        text = admin_client.get(page).content.decode()
        assert "Inputs of attempt 2" in text and "payload.environment.API_TOKEN" in text
        assert "hush-hush" not in text
        assert "&lt;b&gt;&amp;" in text and "the default, there is nothing at" in text
