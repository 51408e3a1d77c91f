"""Task tokens over the API: three things to itself and its batch, while its attempt runs, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from access_app.models import AuditEvent, IdempotencyKey
from tasks_app.models import Task, TaskInputs, TaskProgress
from tasks_app.task_tokens import Fence, make_token
from tests.factories import make_batch, make_key, make_task
from tests.integration.test_access_table import trace
from tests.support.access_walk import PUBLIC, World, api_operations
from tests.support.api import Api, fields_of, problem_of
from workflows_app.models import Batch

pytestmark = pytest.mark.django_db
ONE = {"tasks": [{"type": "DUMMY"}]}


def fence_of(task: Task) -> Fence:
    assert task.started_at is not None
    return Fence(task.pk, task.attempt, task.started_at)


def running(batch: Batch | None = None, **columns: Any) -> Task:
    return make_task(status="RUNNING", created_by="ci", task_token=True, batch_id=batch and batch.pk, **columns)


def by(task: Task, **changes: Any) -> Api:
    """A caller with the token of the attempt that a task runs, or of another one."""
    return Api(make_token(fence_of(task)._replace(**changes)))


def added(batch: Batch) -> list[Task]:
    return list(Task.objects.filter(batch_id=batch.pk, status="PENDING").order_by("id"))


class TestWalk:
    """Every route by every method, by tokens of all kinds: what must be refused is, and leaves nothing."""

    def test_is_refused_everywhere_but_where_it_is_for(self) -> None:
        world = World.of("DUMMY")
        batch, own = world.rows["batch"], world.rows["running task"]
        Task.objects.filter(pk=own.pk).update(batch_id=batch.pk)
        task = Task.objects.get(pk=own.pk)
        other = running(make_batch())
        late = fence_of(task).started_at + timedelta(microseconds=1)
        valid = by(task)
        kinds = {
            "valid": valid,
            "of another task": by(other),
            "of another attempt": by(task, attempt=2),
            "of another start": by(task, started_at=late),
            "of no task": by(task, task_id=UUID(int=7)),
            "ended": by(make_task(status="SUCCESS", attempt=1, started_at=late, batch_id=batch.pk)),
            "forged": Api(str(valid.secret)[:-1] + ("A" if str(valid.secret)[-1] != "A" else "B")),
            "old form": Api(str(valid.secret).replace("tst_", "ts_")),
        }
        before, passed = trace(), []
        for operation in api_operations(world):
            for words, api in kinds.items():
                response = api.send(operation.method, operation.url, operation.body)
                if response.status_code < 400:
                    passed.append((operation.name, words))
                else:
                    assert response.status_code in (401, 403), (operation.name, words, response.content)
        # The walk reads the inputs of a task that is not its own: those of its own are in `TestInputs`.
        assert passed == [("PUT task-progress", "valid"), ("POST batch-tasks", "valid")]
        assert [now - then for now, then in zip(trace(), before, strict=True)] == [1, 1, 1, 0]

    def test_a_probe_learns_no_more_by_it(self) -> None:
        for route in PUBLIC:
            shown = by(running()).get(f"/{route.replace('-', '/')}").json()
            assert shown.keys() == {"status"}

    @pytest.mark.parametrize("token", ["tst_", "tst_" + "9" * 400, "tst_a.b.c.d", "tst_é", "tst_" + "x" * 4000])
    def test_what_is_none_of_ours_is_refused_without_a_look(self, token: str, django_assert_num_queries: Any) -> None:
        for secret in (token, make_token(fence_of(running()))[:-2] + "AA"):
            with django_assert_num_queries(0):
                problem_of(Api(secret).get("/tasks"), 401)

    def test_pages_take_none(self, client: Client) -> None:
        token = make_token(fence_of(running()))
        assert client.get("/admin/", headers={"Authorization": f"Bearer {token}"}).status_code == 302


class TestBatch:
    def test_is_added_to_in_the_name_of_who_made_the_task(self) -> None:
        batch = make_batch()
        task = running(batch)
        tasks = [{"type": "DUMMY", "ref": "a"}, {"type": "DUMMY", "dependsOn": ["a"], "taskToken": True}]
        made = by(task).post(f"/batches/{batch.pk}/tasks", {"tasks": tasks})
        assert made.status_code == 201
        assert [str(each.pk) for each in added(batch)] == made.json()["ids"]
        assert [(each.created_by, each.task_token) for each in added(batch)] == [("ci", False), ("ci", True)]
        event = AuditEvent.objects.get(action="batch.tasks_added")
        assert (event.actor, event.target, event.detail) == (
            f"task:{task.pk}",
            f"batch:{batch.pk}",
            {"tasks": 2, "attempt": 1},
        )

    def test_is_the_one_that_its_task_is_in(self) -> None:
        batch = make_batch()
        for api in (by(running()), by(running(make_batch()))):
            for path in (batch.pk, UUID(int=7)):
                assert "batch that its task is in" in problem_of(api.post(f"/batches/{path}/tasks", ONE), 403)["detail"]
        assert added(batch) == []

    def test_takes_nothing_from_an_attempt_that_is_over(self) -> None:
        batch = make_batch()
        task = running(batch)
        answer = by(task, attempt=2).post(f"/batches/{batch.pk}/tasks", ONE)
        assert problem_of(answer, 401)["type"].endswith(":attempt-over")
        assert 'error="invalid_token"' in answer["WWW-Authenticate"]

    def test_takes_no_type_that_who_made_the_task_may_not_have_had(self) -> None:
        shell = {"tasks": [{"type": "SHELL", "payload": {"command": "true"}}]}
        batch = make_batch()
        for own in ("HTTP", "DUMMY", "NOT_KNOWN_HERE"):
            task = running(batch, type=own)
            answer = by(task).post(f"/batches/{batch.pk}/tasks", shell)
            expected = 201 if own == "NOT_KNOWN_HERE" else 400  # which counts as SHELL
            assert answer.status_code == expected
        assert by(running(batch, type="SHELL")).post(f"/batches/{batch.pk}/tasks", shell).status_code == 201

    def test_gets_nothing_that_names_other_tasks_or_their_results(self) -> None:
        batch = make_batch()
        task, other = running(batch), make_task()
        for parent in (str(other.pk), str(task.pk), {"batch": str(make_batch().pk)}):
            tasks = [{"type": "DUMMY"}, {"type": "DUMMY", "dependsOn": [parent]}]
            answer = by(task).post(f"/batches/{batch.pk}/tasks", {"tasks": tasks})
            assert fields_of(answer) == {"tasks.1.dependsOn"}
        payload = {"url": "https://a.example/", "method": "POST", "body": {"$from": "a"}}
        tasks = [{"type": "DUMMY", "ref": "a"}, {"type": "HTTP", "payload": payload, "dependsOn": ["a"]}]
        assert fields_of(by(task).post(f"/batches/{batch.pk}/tasks", {"tasks": tasks})) == {"tasks.1.payload"}
        assert added(batch) == []

    def test_is_added_to_once_by_a_key_whichever_attempt_sends_it(self) -> None:
        batch = make_batch()
        task = running(batch)
        first = by(task).post(f"/batches/{batch.pk}/tasks", ONE, Idempotency_Key="k").json()
        Task.objects.filter(pk=task.pk).update(attempt=2)
        problem_of(by(task).post(f"/batches/{batch.pk}/tasks", ONE, Idempotency_Key="k"), 401)
        again = by(task, attempt=2).post(f"/batches/{batch.pk}/tasks", ONE, Idempotency_Key="k")
        assert (again.status_code, again.json()) == (200, first)
        assert len(added(batch)) == 1
        assert IdempotencyKey.objects.get().answered_with == task.pk

    def test_of_people_and_keys_is_as_it_was(self, api: Api) -> None:
        batch = make_batch()
        assert api.post(f"/batches/{batch.pk}/tasks", ONE).status_code == 201
        assert [each.created_by for each in added(batch)] == ["caller"]


class TestProgress:
    def test_is_reported_and_shown(self, api: Api) -> None:
        task = running()
        path = f"/tasks/{task.pk}/progress"
        assert api.get(path).json()["attempt"] is None
        said = by(task).put(path, {"done": 30, "total": 120, "note": "page <30>"})
        assert said.status_code == 200
        assert api.get(path).json() == said.json()
        assert said.json() | {"reportedAt": ""} == {
            "attempt": 1, "percent": 25, "done": 30, "total": 120, "note": "page <30>", "reportedAt": "",
        }  # fmt: skip
        assert "updatedAt" in api.get(f"/tasks/{task.pk}").json()
        assert Task.objects.get(pk=task.pk).version == task.version

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "percent"),
            ({"percent": 101}, "percent"),
            ({"percent": 1.5}, "percent"),
            ({"percent": True}, "percent"),
            ({"percent": 1, "done": 1}, "percent"),
            ({"total": 1, "note": "x"}, "total"),
            ({"done": 2, "total": 1}, "total"),
            ({"done": 10**16}, "done"),
            ({"note": "x" * 501}, "note"),
            ({"note": "a\nb"}, "note"),
            ({"note": 1}, "note"),
            ({"percent": 1, "more": 1}, "more"),
        ],
    )
    def test_is_bounded(self, body: Any, field: str) -> None:
        task = running()
        assert field in fields_of(by(task).put(f"/tasks/{task.pk}/progress", body))
        assert not TaskProgress.objects.exists()

    def test_is_of_the_task_itself(self) -> None:
        task, other = running(), running()
        problem_of(by(task).put(f"/tasks/{other.pk}/progress", {"percent": 1}), 403)
        problem_of(by(task, attempt=2).put(f"/tasks/{task.pk}/progress", {"percent": 1}), 401)
        assert not TaskProgress.objects.exists()

    def test_is_kept_so_often_and_the_answer_says_what_is(self) -> None:
        task = running()
        by(task).put(f"/tasks/{task.pk}/progress", {"percent": 1})
        TaskProgress.objects.update(reported_at="2999-01-01T00:00:00Z")
        kept = by(task).put(f"/tasks/{task.pk}/progress", {"percent": 2}).json()
        assert (kept["percent"], kept["reportedAt"][:4]) == (1, "2999")

    def test_may_come_from_a_key_while_the_task_runs(self, api: Api) -> None:
        problem_of(api.put(f"/tasks/{make_task().pk}/progress", {"percent": 1}), 409)
        problem_of(api.put(f"/tasks/{UUID(int=7)}/progress", {"percent": 1}), 404)
        problem_of(Api(make_key("tasks:read")).put(f"/tasks/{running().pk}/progress", {"percent": 1}), 403)
        assert api.put(f"/tasks/{running().pk}/progress", {"note": "x"}).json()["percent"] is None

    def test_is_on_the_page_of_the_task(self, staff: Client) -> None:
        task = running()
        by(task).put(f"/tasks/{task.pk}/progress", {"done": 3, "total": 4, "note": "<b>bold</b>"})
        page = staff.get(f"/admin/tasks_app/task/{task.pk}/change/").content.decode()
        assert "75 %" in page
        assert "3 of 4 done" in page
        assert "&lt;b&gt;bold" in page


class TestInputs:
    def test_are_those_of_the_task_itself_while_its_attempt_runs(self) -> None:
        task, other = running(), running()
        TaskInputs.objects.create(task_id=task.pk, attempt=1, used=[])
        assert by(task).get(f"/tasks/{task.pk}/inputs").json() == {"attempt": 1, "content": []}
        problem_of(by(task).get(f"/tasks/{other.pk}/inputs"), 403)
        problem_of(by(task).get(f"/tasks/{UUID(int=7)}/inputs"), 403)
        problem_of(by(task, attempt=2).get(f"/tasks/{task.pk}/inputs"), 401)


class TestSecrecy:
    def test_nothing_keeps_a_token(self, api: Api) -> None:
        batch = make_batch()
        task = running(batch)
        token = make_token(fence_of(task))
        Api(token).post(f"/batches/{batch.pk}/tasks", ONE, Idempotency_Key="k")
        Api(token).put(f"/tasks/{task.pk}/progress", {"percent": 1})
        for path in (f"/tasks/{task.pk}", f"/tasks/{task.pk}/events", f"/tasks/{task.pk}/progress"):
            assert token not in json.dumps(api.get(path).json())
        rows = [*AuditEvent.objects.values(), *IdempotencyKey.objects.values(), *Task.objects.values()]
        assert "tst_" not in str(rows)
