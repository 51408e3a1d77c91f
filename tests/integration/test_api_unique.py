"""``uniqueKey`` over HTTP: what a caller is told when an open task has the key, and what is refused by name."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from access_app.models import AuditEvent, IdempotencyKey
from tasks_app.models import Task
from tests.factories import make_key
from tests.integration.test_task_fields import FORM
from tests.support.api import Api, fields_of, problem_of

K = {"type": "DUMMY", "uniqueKey": "report 7"}
POSTPONE = K | {"onDuplicate": "postpone", "debounceSeconds": 60}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestReturn:
    def test_answers_with_the_open_task_and_says_so(self, api: Api) -> None:
        first, again = api.post("/tasks", K), api.post("/tasks", K | {"priority": 5})
        assert (first.status_code, again.status_code) == (201, 200)
        assert (again["Not-Created"], again["ETag"]) == ("returned", first["ETag"])
        assert "Not-Created" not in first
        assert again.json() == first.json()
        assert first.json()["uniqueKey"] == "report 7"

    def test_keeps_queues_apart(self, api: Api) -> None:
        assert api.post("/tasks", K).status_code == 201
        assert api.post("/tasks", K | {"queue": "other"}).status_code == 201

    def test_ends_with_the_task(self, api: Api) -> None:
        first = api.post("/tasks", K).json()
        api.delete(f"/tasks/{first['id']}")
        again = api.post("/tasks", K)
        assert again.status_code == 201
        assert again.json()["id"] != first["id"]

    def test_shows_no_payload_to_who_may_not_read(self, api: Api) -> None:
        api.post("/tasks", K | {"payload": {"sleepDurationMs": 7}})
        shown = Api(make_key("tasks:write")).post("/tasks", K)
        assert shown["Not-Created"] == "returned"
        assert "payload" not in shown.json()

    @pytest.mark.parametrize("rule", ["return", "reject", "replace", "postpone"])
    def test_is_one_answer_for_two_callers_at_once(self, committed_db: None, rule: str) -> None:
        secret, together = make_key(), Barrier(8)
        body = (POSTPONE if rule == "postpone" else K) | {"onDuplicate": rule}

        def send(_: int) -> tuple[int, str]:
            try:
                api = Api(secret)
                together.wait(30)
                response = api.post("/tasks", body)
                return response.status_code, response.json().get("id") or response.json()["taskId"]
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(8)))
        assert Counter(status for status, _ in answers) == {201: 1, 409 if rule == "reject" else 200: 7}
        assert len({task_id for _, task_id in answers}) == 1
        assert Task.objects.count() == 1


class TestReject:
    def test_names_the_task_that_has_the_key(self, api: Api) -> None:
        first = api.post("/tasks", K).json()
        problem = problem_of(api.post("/tasks", K | {"onDuplicate": "reject"}), 409)
        assert problem["type"].endswith(":duplicate-task")
        assert problem["taskId"] == first["id"]
        assert first["id"] in problem["detail"]

    def test_leaves_the_idempotency_key_free(self, api: Api) -> None:
        first = api.post("/tasks", K).json()
        body = K | {"onDuplicate": "reject"}
        problem_of(api.post("/tasks", body, Idempotency_Key="i"), 409)
        api.delete(f"/tasks/{first['id']}")
        assert api.post("/tasks", body, Idempotency_Key="i").status_code == 201


class TestReplace:
    def test_puts_the_new_definition_in_the_place_of_the_waiting_one(self, api: Api) -> None:
        first = api.post("/tasks", K | {"priority": 1, "expiresAt": "2999-01-01T00:00:00Z"}).json()
        body = K | {"onDuplicate": "replace", "payload": {"sleepDurationMs": 3}, "scheduleAt": "2998-01-01T00:00:00Z"}
        response = api.post("/tasks", body | {"maxRetries": 9, "correlationId": "again"})
        task = response.json()
        assert (response.status_code, response["Not-Created"]) == (200, "replaced")
        assert (task["id"], task["version"], task["createdAt"]) == (first["id"], 2, first["createdAt"])
        assert (task["payload"], task["priority"], task["expiresAt"]) == ({"sleepDurationMs": 3}, 0, None)
        assert task["scheduleAt"] == task["nextRunAt"] == "2998-01-01T00:00:00.000000Z"
        assert (task["maxRetries"], task["correlationId"]) == (9, "again")
        assert AuditEvent.objects.get(action="task.replaced").actor == "caller"

    @pytest.mark.parametrize("other", [{"type": "HTTP", "payload": {"url": "http://a.b"}}, {"concurrencyKey": "k"}])
    def test_refuses_another_kind_of_task(self, api: Api, other: dict[str, Any]) -> None:
        first = api.post("/tasks", K).json()
        assert problem_of(api.post("/tasks", K | {"onDuplicate": "replace"} | other), 409)["taskId"] == first["id"]


class TestPostpone:
    def test_makes_the_first_one_wait_as_well(self, api: Api) -> None:
        task = api.post("/tasks", POSTPONE).json()
        assert at(task["nextRunAt"]) - at(task["createdAt"]) == pytest.approx(
            timedelta(seconds=60), abs=timedelta(seconds=5)
        )
        assert task["scheduleAt"] == task["nextRunAt"]

    def test_moves_it_from_now_on_and_leaves_the_rest(self, api: Api) -> None:
        first = api.post("/tasks", POSTPONE | {"priority": 3}).json()
        response = api.post("/tasks", POSTPONE | {"debounceSeconds": 120})
        task = response.json()
        assert (response.status_code, response["Not-Created"], task["priority"]) == (200, "postponed", 3)
        assert at(task["nextRunAt"]) - at(first["nextRunAt"]) >= timedelta(seconds=60)
        assert task["version"] == 2
        assert not AuditEvent.objects.filter(action="task.postponed").exists()

    def test_goes_no_further_than_its_most_after_the_creation(self, api: Api) -> None:
        api.post("/tasks", POSTPONE)
        task = api.post("/tasks", POSTPONE | {"debounceSeconds": 100, "debounceMaxSeconds": 100}).json()
        assert at(task["nextRunAt"]) - at(task["createdAt"]) == timedelta(seconds=100)
        again = api.post("/tasks", POSTPONE | {"debounceSeconds": 100, "debounceMaxSeconds": 100})
        assert (again["Not-Created"], again.json()) == ("returned", task)

    def test_never_brings_it_forward(self, api: Api) -> None:
        first = api.post("/tasks", K | {"scheduleAt": "2998-01-01T00:00:00Z"}).json()
        again = api.post("/tasks", POSTPONE)
        assert (again["Not-Created"], again.json()) == ("returned", first)

    def test_does_not_let_it_expire(self, api: Api) -> None:
        first = api.post("/tasks", POSTPONE | {"expiresAt": "2998-01-01T00:00:00Z"}).json()
        Task.objects.filter(pk=first["id"]).update(expires_at=at(first["nextRunAt"]) + timedelta(seconds=2))
        task = api.post("/tasks", POSTPONE | {"debounceSeconds": 3600}).json()
        assert at(task["nextRunAt"]) == at(first["nextRunAt"]) + timedelta(seconds=1)

    def test_refuses_another_kind_of_task(self, api: Api) -> None:
        first = api.post("/tasks", K).json()
        body = POSTPONE | {"type": "HTTP", "payload": {"url": "http://a.b"}}
        assert problem_of(api.post("/tasks", body), 409)["taskId"] == first["id"]


class TestFields:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"uniqueKey": ""}, "uniqueKey"),
            ({"uniqueKey": "x" * 201}, "uniqueKey"),
            ({"uniqueKey": "a\x7fb"}, "uniqueKey"),
            ({"uniqueKey": "a\nb"}, "uniqueKey"),
            ({"uniqueKey": 7}, "uniqueKey"),
            ({"onDuplicate": "ignore", "uniqueKey": "k"}, "onDuplicate"),
            ({"onDuplicate": None, "uniqueKey": "k"}, "onDuplicate"),
            ({"onDuplicate": "reject"}, "onDuplicate"),
            ({"uniqueKey": "k", "debounceSeconds": 5}, "debounceSeconds"),
            ({"uniqueKey": "k", "onDuplicate": "replace", "debounceMaxSeconds": 5}, "debounceMaxSeconds"),
            ({"uniqueKey": "k", "onDuplicate": "postpone"}, "debounceSeconds"),
            ({"uniqueKey": "k", "onDuplicate": "postpone", "debounceSeconds": 0}, "debounceSeconds"),
            ({"uniqueKey": "k", "onDuplicate": "postpone", "debounceSeconds": 604_801}, "debounceSeconds"),
            ({"uniqueKey": "k", "onDuplicate": "postpone", "debounceSeconds": "5"}, "debounceSeconds"),
            (
                {"uniqueKey": "k", "onDuplicate": "postpone", "debounceSeconds": 6, "debounceMaxSeconds": 5},
                "debounceMaxSeconds",
            ),
            (
                {
                    "uniqueKey": "k",
                    "onDuplicate": "postpone",
                    "debounceSeconds": 6,
                    "scheduleAt": "2998-01-01T00:00:00Z",
                },
                "scheduleAt",
            ),
        ],
    )
    def test_are_refused_by_name(self, api: Api, body: dict[str, Any], field: str) -> None:
        assert fields_of(api.post("/tasks", {"type": "DUMMY"} | body)) == {field}

    @pytest.mark.parametrize("name", ["onDuplicate", "debounceSeconds", "debounceMaxSeconds"])
    def test_that_are_of_one_call_are_taken_by_no_template(self, api: Api, name: str) -> None:
        task = POSTPONE | {"debounceMaxSeconds": 60}
        response = api.post("/schedules", {"name": "s", "cron": "0 0 1 1 *", "task": task})
        assert f"task.{name}" in fields_of(response)

    @pytest.mark.parametrize("overlap", ["queue_one", "cancel_running"])
    def test_do_not_contradict_the_overlap_of_a_schedule(self, api: Api, overlap: str) -> None:
        response = api.post("/schedules", {"name": "s", "cron": "0 0 1 1 *", "task": K, "overlap": overlap})
        assert fields_of(response) == {"task.uniqueKey"}

    def test_are_asked_for_by_the_form(self, api: Api, client: Client) -> None:
        client.force_login(User.objects.create_superuser("maria"))
        form = FORM | {"unique_key": "k", "on_duplicate": "postpone", "debounce_seconds": "60"}
        assert client.post("/admin/tasks_app/task/add/", form).status_code == 302
        again = client.post("/admin/tasks_app/task/add/", form, follow=True)
        assert "was there before, and was postponed" in again.content.decode()
        refused = client.post("/admin/tasks_app/task/add/", FORM | {"unique_key": "k", "on_duplicate": "reject"})
        assert str(Task.objects.get().pk) in str(refused.context_data["form"].errors["unique_key"])


class TestBulk:
    def test_answers_with_open_tasks_in_order(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        plain, other = {"type": "DUMMY"}, K | {"uniqueKey": "other"}
        answer = api.post("/tasks/bulk", {"tasks": [plain, K, other, other, plain]})
        items = answer.json()["items"]
        assert answer.status_code == 201
        assert {name: answer.json()[name] for name in ("created", "existing", "failed")} == {
            "created": 3,
            "existing": 2,
            "failed": 0,
        }
        assert [item.get("existing", False) for item in items] == [False, True, False, True, False]
        assert (items[1]["id"], items[3]["id"]) == (first, items[2]["id"])
        assert Task.objects.count() == 4

    def test_refuses_single_ones_that_ask_for_it(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        rejecting = K | {"onDuplicate": "reject"}
        answer = api.post("/tasks/bulk", {"tasks": [rejecting, {"type": "DUMMY"}]}).json()
        assert (answer["created"], answer["failed"]) == (1, 1)
        [error] = answer["items"][0]["errors"]
        assert error == {"field": "uniqueKey", "message": f"the task {first} has it"}
        assert answer["items"][1]["id"] == str(Task.objects.exclude(pk=first).get().pk)

    def test_stores_none_of_an_atomic_call_with_one_refused(self, api: Api) -> None:
        api.post("/tasks", K)
        tasks = [{"type": "DUMMY"}, K | {"onDuplicate": "reject"}]
        problem = problem_of(api.post("/tasks/bulk?atomic=true", {"tasks": tasks}, Idempotency_Key="i"), 400)
        assert [error["field"] for error in problem["errors"]] == ["tasks.1.uniqueKey"]
        assert (Task.objects.count(), IdempotencyKey.objects.count()) == (1, 0)

    def test_says_when_it_made_none(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        answer = api.post("/tasks/bulk", {"tasks": [K]}, Idempotency_Key="i")
        assert (answer.status_code, answer["Not-Created"]) == (200, "returned")
        api.delete(f"/tasks/{first}")
        again = api.post("/tasks/bulk", {"tasks": [K]}, Idempotency_Key="i")
        assert (again.json(), again["Idempotent-Replayed"]) == (answer.json(), "true")

    def test_keeps_every_column(self, api: Api) -> None:
        body = K | {
            "payload": {"sleepDurationMs": 5},
            "scheduleAt": "2998-01-01T00:00:00.123456Z",
            "expiresAt": "2999-01-01T00:00:00Z",
            "concurrencyKey": 'a "quoted" \\ ünïcode 🎈',
            "retry": {"backoff": "fixed", "jitter": False},
            "timeoutMs": 5,
            "correlationId": "c",
        }
        [item] = api.post("/tasks/bulk", {"tasks": [body]}).json()["items"]
        single = api.post("/tasks", body | {"uniqueKey": "another"}).json()
        bulk = api.get(f"/tasks/{item['id']}").json()
        of_one = {"id", "createdAt", "updatedAt", "uniqueKey"}
        assert {k: v for k, v in bulk.items() if k not in of_one} == {
            k: v for k, v in single.items() if k not in of_one
        }

    @pytest.mark.parametrize("rule", ["replace", "postpone"])
    def test_changes_no_other_task(self, api: Api, rule: str) -> None:
        body = POSTPONE if rule == "postpone" else K | {"onDuplicate": rule}
        problem = problem_of(api.post("/tasks/bulk", {"tasks": [body]}), 400)
        assert [error["field"] for error in problem["errors"]] == ["tasks.0.onDuplicate"]


class TestWithIdempotency:
    def test_a_request_that_made_none_is_replayed_with_the_same_task(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        api.post("/tasks", K, Idempotency_Key="i")
        api.delete(f"/tasks/{first}")
        again = api.post("/tasks", K, Idempotency_Key="i")
        assert (again.status_code, again["Idempotent-Replayed"], again.json()["id"]) == (200, "true", first)
        assert "Not-Created" not in again
        assert api.post("/tasks", K, Idempotency_Key="j").status_code == 201


class TestOthers:
    def test_a_clone_has_no_key(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        clone = api.post(f"/tasks/{first}/clone")
        assert (clone.status_code, clone.json()["uniqueKey"]) == (201, None)

    def test_a_retry_is_refused_while_another_is_open(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        api.delete(f"/tasks/{first}")
        second = api.post("/tasks", K).json()["id"]
        assert problem_of(api.post(f"/tasks/{first}/retry"), 409)["taskId"] == second
        api.delete(f"/tasks/{second}")
        assert api.post(f"/tasks/{first}/retry").status_code == 200

    def test_an_edit_does_not_bring_it_into_a_queue_where_one_is_open(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        there = api.post("/tasks", K | {"queue": "there"}).json()["id"]
        assert problem_of(api.patch(f"/tasks/{first}", {"queue": "there"}), 409)["taskId"] == there
        assert api.patch(f"/tasks/{first}", {"queue": "free", "priority": 1}).status_code == 200
        assert fields_of(api.patch(f"/tasks/{first}", {"uniqueKey": "x"})) == {"uniqueKey"}

    def test_a_schedule_triggered_meanwhile_names_the_open_one(self, api: Api) -> None:
        first = api.post("/tasks", K).json()["id"]
        schedule = api.post("/schedules", {"name": "s", "cron": "0 0 1 1 *", "task": K}).json()["id"]
        assert problem_of(api.post(f"/schedules/{schedule}/trigger"), 409)["taskId"] == first
        api.delete(f"/tasks/{first}")
        assert api.post(f"/schedules/{schedule}/trigger").status_code == 201

    def test_a_schedule_with_a_key_is_not_backfilled(self, api: Api) -> None:
        schedule = api.post("/schedules", {"name": "s", "cron": "0 0 1 1 *", "task": K}).json()["id"]
        window = {"from": "2026-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
        assert fields_of(api.post(f"/schedules/{schedule}/backfill", window)) == {"task.uniqueKey"}
