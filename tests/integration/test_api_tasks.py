"""``/tasks`` and ``/tasks/{id}``: what each method returns, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.factories import make_execution, make_key, make_task, unknown_id
from tests.support.api import Api, fields_of, problem_of

TASK_FIELDS = (
    {"id", "type", "payload", "status", "queue", "priority", "scheduleAt", "nextRunAt", "maxRetries"}
    | {"retryCount", "crashCount", "attempt", "timeoutMs", "expiresAt", "retry", "onWorkerLost", "slots"}
    | {"correlationId", "concurrencyKey", "idempotencyKey", "createdBy", "workerId", "version"}
    | {"cancelRequestedAt", "createdAt", "updatedAt", "assignedAt", "startedAt", "finishedAt", "result"}
    | {"error", "scheduleId", "scheduledFor", "uniqueKey", "fairKey", "requiredLabels", "callback", "batchId"}
    | {"approval", "taskToken"}
)
ENDED = [TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.CANCELLED]


class TestCreateTask:
    def test_answers_the_task_with_location_and_etag(self, api: Api) -> None:
        response = api.post("/tasks", {"type": "DUMMY"})
        task = response.json()
        assert response.status_code == 201
        assert task.keys() == TASK_FIELDS
        assert response["Location"] == f"/tasks/{task['id']}"
        assert response["ETag"] == '"1"'
        assert task["status"] == "PENDING"
        assert task["payload"] == {}
        assert task["createdBy"] == "caller"
        assert task["scheduleAt"] == task["nextRunAt"] == task["updatedAt"]
        assert task["retry"] == {"backoff": "exponential", "baseDelayMs": 1000, "maxDelayMs": 300000, "jitter": True}
        assert api.get(response["Location"]).json() == task

    def test_takes_every_field_a_caller_may_set(self, api: Api) -> None:
        asked = {
            "type": "DUMMY",
            "payload": {"sleepDurationMs": 5},
            "scheduleAt": "2130-05-01T12:00:00+02:00",
            "maxRetries": 0,
            "queue": "mail:out_1.a-b",
            "priority": -100,
            "timeoutMs": 86_400_000,
            "expiresAt": "9999-12-31T23:59:59.999999Z",
            "correlationId": "order-17",
            "concurrencyKey": "Kunde №7",
            "retry": {"backoff": "fixed", "baseDelayMs": 0, "maxDelayMs": 10, "jitter": False},
            "onWorkerLost": "fail",
        }
        task = api.post("/tasks", asked, X_Correlation_ID="of-the-request").json()
        assert {name: task[name] for name in asked} == asked | {"scheduleAt": "2130-05-01T10:00:00.000000Z"}
        assert task["nextRunAt"] == task["scheduleAt"]

    def test_a_subset_of_retry_is_completed_from_the_settings(self, api: Api) -> None:
        task = api.post("/tasks", {"type": "DUMMY", "retry": {"backoff": "linear"}}).json()
        assert task["retry"] == {"backoff": "linear", "baseDelayMs": 1000, "maxDelayMs": 300000, "jitter": True}

    @pytest.mark.parametrize("instant", ["2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", None])
    def test_a_past_or_absent_due_time_is_now(self, api: Api, instant: str | None) -> None:
        task = api.post("/tasks", {"type": "DUMMY", "scheduleAt": instant}).json()
        assert task["scheduleAt"] == task["updatedAt"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "type"),
            ([], "body"),
            (None, "body"),
            ("DUMMY", "body"),
            ({"type": None}, "type"),
            ({"type": "dummy"}, "type"),
            ({"type": "NOPE"}, "type"),
            ({"type": ["DUMMY"]}, "type"),
            ({"type": "DUMMY", "status": "RUNNING"}, "status"),
            ({"type": "DUMMY", "id": str(UUID(int=7))}, "id"),
            ({"type": "DUMMY", "createdBy": "me"}, "createdBy"),
            ({"type": "DUMMY", "schedule_at": "2030-01-01T00:00:00Z"}, "schedule_at"),
            ({"type": "DUMMY", "payload": None}, "payload"),
            ({"type": "DUMMY", "payload": []}, "payload"),
            ({"type": "DUMMY", "payload": "x"}, "payload"),
            ({"type": "DUMMY", "payload": {"unknown": 1}}, "payload.unknown"),
            ({"type": "DUMMY", "payload": {"sleepDurationMs": -1}}, "payload.sleepDurationMs"),
            ({"type": "DUMMY", "payload": {"sleepDurationMs": True}}, "payload.sleepDurationMs"),
            ({"type": "HTTP"}, "payload.url"),
            ({"type": "SHELL", "payload": {}}, "payload.command"),
            ({"type": "DUMMY", "priority": True}, "priority"),
            ({"type": "DUMMY", "priority": 3.0}, "priority"),
            ({"type": "DUMMY", "priority": "3"}, "priority"),
            ({"type": "DUMMY", "priority": None}, "priority"),
            ({"type": "DUMMY", "priority": 101}, "priority"),
            ({"type": "DUMMY", "priority": -101}, "priority"),
            ({"type": "DUMMY", "priority": 10**300}, "priority"),
            ({"type": "DUMMY", "maxRetries": -1}, "maxRetries"),
            ({"type": "DUMMY", "maxRetries": 1001}, "maxRetries"),
            ({"type": "DUMMY", "maxRetries": False}, "maxRetries"),
            ({"type": "DUMMY", "timeoutMs": 0}, "timeoutMs"),
            ({"type": "DUMMY", "timeoutMs": 86_400_001}, "timeoutMs"),
            ({"type": "DUMMY", "queue": ""}, "queue"),
            ({"type": "DUMMY", "queue": "a b"}, "queue"),
            ({"type": "DUMMY", "queue": "ä"}, "queue"),
            ({"type": "DUMMY", "queue": "a\n"}, "queue"),
            ({"type": "DUMMY", "queue": "q" * 101}, "queue"),
            ({"type": "DUMMY", "correlationId": ""}, "correlationId"),
            ({"type": "DUMMY", "correlationId": "a b"}, "correlationId"),
            ({"type": "DUMMY", "correlationId": "c" * 129}, "correlationId"),
            ({"type": "DUMMY", "concurrencyKey": ""}, "concurrencyKey"),
            ({"type": "DUMMY", "concurrencyKey": "a\tb"}, "concurrencyKey"),
            ({"type": "DUMMY", "concurrencyKey": 7}, "concurrencyKey"),
            ({"type": "DUMMY", "scheduleAt": "2030-01-01T00:00:00"}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": "2030-01-01"}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": "tomorrow"}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": 1893456000}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": "2030-02-30T00:00:00Z"}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": "10000-01-01T00:00:00Z"}, "scheduleAt"),
            ({"type": "DUMMY", "scheduleAt": "9999-12-31T23:59:59-01:00"}, "scheduleAt"),
            ({"type": "DUMMY", "expiresAt": ""}, "expiresAt"),
            ({"type": "DUMMY", "expiresAt": "2030-01-01T00:00:00"}, "expiresAt"),
            ({"type": "DUMMY", "scheduleAt": "2030-01-02T00:00:00Z", "expiresAt": "2030-01-02T00:00:00Z"}, "expiresAt"),
            ({"type": "DUMMY", "scheduleAt": "2030-01-02T00:00:00Z", "expiresAt": "2030-01-01T00:00:00Z"}, "expiresAt"),
            ({"type": "DUMMY", "retry": []}, "retry"),
            ({"type": "DUMMY", "retry": {"backoff": "never"}}, "retry.backoff"),
            ({"type": "DUMMY", "retry": {"backoff": {}}}, "retry.backoff"),
            ({"type": "DUMMY", "retry": {"baseDelayMs": -1}}, "retry.baseDelayMs"),
            ({"type": "DUMMY", "retry": {"maxDelayMs": 1.5}}, "retry.maxDelayMs"),
            ({"type": "DUMMY", "retry": {"jitter": 1}}, "retry.jitter"),
            ({"type": "DUMMY", "retry": {"retries": 1}}, "retry.retries"),
            ({"type": "DUMMY", "onWorkerLost": "explode"}, "onWorkerLost"),
            ({"type": "DUMMY", "onWorkerLost": None}, "onWorkerLost"),
        ],
    )
    def test_refuses_a_bad_field_by_name(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.post("/tasks", b"null" if body is None else body)) == {field}
        assert not Task.objects.exists()

    def test_names_every_bad_field_at_once(self, api: Api) -> None:
        body = {"type": "DUMMY", "nope": 1, "priority": "x", "queue": "", "payload": {"x": 1}}
        assert fields_of(api.post("/tasks", body)) == {"nope", "priority", "queue", "payload.x"}

    @pytest.mark.parametrize(
        ("bad", "rule"),
        [
            ({"dependsOn": ["x"]}, {"runIf": "all_done", "otherwise": "fail"}),
            ({"concurrencyKey": ""}, {"onBusy": "skip"}),
            ({"uniqueKey": 5}, {"onDuplicate": "replace"}),
            ({"onDuplicate": "later"}, {"debounceSeconds": 5}),
        ],
    )
    def test_says_of_no_field_that_it_lacks_one_that_is_there_and_wrong(self, api: Api, bad: Any, rule: Any) -> None:
        assert fields_of(api.post("/tasks", {"type": "DUMMY"} | bad | rule)) == bad.keys()
        assert fields_of(api.post("/tasks", {"type": "DUMMY"} | rule)) == rule.keys()

    def test_refuses_a_payload_that_is_too_large_or_too_deep(self, api: Api) -> None:
        url = "http://127.0.0.1/"
        large = {"type": "HTTP", "payload": {"url": url, "body": "ä" * (128 * 1024)}}
        assert fields_of(api.post("/tasks", large)) == {"payload"}
        deep: Any = 1
        for _ in range(40):
            deep = [deep]
        assert fields_of(api.post("/tasks", {"type": "HTTP", "payload": {"url": url, "body": deep}})) == {"payload"}

    def test_keeps_json_values_as_they_were_sent(self, api: Api) -> None:
        body = {"text": "é☃𝄞\u2028\\u0000", "big": 2**70, "tiny": 1e-300, "deep": [[[{}]]], "none": None, "": ""}
        sent = {"type": "HTTP", "payload": {"url": "http://127.0.0.1/", "body": body}}
        created = api.post("/tasks", sent)
        assert created.status_code == 201
        assert api.get(created["Location"]).json()["payload"]["body"] == body

    def test_shell_tasks_need_their_scope(self, db: None) -> None:
        writer = Api(make_key("tasks:write"))
        body = {"type": "SHELL", "payload": {"command": "true"}}
        assert "tasks:shell" in problem_of(writer.post("/tasks", body), 403)["detail"]
        assert Api(make_key("tasks:write", "tasks:shell")).post("/tasks", body).status_code == 201


class TestGetTask:
    def test_shows_result_and_error_of_the_latest_attempt(self, api: Api) -> None:
        task = make_task(status=TaskStatus.FAILED, attempt=2)
        make_execution(task, attempt=1, status=ExecutionStatus.LOST, error_code="WORKER_LOST", error_message="gone")
        make_execution(
            task,
            attempt=2,
            status=ExecutionStatus.FAILED,
            result={"sleptMs": 3},
            error_code="EXIT_CODE",
            error_message="it exited with 3",
        )
        shown = api.get(f"/tasks/{task.pk}").json()
        assert shown["result"] == {"sleptMs": 3}
        assert shown["error"] == {"code": "EXIT_CODE", "message": "it exited with 3"}

    def test_shows_nothing_of_an_attempt_that_ended_after_the_task_was_read(self, api: Api) -> None:
        # As in the race between the two reads: what version 1 looks like must not depend on when it is asked for.
        task = make_task(status=TaskStatus.RUNNING, attempt=2)
        make_execution(task, attempt=1, error_code="NETWORK", error_message="first")
        make_execution(task, attempt=2, result={"of": "a later version"})
        shown = api.get(f"/tasks/{task.pk}").json()
        assert (shown["result"], shown["error"]["message"]) == (None, "first")

    def test_shows_how_a_task_ended_that_never_ran(self, api: Api) -> None:
        task = make_task(status=TaskStatus.FAILED, end_reason="EXPIRED")
        assert api.get(f"/tasks/{task.pk}").json()["error"]["code"] == "EXPIRED"

    def test_answers_304_while_the_version_is_the_one_the_caller_has(self, api: Api) -> None:
        task = make_task(version=7)
        fresh = api.get(f"/tasks/{task.pk}", If_None_Match='"6", W/"7"')
        assert (fresh.status_code, fresh.content, fresh["ETag"]) == (304, b"", '"7"')
        assert api.get(f"/tasks/{task.pk}", If_None_Match='"6"').status_code == 200
        assert api.get(f"/tasks/{task.pk}", If_None_Match="nonsense").status_code == 200

    @pytest.mark.parametrize(
        "text",
        [
            "1",
            "bulk2",
            "019ab3c45d6e7f809a1b2c3d4e5f6071",
            "{019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071}",
            "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f607g",
            "\u066019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071",
            "%00",
            "%0A",
            "%ff",
            "..%2f",
            "'%20OR%201=1",
            "x" * 3000,
        ],
    )
    def test_what_is_not_a_uuid_does_not_exist(self, api: Api, text: str) -> None:
        for path in ("", "/executions", "/events", "/dependencies", "/inputs", "/why"):
            problem_of(api.get(f"/tasks/{text}{path}"), 404)

    def test_upper_case_ids_and_trailing_slashes_lead_to_the_same_task(self, api: Api) -> None:
        task = make_task()
        assert api.get(f"/tasks/{str(task.pk).upper()}/").json()["id"] == str(task.pk)

    def test_compression_leaves_an_etag_that_if_match_accepts(self, api: Api) -> None:
        task = make_task()
        response = api.get(f"/tasks/{task.pk}", Accept_Encoding="gzip")
        assert response["Content-Encoding"] == "gzip"
        assert response["ETag"] == 'W/"1"'
        assert api.patch(f"/tasks/{task.pk}", {"priority": 1}, If_Match=response["ETag"]).status_code == 200


class TestEditTask:
    def test_changes_what_it_is_told_and_answers_the_task(self, api: Api) -> None:
        task = make_task(expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        changes = {
            "scheduleAt": "2099-01-01T00:00:00.000000Z",
            "priority": 9,
            "maxRetries": 7,
            "payload": {"shouldFail": True},
            "queue": "other",
            "timeoutMs": 5,
            "expiresAt": None,
        }
        response = api.patch(f"/tasks/{task.pk}", changes)
        assert response.status_code == 200
        assert response["ETag"] == '"2"'
        assert {name: response.json()[name] for name in changes} == changes
        assert response.json()["nextRunAt"] == changes["scheduleAt"]
        assert response.json()["correlationId"] == task.correlation_id

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"expiresAt": "2050-01-01T00:00:00Z"}, "expiresAt"),
            ({"scheduleAt": "2051-01-01T00:00:00Z"}, "scheduleAt"),
            ({"scheduleAt": "2060-01-01T00:00:00Z", "expiresAt": "2059-01-01T00:00:00Z"}, "expiresAt"),
        ],
    )
    def test_that_would_expire_before_it_is_due_is_refused(self, api: Api, change: Any, field: str) -> None:
        due, expiry = datetime(2050, 1, 1, tzinfo=UTC), datetime(2050, 6, 1, tzinfo=UTC)
        task = make_task(schedule_at=due, expires_at=expiry)
        assert fields_of(api.patch(f"/tasks/{task.pk}", change)) == {field}
        task.refresh_from_db()
        assert (task.schedule_at, task.expires_at, task.version) == (due, expiry, 1)
        assert api.patch(f"/tasks/{task.pk}", {"priority": 3}).status_code == 200

    def test_a_past_due_time_is_now(self, api: Api) -> None:
        task = make_task(schedule_at=datetime(2100, 1, 1, tzinfo=UTC))
        shown = api.patch(f"/tasks/{task.pk}", {"scheduleAt": "2001-01-01T00:00:00Z"}).json()
        assert shown["scheduleAt"] == shown["nextRunAt"] == shown["updatedAt"]

    def test_an_assigned_task_goes_back(self, api: Api) -> None:
        task = make_task(status=TaskStatus.SCHEDULED)
        shown = api.patch(f"/tasks/{task.pk}", {"priority": 1}).json()
        assert (shown["status"], shown["workerId"], shown["assignedAt"]) == ("PENDING", None, None)

    @pytest.mark.parametrize("status", [TaskStatus.RUNNING, *ENDED])
    def test_conflicts_once_running_or_ended(self, api: Api, status: TaskStatus) -> None:
        task = make_task(status=status)
        problem_of(api.patch(f"/tasks/{task.pk}", {"priority": 1}), 409)
        assert Task.objects.get(pk=task.pk).version == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "body"),
            ([], "body"),
            ({"type": "HTTP"}, "type"),
            ({"status": "CANCELLED"}, "status"),
            ({"version": 3}, "version"),
            ({"correlationId": "x"}, "correlationId"),
            ({"nope": 1}, "nope"),
            ({"priority": None}, "priority"),
            ({"priority": 101}, "priority"),
            ({"maxRetries": None}, "maxRetries"),
            ({"scheduleAt": None}, "scheduleAt"),
            ({"scheduleAt": "2030-01-01T00:00:00"}, "scheduleAt"),
            ({"queue": None}, "queue"),
            ({"queue": ""}, "queue"),
            ({"timeoutMs": 0}, "timeoutMs"),
            ({"payload": None}, "payload"),
            ({"payload": {"url": "http://x/"}}, "payload.url"),
        ],
    )
    def test_refuses_a_bad_field_by_name(self, api: Api, body: Any, field: str) -> None:
        task = make_task()
        assert fields_of(api.patch(f"/tasks/{task.pk}", body)) == {field}
        assert Task.objects.get(pk=task.pk).version == 1

    def test_records_who_did_it(self, api: Api) -> None:
        task = make_task()
        api.patch(f"/tasks/{task.pk}", {"priority": 1}, X_Correlation_ID="mine")
        event = AuditEvent.objects.get(task_id=task.pk)
        assert (event.actor, event.action, event.correlation_id) == ("caller", "task.edited", "mine")


class TestCancelTask:
    @pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.SCHEDULED])
    def test_ends_a_waiting_task_at_once(self, api: Api, status: TaskStatus) -> None:
        response = api.delete(f"/tasks/{make_task(status=status).pk}")
        assert (response.status_code, response.json()["status"]) == (200, "CANCELLED")
        assert response.json()["error"]["code"] == "CANCELLED"

    def test_accepts_for_a_running_task_and_changes_nothing_the_second_time(self, api: Api) -> None:
        task = make_task(status=TaskStatus.RUNNING)
        first, second = api.delete(f"/tasks/{task.pk}"), api.delete(f"/tasks/{task.pk}")
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["cancelRequestedAt"]
        assert first.json() == second.json()

    @pytest.mark.parametrize("status", ENDED)
    def test_conflicts_once_ended(self, api: Api, status: TaskStatus) -> None:
        problem_of(api.delete(f"/tasks/{make_task(status=status).pk}"), 409)


class TestRetryTask:
    @pytest.mark.parametrize("status", ENDED)
    def test_makes_an_ended_task_pending_again(self, api: Api, status: TaskStatus) -> None:
        past = datetime.now(UTC) - timedelta(hours=1)
        task = make_task(status=status, attempt=3, retry_count=2, crash_count=1, expires_at=past)
        response = api.post(f"/tasks/{task.pk}/retry")
        shown = response.json()
        assert response.status_code == 200
        assert (shown["status"], shown["attempt"], shown["retryCount"], shown["crashCount"]) == ("PENDING", 3, 0, 0)
        assert shown["expiresAt"] is None
        assert shown["id"] == str(task.pk)

    @pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.SCHEDULED, TaskStatus.RUNNING])
    def test_conflicts_before_it_has_ended(self, api: Api, status: TaskStatus) -> None:
        problem_of(api.post(f"/tasks/{make_task(status=status).pk}/retry"), 409)

    def test_takes_an_empty_object_and_names_what_it_does_not_know(self, api: Api) -> None:
        task = make_task(status=TaskStatus.FAILED)
        assert fields_of(api.post(f"/tasks/{task.pk}/retry", {"reason": "x"})) == {"reason"}
        assert api.post(f"/tasks/{task.pk}/retry", {}).status_code == 200

    def test_shell_tasks_need_their_scope(self, db: None) -> None:
        task = make_task(type="SHELL", status=TaskStatus.FAILED, payload={"command": "true"})
        writer = Api(make_key("tasks:write"))
        problem_of(writer.post(f"/tasks/{task.pk}/retry"), 403)
        problem_of(writer.post(f"/tasks/{task.pk}/clone"), 403)


class TestCloneTask:
    @pytest.mark.parametrize("status", list(TaskStatus))
    def test_creates_a_task_like_it_in_any_state(self, api: Api, status: TaskStatus) -> None:
        task = make_task(
            status=status,
            priority=4,
            queue="q",
            payload={"sleepDurationMs": 3},
            retry={"backoff": "fixed"},
            concurrency_key="k",
            schedule_at=datetime(2100, 1, 1, tzinfo=UTC),
        )
        response = api.post(f"/tasks/{task.pk}/clone")
        clone = response.json()
        assert response.status_code == 201
        assert response["Location"] == f"/tasks/{clone['id']}"
        assert clone["id"] != str(task.pk)
        assert (clone["status"], clone["priority"], clone["queue"]) == ("PENDING", 4, "q")
        assert (clone["payload"], clone["concurrencyKey"]) == ({"sleepDurationMs": 3}, "k")
        assert clone["retry"]["backoff"] == "fixed"
        assert clone["scheduleAt"] == clone["updatedAt"]
        assert clone["createdBy"] == "caller"


class TestIfMatch:
    STALE = ('"1"', 'W/"1"', '"abc"', '""', '"1", "2"', '"03"', '"3x"')
    GOOD = ('"3"', 'W/"3"', '"3-gzip"', 'W/"3;gzip"', '"1", "3"', '"1",W/"3" ', "*")
    BROKEN = ("3", '"3', "", "W/3", '"3" "4"', '"3",', "*,*")

    @pytest.fixture(params=["patch", "delete", "retry"])
    def change(self, request: pytest.FixtureRequest, api: Api) -> Any:
        def send(header: str) -> Any:
            if request.param == "retry":
                task = make_task(status=TaskStatus.FAILED, version=3)
                return api.post(f"/tasks/{task.pk}/retry", If_Match=header)
            task = make_task(version=3)
            if request.param == "delete":
                return api.delete(f"/tasks/{task.pk}", If_Match=header)
            return api.patch(f"/tasks/{task.pk}", {"priority": 1}, If_Match=header)

        return send

    def test_lets_the_version_it_names_be_changed(self, change: Any) -> None:
        for header in self.GOOD:
            assert change(header).status_code == 200, header

    def test_refuses_another_version(self, change: Any) -> None:
        for header in self.STALE:
            problem_of(change(header), 412)

    def test_refuses_what_is_no_etag(self, change: Any) -> None:
        for header in self.BROKEN:
            assert fields_of(change(header)) == {"If-Match"}, header

    def test_is_looked_at_before_the_state(self, api: Api) -> None:
        problem_of(api.delete(f"/tasks/{make_task(status=TaskStatus.SUCCESS).pk}", If_Match='"9"'), 412)


class TestHistory:
    def test_lists_ended_attempts_oldest_first(self, api: Api) -> None:
        task = make_task(status=TaskStatus.RUNNING, attempt=3)
        late = {"outcome": "SUCCESS", "at": "2030-01-01T00:00:00.000000Z", "result": {"x": 1}, "error": None}
        make_execution(task, attempt=2, status=ExecutionStatus.LOST, late=late)
        make_execution(task, attempt=1, status=ExecutionStatus.TIMED_OUT, error_code="TIMED_OUT", error_message="m")
        first, second = api.get(f"/tasks/{task.pk}/executions").json()["content"]
        assert (first["attempt"], first["status"], first["durationMs"]) == (1, "TIMED_OUT", 1500)
        assert first["error"] == {"code": "TIMED_OUT", "message": "m"}
        assert (second["attempt"], second["status"], second["late"]) == (2, "LOST", late)

    def test_tells_the_timeline_oldest_first(self, api: Api) -> None:
        task_id = api.post("/tasks", {"type": "DUMMY"}).json()["id"]
        api.patch(f"/tasks/{task_id}", {"priority": 3})
        api.delete(f"/tasks/{task_id}")
        events = api.get(f"/tasks/{task_id}/events").json()["content"]
        assert [(event["from"], event["to"]) for event in events] == [
            (None, "PENDING"),
            ("PENDING", "PENDING"),
            ("PENDING", "CANCELLED"),
        ]
        assert {event["actor"] for event in events} == {"caller"}

    def test_explains_why_a_task_is_not_running(self, api: Api) -> None:
        waiting = api.get(f"/tasks/{make_task(schedule_at=datetime(2100, 1, 1, tzinfo=UTC)).pk}/why").json()
        assert waiting["running"] is False
        assert {reason["code"]: reason["until"] for reason in waiting["reasons"]} == {
            "NOT_DUE": "2100-01-01T00:00:00.000000Z",
            "NO_LIVE_SCHEDULER": None,
            "NO_LIVE_WORKER": None,
        }
        running = api.get(f"/tasks/{make_task(status=TaskStatus.RUNNING).pk}/why").json()
        assert running == {"running": True, "reasons": []}

    def test_unknown_tasks_have_none(self, api: Api) -> None:
        for path in ("executions", "events", "dependencies", "inputs", "why"):
            problem_of(api.get(f"/tasks/{unknown_id()}/{path}"), 404)


class TestUnknownTask:
    def test_is_404_for_every_method(self, api: Api) -> None:
        path = f"/tasks/{unknown_id()}"
        problem_of(api.get(path), 404)
        problem_of(api.patch(path, {"priority": 1}), 404)
        problem_of(api.delete(path), 404)
        problem_of(api.post(f"{path}/retry"), 404)
        problem_of(api.post(f"{path}/clone"), 404)
