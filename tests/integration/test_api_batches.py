"""Batches over HTTP: what is asked for, what is shown, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from access_app.models import AuditEvent
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.factories import make_batch, make_key, make_task
from tests.support.api import Api, fields_of, problem_of
from workflows_app.models import Batch

DUMMY: dict[str, Any] = {"type": "DUMMY"}


def made(api: Api, *tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = api.post("/batches", {"name": "b", "tasks": list(tasks), **fields})
    assert response.status_code == 201, response.content
    found: dict[str, Any] = response.json()
    return found


class TestCreate:
    def test_shows_the_ids_by_ref_and_what_there_is(self, api: Api) -> None:
        batch = made(
            api,
            {**DUMMY, "ref": "eu"},
            {**DUMMY, "ref": "us"},
            {**DUMMY, "dependsOn": ["eu", "us"]},
            onComplete={**DUMMY, "priority": 5},
            failFast="10%",
        )
        assert (batch["status"], batch["failFast"], batch["progress"]) == ("RUNNING", "10%", 0.0)
        assert (batch["counts"]["PENDING"], batch["counts"]["total"]) == (3, 3)
        assert batch["onComplete"]["priority"] == 5
        assert batch["refs"].keys() == {"eu", "us"}
        tasks = api.get(f"/tasks?batchId={batch['id']}&sort=createdAt,asc").json()["content"]
        assert [task["id"] for task in tasks[:2]] == [batch["refs"]["eu"], batch["refs"]["us"]]
        assert {task["batchId"] for task in tasks} == {batch["id"]}
        shown = api.get(f"/batches/{batch['id']}").json()
        assert shown == {name: value for name, value in batch.items() if name != "refs"}

    def test_is_all_or_none(self, api: Api) -> None:
        body = {"name": "b", "tasks": [DUMMY, {**DUMMY, "priority": 500}, {**DUMMY, "uniqueKey": "k"}]}
        assert fields_of(api.post("/batches", body)) == {"tasks.1.priority", "tasks.2.uniqueKey"}
        assert not Task.objects.exists()
        assert not Batch.objects.exists()

    def test_of_a_full_queue_is_refused_as_a_whole(self, api: Api) -> None:
        api.patch("/queues/small", {"maxWaiting": 1})
        tasks = [DUMMY, *[{**DUMMY, "queue": "small"}] * 2]
        assert api.post("/batches", {"name": "b", "tasks": tasks}).status_code == 429
        assert api.post(f"/batches/{made(api, open=True)['id']}/tasks", {"tasks": tasks}).status_code == 429
        assert not Task.objects.exists()

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"name": ""}, "name"),
            ({"name": 7}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"tasks": {}}, "tasks"),
            ({"tasks": [7]}, "tasks.0.body"),
            ({"tasks": [{}]}, "tasks.0.type"),
            ({"open": 1}, "open"),
            ({"failFast": 0}, "failFast"),
            ({"failFast": "0%"}, "failFast"),
            ({"parentBatchId": "x"}, "parentBatchId"),
            ({"parentBatchId": str(uuid4())}, "parentBatchId"),
            ({"onComplete": 7}, "onComplete"),
            ({"onSuccess": {**DUMMY, "scheduleAt": "2030-01-01T00:00:00Z"}}, "onSuccess.scheduleAt"),
            ({"onFailure": {"type": "HTTP"}}, "onFailure.payload.url"),
            ({"status": "OPEN"}, "status"),
            ({"surprise": 1}, "surprise"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_is_refused_by_the_name_of_the_field(self, api: Api, fields: dict[str, Any], named: str) -> None:
        assert fields_of(api.post("/batches", {"name": "b", "tasks": [], **fields})) == {named}
        assert not Batch.objects.exists()

    def test_with_an_idempotency_key_is_made_once(self, api: Api) -> None:
        body = {"name": "b", "tasks": [{**DUMMY, "ref": "a"}]}
        first, second = (api.post("/batches", body, Idempotency_Key="k") for _ in range(2))
        assert (first.status_code, second.status_code, second["Idempotent-Replayed"]) == (201, 200, "true")
        assert first.json()["refs"] == second.json()["refs"]
        assert (first.json()["id"], Batch.objects.count()) == (second.json()["id"], 1)
        problem_of(api.post("/batches", {"name": "other"}, Idempotency_Key="k"), 409)

    def test_lies_in_another(self, api: Api) -> None:
        outer = made(api, open=True)
        inner = made(api, DUMMY, parentBatchId=outer["id"])
        assert inner["parentBatchId"] == outer["id"]
        assert api.get(f"/batches/{outer['id']}").json()["batches"] == {"open": 1, "done": 0}
        problem_of(api.post("/batches", {"name": "b", "parentBatchId": str(make_batch(status="FAILED").pk)}), 409)


class TestDependsOn:
    def test_a_batch_is_shown_and_why_says_how_many_are_open(self, api: Api) -> None:
        batch = made(api, DUMMY, DUMMY, open=True)
        task = api.post("/tasks", {**DUMMY, "dependsOn": [{"batch": batch["id"]}]}).json()["id"]
        [reason] = [each for each in api.get(f"/tasks/{task}/why").json()["reasons"] if each["code"] == "DEPENDENCY"]
        assert reason["detail"] == (
            "waits for 1 of 1 tasks and batches that it depends on: "
            f"batch {batch['id']}, of which 2 tasks are open, and which is not closed"
        )
        assert reason["links"] == {"batch": f"/batches/{batch['id']}"}
        shown = api.get(f"/tasks/{task}/dependencies").json()
        assert shown["content"] == [{"batchId": batch["id"], "outcome": None}]

    @pytest.mark.parametrize("parent", [{"batch": "x"}, {"batch": 7}, {"batch": str(uuid4()), "x": 1}, {}, [], 7])
    def test_on_what_is_none_is_refused(self, api: Api, parent: Any) -> None:
        assert fields_of(api.post("/tasks", {**DUMMY, "dependsOn": [parent]})) == {"dependsOn"}

    def test_on_a_batch_that_there_is_not_is_refused(self, api: Api) -> None:
        missing = str(uuid4())
        said = {"field": "dependsOn", "message": f"there is no batch {missing}"}
        child = {**DUMMY, "dependsOn": [{"batch": missing}]}
        assert problem_of(api.post("/tasks", child), 400)["errors"] == [said]
        made_ = api.post("/tasks/bulk", {"tasks": [DUMMY, child]}).json()
        assert (made_["created"], made_["items"][1]["errors"]) == (1, [said])

    def test_on_its_own_batch_is_refused(self, api: Api) -> None:
        batch = made(api, open=True)
        body = {"tasks": [{**DUMMY, "dependsOn": [{"batch": batch["id"]}]}]}
        assert fields_of(api.post(f"/batches/{batch['id']}/tasks", body)) == {"dependsOn"}


class TestAdd:
    def test_shows_ids_in_order_and_by_ref(self, api: Api) -> None:
        batch = made(api, open=True)
        body = {"tasks": [{**DUMMY, "ref": "a"}, {**DUMMY, "dependsOn": ["a"]}]}
        first, second = (api.post(f"/batches/{batch['id']}/tasks", body, Idempotency_Key="k") for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == second.json()
        assert first.json()["refs"] == {"a": first.json()["ids"][0]}
        assert Task.objects.filter(batch_id=batch["id"]).count() == 2

    def test_to_a_done_one_is_refused(self, api: Api) -> None:
        batch = make_batch(status="SUCCESS")
        problem = problem_of(api.post(f"/batches/{batch.pk}/tasks", {"tasks": [DUMMY]}), 409)
        assert problem["detail"] == "The batch is SUCCESS and takes no more."

    @pytest.mark.parametrize("body", [{}, {"tasks": []}, {"tasks": [DUMMY], "x": 1}, []])
    def test_of_nothing_is_refused(self, api: Api, body: Any) -> None:
        problem_of(api.post(f"/batches/{make_batch().pk}/tasks", body), 400)

    def test_to_none_is_not_found(self, api: Api) -> None:
        for path in (uuid4(), "x"):
            problem_of(api.post(f"/batches/{path}/tasks", {"tasks": [DUMMY]}), 404)


class TestCloseAndCancel:
    def test_are_audited_and_guarded_by_the_version(self, api: Api) -> None:
        batch = made(api, DUMMY, open=True)
        path = f"/batches/{batch['id']}"
        problem_of(api.post(f"{path}/close", If_Match='"9"'), 412)
        closed = api.post(f"{path}/close", {"reason": "that is all"}, If_Match='"1"')
        assert (closed.json()["status"], closed["ETag"]) == ("RUNNING", '"2"')
        cancelled = api.delete(path, If_Match='"2"')
        assert (cancelled.status_code, cancelled.json()["cancelledAt"] is None) == (202, False)
        events = AuditEvent.objects.filter(target=f"batch:{batch['id']}").order_by("id")
        assert list(events.values_list("action", "reason")) == [
            ("batch.closed", "that is all"),
            ("batch.cancelled", ""),
        ]
        problem_of(api.delete(f"/batches/{make_batch(status='FAILED').pk}"), 409)


class TestRetry:
    @pytest.fixture
    def failed(self, db: None) -> Batch:
        batch = make_batch(status="FAILED")
        make_task(batch_id=batch.pk, status="FAILED")
        make_task(batch_id=batch.pk, status="SUCCESS")
        make_task(batch_id=batch.pk, status="CANCELLED")
        return batch

    @pytest.mark.parametrize(
        ("body", "count"), [(None, 1), ({"only": "failed"}, 1), ({"only": "unsuccessful", "reason": "all"}, 2)]
    )
    def test_runs_again_what_failed(self, api: Api, failed: Batch, body: Any, count: int) -> None:
        found = api.post(f"/batches/{failed.pk}/retry", body, If_Match='"1"').json()
        assert (found["status"], found["retried"], found["counts"]["PENDING"]) == ("RUNNING", count, count)
        assert (found["finishedAt"], found["completion"], found["followUps"]) == (None, 1, {})

    @pytest.mark.parametrize("body", [{"only": "all"}, {"only": 1}, {"x": 1}, []])
    def test_of_something_else_is_refused(self, api: Api, failed: Batch, body: Any) -> None:
        problem_of(api.post(f"/batches/{failed.pk}/retry", body), 400)

    def test_when_nothing_failed_or_it_has_changed_is_refused(self, api: Api, failed: Batch) -> None:
        problem_of(api.post(f"/batches/{make_batch().pk}/retry"), 409)
        problem_of(api.post(f"/batches/{failed.pk}/retry", If_Match='"9"'), 412)

    def test_of_commands_needs_their_scope(self, failed: Batch) -> None:
        make_task(batch_id=failed.pk, status="FAILED", type="SHELL")
        writer = Api(make_key("tasks:write"))
        problem_of(writer.post(f"/batches/{failed.pk}/retry"), 403)
        problem_of(
            writer.post("/batches", {"name": "b", "onComplete": {"type": "SHELL", "payload": {"command": "x"}}}), 403
        )
        body = {"name": "b", "tasks": [{"type": "SHELL", "payload": {"command": "x"}}]}
        assert fields_of(writer.post("/batches", body)) == {"tasks.0.type"}

    def test_shows_no_secret_to_who_may_not_read(self, failed: Batch) -> None:
        secret = {**DUMMY, "payload": {"sleepDurationMs": 77777}}
        found = Api(make_key("tasks:write")).post("/batches", {"name": "b", "onComplete": secret})
        assert (found.status_code, b"77777" in found.content) == (201, False)

    def test_of_a_task_with_what_never_ran_for_it(self, api: Api) -> None:
        parent = make_task(status="FAILED")
        for body in ({"dependents": 1}, {"x": True}, []):
            problem_of(api.post(f"/tasks/{parent.pk}/retry", body), 400)
        assert api.post(f"/tasks/{parent.pk}/retry", {"dependents": True}).json()["status"] == "PENDING"


class TestList:
    def test_is_filtered_and_paged(self, api: Api) -> None:
        outer = make_batch(name="outer", status="OPEN")
        inner = make_batch(name="inner", parent_id=outer.pk)
        done = make_batch(name="inner", status="FAILED")

        def names(query: str) -> list[str]:
            return [each["id"] for each in api.get(f"/batches?{query}").json()["content"]]

        assert names("") == [str(each.pk) for each in (done, inner, outer)]
        assert names("status=OPEN&status=RUNNING&sort=createdAt,asc") == [str(outer.pk), str(inner.pk)]
        assert names("status=FAILED") == [str(done.pk)]
        assert names("name=inner&size=1") == [str(done.pk)]
        assert names(f"parentBatchId={outer.pk}") == [str(inner.pk)]
        assert names("createdAfter=2999-01-01T00:00:00Z") == []
        first = api.get("/batches?cursor=&size=2").json()
        assert (len(first["content"]), names(f"cursor={first['next']}&size=2")) == (2, [str(outer.pk)])

    @pytest.mark.parametrize("query", ["status=PENDING", "name=", "parentBatchId=x", "surprise=1", "sort=name"])
    def test_refuses_what_it_does_not_know(self, api: Api, query: str) -> None:
        problem_of(api.get(f"/batches?{query}"), 400)

    def test_of_tasks_by_batch_has_those_that_ended_too(self, api: Api, session: Session) -> None:
        batch = make_batch()
        tasks = [make_task(batch_id=batch.pk, status=status) for status in ("PENDING", "SUCCESS", "FAILED")]
        make_task()
        found = api.get(f"/tasks?batchId={batch.pk}&sort=createdAt,asc").json()
        assert [each["id"] for each in found["content"]] == [str(task.pk) for task in tasks]
        assert api.get(f"/tasks?batchId={batch.pk}&status=FAILED").json()["totalElements"] == 1
        problem_of(api.get("/tasks?batchId=x"), 400)
