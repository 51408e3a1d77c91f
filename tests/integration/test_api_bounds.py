"""Full queues over HTTP: 429 with what is full and when to come again, for every request that brings a task there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from access_app.models import AuditEvent
from tasks_app import bounds
from tasks_app.models import Task
from tests.factories import make_key
from tests.integration.test_task_fields import FORM
from tests.support.api import Api, fields_of, problem_of
from tests.support.schedules import make_schedule

T: dict[str, Any] = {"type": "DUMMY"}
NOTHING_NEW = {"maxWaiting": 0}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine that is slow."""
    monkeypatch.setattr(bounds, "SLOW", float("inf"))


def full_problem(response: Any) -> dict[str, Any]:
    problem = problem_of(response, 429)
    assert problem["type"].endswith(":queue-full")
    assert 1 <= int(response["Retry-After"]) <= 60
    return problem


class TestCreate:
    def test_names_queue_bound_and_what_waits(self, api: Api) -> None:
        api.patch("/queues/default", {"maxWaiting": 1})
        api.post("/tasks", T)
        problem = full_problem(api.post("/tasks", T))
        assert (problem["queue"], problem["maxWaiting"], problem["waiting"]) == ("default", 1, 1)
        assert "concurrencyKey" not in problem
        assert problem["detail"] == "Queue default is full: 1 tasks wait, and its maxWaiting is 1."

    def test_names_the_concurrency_key(self, api: Api) -> None:
        api.patch("/queues/default", {"perKey": {"maxWaiting": 1}})
        body = T | {"concurrencyKey": "tenant / 7 é"}
        api.post("/tasks", body)
        problem = full_problem(api.post("/tasks", body))
        assert (problem["concurrencyKey"], problem["maxWaiting"]) == ("tenant / 7 é", 1)
        assert api.post("/tasks", T).status_code == 201

    def test_leaves_the_idempotency_key_free(self, api: Api) -> None:
        api.patch("/queues/default", NOTHING_NEW)
        full_problem(api.post("/tasks", T, Idempotency_Key="i"))
        api.patch("/queues/default", {"maxWaiting": None})
        first = api.post("/tasks", T, Idempotency_Key="i")
        assert first.status_code == 201
        api.patch("/queues/default", NOTHING_NEW)
        again = api.post("/tasks", T, Idempotency_Key="i")
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])

    def test_refuses_what_is_wrong_before_what_does_not_fit(self, api: Api) -> None:
        api.patch("/queues/default", NOTHING_NEW)
        assert fields_of(api.post("/tasks", T | {"priority": 101})) == {"priority"}

    def test_lets_in_no_more_too_many_than_calls_at_once(self, committed_db: None) -> None:
        secret, together = make_key(), Barrier(6)
        Api(secret).patch("/queues/default", {"maxWaiting": 3})

        def send(_: int) -> list[int]:
            try:
                api = Api(secret)
                together.wait(30)
                return [api.post("/tasks", T).status_code for _ in range(5)]
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as pool:
            statuses = [status for statuses in pool.map(send, range(6)) for status in statuses]
        assert set(statuses) == {201, 429}
        assert 3 <= Task.objects.count() == statuses.count(201) <= 3 + 6


class TestBulk:
    def test_refuses_the_items_that_do_not_fit(self, api: Api) -> None:
        api.patch("/queues/default", {"maxWaiting": 2})
        items = [T, T | {"priority": 101}, T, T, T | {"queue": "other"}]
        answer = api.post("/tasks/bulk", {"tasks": items})
        assert answer.status_code == 201
        document = answer.json()
        assert (document["created"], document["failed"]) == (3, 2)
        assert ["errors" in item for item in document["items"]] == [False, True, False, True, False]
        assert document["items"][3]["errors"] == [
            {"field": "queue", "message": "queue default is full: 2 tasks wait, and its maxWaiting is 2"}
        ]
        ids = {item["id"] for item in document["items"] if "id" in item}
        assert {str(pk) for pk in Task.objects.values_list("pk", flat=True)} == ids

    def test_is_refused_when_nothing_fits(self, api: Api) -> None:
        api.patch("/queues/default", {"perKey": {"maxWaiting": 0}})
        body = {"tasks": [T | {"concurrencyKey": "k"}, T | {"priority": 101}]}
        problem = full_problem(api.post("/tasks/bulk", body, Idempotency_Key="i"))
        assert (problem["queue"], problem["concurrencyKey"], problem["created"]) == ("default", "k", 0)
        assert [error["field"] for error in problem["errors"]] == ["tasks.0.concurrencyKey", "tasks.1.priority"]
        api.patch("/queues/default", {"perKey": {"maxWaiting": 1}})
        assert api.post("/tasks/bulk", body, Idempotency_Key="i").json()["created"] == 1

    def test_atomic_stores_all_or_nothing(self, api: Api) -> None:
        api.patch("/queues/default", {"maxWaiting": 2})
        body = {"tasks": [T, T | {"queue": "other"}, T, T]}
        problem = full_problem(api.post("/tasks/bulk?atomic=true", body))
        assert (problem["failed"], problem["waiting"]) == (4, 2)
        assert not Task.objects.exists()
        assert api.post("/tasks/bulk?atomic=true", {"tasks": body["tasks"][:3]}).json()["created"] == 3

    def test_replays_what_did_not_fit(self, api: Api) -> None:
        api.patch("/queues/default", {"maxWaiting": 1})
        first = api.post("/tasks/bulk", {"tasks": [T, T]}, Idempotency_Key="i")
        again = api.post("/tasks/bulk", {"tasks": [T, T]}, Idempotency_Key="i")
        assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
        assert Task.objects.count() == 1


class TestOthers:
    def test_clone_retry_and_edit_are_refused(self, api: Api) -> None:
        task = api.post("/tasks", T | {"queue": "other"}).json()["id"]
        ended = api.post("/tasks", T).json()["id"]
        api.delete(f"/tasks/{ended}")
        api.patch("/queues/default", NOTHING_NEW)
        full_problem(api.post(f"/tasks/{ended}/retry"))
        full_problem(api.post(f"/tasks/{ended}/clone"))
        full_problem(api.patch(f"/tasks/{task}", {"queue": "default"}))
        assert api.patch(f"/tasks/{task}", {"priority": 3}).json()["queue"] == "other"
        assert not AuditEvent.objects.filter(action__in=["task.retried", "task.cloned"]).exists()

    def test_trigger_and_backfill_are_refused(self, api: Api) -> None:
        schedule = make_schedule(due=3, misfire_policy="skip")
        api.patch("/queues/default", NOTHING_NEW)
        assert full_problem(api.post(f"/schedules/{schedule.pk}/trigger"))["queue"] == "default"
        assert not Task.objects.exists()

    def test_the_forms_say_so(self, api: Api, admin_client: Client, admin_user: User) -> None:
        ended = api.post("/tasks", T).json()["id"]
        api.delete(f"/tasks/{ended}")
        schedule = make_schedule()
        api.patch("/queues/default", NOTHING_NEW)
        page = admin_client.post("/admin/tasks_app/task/add/", FORM)
        assert "queue default is full" in page.content.decode()
        page = admin_client.post(f"/admin/tasks_app/task/{ended}/retry/", follow=True)
        assert "refused, because queue default is full" in page.content.decode()
        page = admin_client.post(f"/admin/schedules_app/schedule/{schedule.pk}/trigger/", {"once": "a"}, follow=True)
        assert "Nothing was done: queue default is full" in page.content.decode()


class TestRule:
    @pytest.mark.parametrize("value", [-1, 10_000_001, 1.5, "5", True, [], {}, 10**30])
    def test_is_refused_by_name(self, api: Api, value: Any) -> None:
        assert fields_of(api.patch("/queues/q", {"maxWaiting": value})) == {"maxWaiting"}
        assert fields_of(api.patch("/queues/q", {"perKey": {"maxWaiting": value}})) == {"perKey.maxWaiting"}

    def test_holds_at_its_ends(self, api: Api) -> None:
        for most in (0, 10_000_000):
            assert api.patch("/queues/q", {"maxWaiting": most}).json()["maxWaiting"] == most
        assert api.post("/tasks", T | {"queue": "q"}).status_code == 201
