"""``POST /tasks/bulk``: per-item results, all or nothing, limits."""

from __future__ import annotations

from typing import Any

import pytest

from access_app.models import IdempotencyKey
from tasks_app.api import bulk
from tasks_app.models import Task
from tests.factories import make_key
from tests.support.api import Api, fields_of, problem_of

GOOD: dict[str, Any] = {"type": "DUMMY"}
BAD: dict[str, Any] = {"type": "DUMMY", "priority": 1000, "payload": {"x": 1}}


class TestBulk:
    def test_creates_what_it_can_and_says_what_it_could_not_in_order(self, api: Api) -> None:
        response = api.post("/tasks/bulk", {"tasks": [GOOD, BAD, 7, GOOD | {"priority": 3}]})
        answer = response.json()
        assert response.status_code == 201
        assert (answer["created"], answer["failed"]) == (2, 2)
        first, second, third, fourth = answer["items"]
        assert Task.objects.get(pk=first["id"]).priority == 0
        assert Task.objects.get(pk=fourth["id"]).priority == 3
        assert {error["field"] for error in second["errors"]} == {"priority", "payload.x"}
        assert {error["field"] for error in third["errors"]} == {"body"}
        assert Task.objects.count() == 2

    def test_is_a_problem_with_the_results_in_it_when_none_was_created(self, api: Api) -> None:
        response = api.post("/tasks/bulk", {"tasks": [BAD, {}]})
        assert fields_of(response) == {"tasks.0.priority", "tasks.0.payload.x", "tasks.1.type"}
        assert (response.json()["created"], response.json()["failed"]) == (0, 2)
        assert len(response.json()["items"]) == 2

    def test_names_the_item_that_would_expire_before_it_is_due(self, api: Api) -> None:
        late = {"type": "DUMMY", "scheduleAt": "2030-01-02T00:00:00Z", "expiresAt": "2030-01-01T00:00:00Z"}
        items = api.post("/tasks/bulk", {"tasks": [{"type": "DUMMY"}, late]}).json()["items"]
        assert [error["field"] for error in items[1]["errors"]] == ["expiresAt"]

    def test_stores_nothing_when_atomic_and_one_is_bad(self, api: Api) -> None:
        response = api.post("/tasks/bulk?atomic=true", {"tasks": [GOOD, BAD]})
        assert fields_of(response) == {"tasks.1.priority", "tasks.1.payload.x"}
        assert (response.json()["created"], response.json()["failed"]) == (0, 2)
        assert response.json()["items"][0]["errors"][0]["field"] == "tasks"
        assert not Task.objects.exists()
        assert api.post("/tasks/bulk?atomic=true", {"tasks": [GOOD, GOOD]}).json()["created"] == 2

    @pytest.mark.parametrize("query", ["atomic=1", "atomic=", "atomic=True", "atomic=true&atomic=true"])
    def test_atomic_is_true_or_false(self, api: Api, query: str) -> None:
        assert fields_of(api.post(f"/tasks/bulk?{query}", {"tasks": [GOOD]})) == {"atomic"}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "body"),
            ([GOOD], "body"),
            ({}, "tasks"),
            ({"tasks": []}, "tasks"),
            ({"tasks": None}, "tasks"),
            ({"tasks": {"0": GOOD}}, "tasks"),
            ({"tasks": [GOOD], "atomic": True}, "atomic"),
            ({"tasks": [GOOD] * 10_001}, "tasks"),
        ],
    )
    def test_refuses_a_body_that_is_no_list_of_tasks(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.post("/tasks/bulk", body)) == {field}
        assert not Task.objects.exists()

    def test_takes_ten_thousand(self, api: Api) -> None:
        answer = api.post("/tasks/bulk", {"tasks": [GOOD] * 10_000}).json()
        assert (answer["created"], answer["failed"], len(answer["items"])) == (10_000, 0, 10_000)
        assert Task.objects.count() == 10_000

    def test_shell_tasks_without_their_scope_fail_one_by_one(self, db: None) -> None:
        shell = {"type": "SHELL", "payload": {"command": "true"}}
        answer = Api(make_key("tasks:write")).post("/tasks/bulk", {"tasks": [shell, GOOD]}).json()
        assert answer["created"] == 1
        assert "tasks:shell" in answer["items"][0]["errors"][0]["message"]

    def test_bodies_up_to_32_mib_are_read(self, api: Api) -> None:
        padding = b" " * (3 * 1024 * 1024)
        assert api.post("/tasks/bulk", b'{"tasks":[{"type":"DUMMY"}]}' + padding).status_code == 201
        problem_of(api.post("/tasks/bulk", b" " * (32 * 1024 * 1024 + 1)), 413)

    def test_answers_no_other_method(self, api: Api) -> None:
        problem_of(api.get("/tasks/bulk"), 405)


class TestBulkAnswers:
    """At most two mebibytes, whatever was sent, with every item in its place. 10,000 faults made 41 MB once."""

    MOST = 2 * 1024 * 1024
    WORST: dict[str, Any] = {"type": "HTTP", "payload": {f"{n}" + "\x01" * 40: 0 for n in range(3)}}

    @pytest.fixture
    def little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bulk, "ROOM_FOR_ERRORS", 5_000)

    def test_are_bounded_with_each_item_in_its_place(self, api: Api, little_room: None) -> None:
        answer = api.post("/tasks/bulk", {"tasks": [*[self.WORST] * 99, GOOD]}).json()
        assert (answer["created"], answer["failed"], len(answer["items"])) == (1, 99, 100)
        assert "id" in answer["items"][-1]
        assert len(answer["items"][0]["errors"]) == 4
        assert answer["items"][98]["errors"] == [{"field": "…", "message": "and 4 more"}]

    @pytest.mark.parametrize("query", ["", "?atomic=true"])
    def test_are_bounded_when_nothing_was_stored(self, api: Api, little_room: None, query: str) -> None:
        tasks = [*[self.WORST] * 50, *([GOOD] * 50 if query else [])]
        problem = problem_of(api.post(f"/tasks/bulk{query}", {"tasks": tasks}), 400)
        assert len(problem["items"]) == len(tasks)
        assert problem["items"][49]["errors"] == [{"field": "…", "message": "and 4 more"}]
        assert len(problem["errors"]) == 101
        assert problem["errors"][-1] == {"field": "…", "message": f"and {50 * 4 - 100} more"}

    def test_tell_of_ten_thousand_items_with_one_fault_each(self, api: Api) -> None:
        tasks = [*[self.WORST] * 500, *[{"type": "DUMMY", "priority": 1000}] * 9_500]
        response = api.post("/tasks/bulk", {"tasks": tasks})
        assert len(response.content) < self.MOST
        assert response.json()["items"][0]["errors"][0]["field"].startswith("payload.")
        assert response.json()["items"][-1]["errors"] == [{"field": "…", "message": "and 1 more"}]


class TestBulkIdempotency:
    BODY: dict[str, Any] = {"tasks": [GOOD, BAD, GOOD]}

    def test_the_same_call_again_answers_the_same_and_creates_nothing(self, api: Api) -> None:
        first = api.post("/tasks/bulk", self.BODY, Idempotency_Key="k")
        again = api.post("/tasks/bulk/", self.BODY, Idempotency_Key="k")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again["Idempotent-Replayed"] == "true"
        assert again.json() == first.json()
        assert Task.objects.count() == 2

    def test_another_call_conflicts(self, api: Api) -> None:
        api.post("/tasks/bulk", self.BODY, Idempotency_Key="k")
        problem_of(api.post("/tasks/bulk", {"tasks": [GOOD]}, Idempotency_Key="k"), 409)
        problem_of(api.post("/tasks/bulk?atomic=false", {"tasks": [GOOD]}, Idempotency_Key="k"), 409)
        problem_of(api.post("/tasks", GOOD, Idempotency_Key="k"), 409)
        assert Task.objects.count() == 2

    def test_a_call_that_created_nothing_leaves_the_key_free(self, api: Api) -> None:
        api.post("/tasks/bulk?atomic=true", self.BODY, Idempotency_Key="k")
        assert not IdempotencyKey.objects.exists()
