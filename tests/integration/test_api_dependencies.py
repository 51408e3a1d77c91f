"""Tasks that depend on others, as callers ask for them: one, many that name each other, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tasks_app.edges import TaskEdge
from tasks_app.models import Task
from tests.factories import make_task
from tests.support.api import Api, problem_of

SOME = "018f0000-0000-7000-8000-000000000001"


def item(ref: str | None = None, *parents: str, **fields: Any) -> dict[str, Any]:
    named = {} if ref is None else {"ref": ref}
    return {"type": "DUMMY"} | named | ({"dependsOn": list(parents)} if parents else {}) | fields


def bulk(api: Api, *items: dict[str, Any], atomic: bool = False) -> list[dict[str, Any]]:
    response = api.post(f"/tasks/bulk?atomic={str(atomic).lower()}", {"tasks": list(items)})
    found: list[dict[str, Any]] = response.json()["items"]
    return found


def refused(items: list[dict[str, Any]]) -> dict[int, str]:
    """Place → what is wrong, of the first field that is."""
    return {
        place: f"{each['errors'][0]['field']}: {each['errors'][0]['message']}"
        for place, each in enumerate(items)
        if "errors" in each
    }


class TestOne:
    def test_waits_for_a_task_and_says_so(self, api: Api) -> None:
        parent = make_task()
        body = item(None, str(parent.pk), runIf="all_done", otherwise="fail")
        made = api.post("/tasks", body)
        assert made.status_code == 201
        task_id = made.json()["id"]
        [reason] = [each for each in api.get(f"/tasks/{task_id}/why").json()["reasons"] if each["code"] == "DEPENDENCY"]
        assert reason["detail"] == f"waits for 1 of 1 tasks that it depends on: {parent.pk}"
        assert reason["links"] == {"task": f"/tasks/{parent.pk}"}
        assert api.get(f"/tasks/{task_id}/dependencies").json() == {
            "runIf": "all_done",
            "otherwise": "fail",
            "content": [{"taskId": str(parent.pk), "outcome": None}],
        }
        assert api.get("/queues/default").json()["gates"] == {"DEPENDENCY": 1}

    def test_that_depends_on_nothing_has_no_dependencies(self, api: Api) -> None:
        found = api.get(f"/tasks/{make_task().pk}/dependencies").json()
        assert found == {"runIf": None, "otherwise": None, "content": []}

    def test_cannot_wait_for_a_task_that_there_is_not(self, api: Api) -> None:
        missing = str(uuid4())
        problem = problem_of(api.post("/tasks", item(None, missing)), 400)
        assert problem["errors"] == [{"field": "dependsOn", "message": f"there is no task {missing}"}]
        assert not Task.objects.exists()

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"dependsOn": []}, "dependsOn"),
            ({"dependsOn": "x"}, "dependsOn"),
            ({"dependsOn": [7]}, "dependsOn"),
            ({"dependsOn": [None]}, "dependsOn"),
            ({"dependsOn": ["a ref"]}, "dependsOn"),
            ({"dependsOn": [SOME] * 1001}, "dependsOn"),
            ({"dependsOn": [SOME], "runIf": "never"}, "runIf"),
            ({"dependsOn": [SOME], "otherwise": "run"}, "otherwise"),
            ({"runIf": "all_done"}, "runIf"),
            ({"otherwise": "fail"}, "otherwise"),
            ({"ref": ""}, "ref"),
            ({"ref": 7}, "ref"),
            ({"ref": "x" * 101}, "ref"),
        ],
        ids=range(13),
    )
    def test_is_refused_by_the_name_of_the_field(self, api: Api, fields: dict[str, Any], field: str) -> None:
        problem = problem_of(api.post("/tasks", item(**fields)), 400)
        assert [error["field"] for error in problem["errors"]] == [field]

    @pytest.mark.parametrize(
        "fields", [{"uniqueKey": "k"}, {"concurrencyKey": "k", "onBusy": "skip"}], ids=["uniqueKey", "onBusy"]
    )
    def test_is_always_a_new_one(self, api: Api, fields: dict[str, Any]) -> None:
        problem = problem_of(api.post("/tasks", item(None, str(make_task().pk), **fields)), 400)
        [error] = problem["errors"]
        assert (error["field"], error["message"].partition(" with ")[0]) == ("dependsOn", "is not taken")

    def test_takes_null_for_nothing(self, api: Api) -> None:
        assert api.post("/tasks", item(dependsOn=None)).status_code == 201

    def test_with_an_idempotency_key_is_made_once(self, api: Api) -> None:
        body = item(None, str(make_task().pk))
        first, second = (api.post("/tasks", body, idempotency_key="k") for _ in range(2))
        assert first.json()["id"] == second.json()["id"]
        assert TaskEdge.objects.count() == 1

    def test_of_a_full_queue_is_refused(self, api: Api) -> None:
        api.patch("/queues/small", {"maxWaiting": 0})
        parent = make_task()
        assert api.post("/tasks", item(None, str(parent.pk), queue="small")).status_code == 429
        assert not TaskEdge.objects.exists()

    def test_is_not_edited_and_not_cloned(self, api: Api) -> None:
        task_id = api.post("/tasks", item(None, str(make_task().pk))).json()["id"]
        assert api.patch(f"/tasks/{task_id}", {"dependsOn": None}).status_code == 400
        clone = api.post(f"/tasks/{task_id}/clone").json()["id"]
        assert api.get(f"/tasks/{clone}/dependencies").json()["content"] == []
        assert api.patch(f"/tasks/{task_id}", {"priority": 5}).status_code == 200
        assert api.get(f"/tasks/{task_id}/dependencies").json()["content"] != []


class TestMany:
    def test_name_each_other_in_any_order(self, api: Api) -> None:
        outside = make_task()
        made = bulk(api, item("load", "clean", "extract"), item("extract"), item("clean", "extract", str(outside.pk)))
        load, extract, clean = (each["id"] for each in made)
        edges = {(str(child), str(parent)) for child, parent in TaskEdge.objects.values_list("child_id", "parent_id")}
        assert edges == {(load, clean), (load, extract), (clean, extract), (clean, str(outside.pk))}
        marked = {str(pk) for pk in Task.objects.filter(has_dependents=True).values_list("pk", flat=True)}
        assert marked == {extract, clean, str(outside.pk)}

    def test_that_wait_for_each_other_are_refused_with_the_circle(self, api: Api) -> None:
        items = [item("a", "b"), item("b", "c"), item("c", "a"), item("d"), item("e", "a"), item("f", "f")]
        found = refused(bulk(api, *items))
        circle = "dependsOn: these wait for each other: "
        assert found == {
            **dict.fromkeys((0, 1, 2, 4), f"{circle}a waits for b waits for c waits for a"),
            5: f"{circle}f waits for f",
        }

    def test_that_depend_on_a_refused_one_are_refused(self, api: Api) -> None:
        made = bulk(api, item("bad", priority=500), item("child", "bad"), item(None, "child"), item("free"))
        assert refused(made) == {
            0: "priority: must be a whole number from -100 to 100",
            1: "dependsOn: bad, on which it depends, was refused",
            2: "dependsOn: child, on which it depends, was refused",
        }
        assert Task.objects.count() == 1

    def test_that_depend_on_one_whose_queue_is_full_are_refused_for_that(self, api: Api) -> None:
        api.patch("/queues/small", {"maxWaiting": 1})
        made = bulk(
            api, item("a", queue="small"), item("b", queue="small"), item(None, "b"), item("c", "a"), item(None, "c")
        )
        assert set(refused(made)) == {1, 2}
        assert "maxWaiting is 1" in refused(made)[2]
        assert TaskEdge.objects.count() == 2

    def test_have_a_ref_each(self, api: Api) -> None:
        task = str(uuid4())
        made = bulk(api, item("a"), item("a"), item(task), item("b", uniqueKey="k"), item(None, "nobody"))
        assert refused(made) == {
            1: "ref: another task of this call has the ref a",
            2: "ref: must not look like the id of a task",
            3: "ref: is not taken with uniqueKey: the task that others depend on might be another one",
            4: "dependsOn: nobody is neither the id of a task nor a ref of this call",
        }

    def test_are_all_refused_or_none_when_atomic(self, api: Api) -> None:
        missing = str(uuid4())
        response = api.post("/tasks/bulk?atomic=true", {"tasks": [item("a"), item(None, "a", missing)]})
        problem = problem_of(response, 400)
        assert problem["errors"] == [{"field": "tasks.1.dependsOn", "message": f"there is no task {missing}"}]
        assert not Task.objects.exists()

    def test_are_bounded_in_what_they_depend_on_in_all(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tasks_app.api.bulk.MAX_EDGES", 2)
        response = api.post("/tasks/bulk", {"tasks": [item("a"), item("b"), item(None, "a", "b"), item(None, "a")]})
        assert problem_of(response, 400)["errors"][0]["field"] == "tasks"

    def test_of_an_idempotent_call_are_made_once(self, api: Api) -> None:
        body = {"tasks": [item("a"), item("b", "a")]}
        first, second = (api.post("/tasks/bulk", body, idempotency_key="k") for _ in range(2))
        assert first.json() == second.json()
        assert TaskEdge.objects.count() == 1
