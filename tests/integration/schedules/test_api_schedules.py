"""``/schedules``: create, read, change, delete, pause, resume, trigger, backfill, clone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from access_app.models import AuditEvent, IdempotencyKey
from access_app.rights import Scope
from schedules_app.firing_rules import FireState
from schedules_app.models import Schedule, ScheduleFire
from tasks_app.models import Task
from tests.factories import make_key, unknown_id
from tests.support.api import Api, fields_of, problem_of
from tests.support.schedules import MINUTE, ledger, make_calendar, make_schedule, tasks_of

NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "task": {"type": "DUMMY", "payload": {"sleepDurationMs": 1}, "priority": 5},
}
SHELL = {"type": "SHELL", "payload": {"command": "true"}}


def create(api: Api, **fields: Any) -> Any:
    response = api.post("/schedules", NIGHTLY | fields)
    assert response.status_code == 201, response.content
    return response.json()


class TestCreate:
    def test_returns_the_schedule_with_what_was_left_out(self, api: Api) -> None:
        response = api.post("/schedules", NIGHTLY)
        shown = response.json()
        assert response.status_code == 201
        assert response["Location"] == f"/schedules/{shown['id']}"
        assert response["ETag"] == '"1"'
        assert shown.items() >= {k: v for k, v in NIGHTLY.items() if k != "task"}.items()
        assert shown["task"].items() >= {**NIGHTLY["task"], "queue": "default", "onWorkerLost": "retry"}.items()
        assert (shown["enabled"], shown["overlap"], shown["calendars"]) == (True, "skip", [])
        assert shown["misfire"] == {"policy": "run_once", "maxRuns": 10, "graceSeconds": 60}
        assert shown["dst"] == {"gap": "run_after", "fold": "once"}
        assert (shown["createdBy"], shown["version"], shown["pausedAt"]) == ("caller", 1, None)
        assert "02:30" in shown["explanation"]
        assert shown["nextFireAt"] is not None
        assert api.get(f"/schedules/{shown['id']}").json() == shown

    def test_takes_every_field(self, api: Api) -> None:
        make_calendar("holidays", {"dates": "12-24/12-26"})
        wanted = NIGHTLY | {
            "description": "Report\nof the day",
            "enabled": False,
            "startAt": "2030-01-01T00:00:00+01:00",
            "endAt": "2031-01-01T00:00:00Z",
            "jitterSeconds": 30,
            "misfire": {"policy": "run_all", "maxRuns": 3, "graceSeconds": 5},
            "overlap": "queue_one",
            "dst": {"gap": "skip", "fold": "twice"},
            "calendars": ["holidays"],
        }
        shown = create(api, **wanted)
        times = {"startAt": "2029-12-31T23:00:00.000000Z", "endAt": "2031-01-01T00:00:00.000000Z"}
        assert shown.items() >= ({k: v for k, v in wanted.items() if k != "task"} | times).items()
        assert shown["nextFireAt"] is None

    @pytest.mark.parametrize("times", [{"intervalSeconds": 90}, {"rrule": "FREQ=DAILY;BYHOUR=9"}])
    def test_takes_other_kinds_of_times(self, api: Api, times: dict[str, Any]) -> None:
        assert create(api, **times | {"cron": None}).items() >= times.items()

    def test_what_is_shown_of_the_task_can_be_sent(self, api: Api) -> None:
        assert create(api, name="again", task=create(api)["task"])["task"]["priority"] == 5

    def test_a_name_is_given_once(self, api: Api) -> None:
        create(api)
        assert fields_of(api.post("/schedules", NIGHTLY), 409) == {"name"}

    def test_is_answered_with_a_trailing_slash(self, api: Api) -> None:
        assert api.post("/schedules/", NIGHTLY).status_code == 201
        assert api.get("/schedules/?page=0").json()["totalElements"] == 1

    def test_the_same_key_answers_the_same_schedule(self, api: Api) -> None:
        first = api.post("/schedules", NIGHTLY, Idempotency_Key="k")
        again = api.post("/schedules", NIGHTLY, Idempotency_Key="k")
        assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 200, "true")
        assert again.json() == first.json()
        problem_of(api.post("/schedules", NIGHTLY | {"jitterSeconds": 1}, Idempotency_Key="k"), 409)
        problem_of(api.post("/tasks", {"type": "DUMMY"}, Idempotency_Key="k"), 409)
        assert Schedule.objects.count() == 1

    def test_nothing_is_stored_when_it_is_refused(self, api: Api) -> None:
        fields_of(api.post("/schedules", NIGHTLY | {"cron": "*/0 * * * *"}, Idempotency_Key="k"))
        assert not Schedule.objects.exists()
        assert api.post("/schedules", NIGHTLY, Idempotency_Key="k").status_code == 201


class TestPatch:
    def test_what_is_absent_stays(self, api: Api) -> None:
        before = create(api, misfire={"policy": "run_all", "maxRuns": 3})
        path = f"/schedules/{before['id']}"
        response = api.patch(path, {"misfire": {"graceSeconds": 9}, "task": {"priority": -5}, "dst": {"fold": "twice"}})
        after = response.json()
        assert response["ETag"] == '"2"'
        changed = {k for k in after if after[k] != before[k]}
        assert changed == {"misfire", "task", "dst", "version", "updatedAt"}
        assert after["misfire"] == {"policy": "run_all", "maxRuns": 3, "graceSeconds": 9}
        assert after["dst"] == {"gap": "run_after", "fold": "twice"}
        assert after["task"] == before["task"] | {"priority": -5}

    def test_the_payload_is_replaced_whole(self, api: Api) -> None:
        path = f"/schedules/{create(api)['id']}"
        after = api.patch(path, {"task": {"payload": {"shouldFail": True}}}).json()
        assert after["task"]["payload"] == {"shouldFail": True}

    @pytest.mark.parametrize("more", [{}, {"cron": None}])
    def test_another_kind_of_times_replaces_the_one_there_was(self, api: Api, more: dict[str, Any]) -> None:
        path = f"/schedules/{create(api)['id']}"
        after = api.patch(path, {"intervalSeconds": 60, **more}).json()
        assert (after["cron"], after["intervalSeconds"], after["rrule"]) == (None, 60, None)

    def test_two_kinds_at_once_are_refused(self, api: Api) -> None:
        path = f"/schedules/{create(api)['id']}"
        response = api.patch(path, {"intervalSeconds": 60, "cron": "@daily"})
        assert fields_of(response) == {"intervalSeconds", "cron"}

    def test_null_takes_a_bound_away(self, api: Api) -> None:
        path = f"/schedules/{create(api, endAt='2100-01-01T00:00:00Z')['id']}"
        assert api.patch(path, {"endAt": None}).json()["endAt"] is None

    def test_runs_nothing_by_itself(self, api: Api) -> None:
        schedule = make_schedule(due=0, every=timedelta(hours=1))
        api.patch(f"/schedules/{schedule.pk}", {"intervalSeconds": 1, "startAt": "2020-01-01T00:00:00Z"})
        assert (ledger(schedule), tasks_of(schedule)) == ([], [])

    @pytest.mark.parametrize("body", [{}, [], None, "x"])
    def test_needs_a_change(self, api: Api, body: Any) -> None:
        response = api.patch(f"/schedules/{create(api)['id']}", body if body is not None else b"null")
        assert fields_of(response) == {"body"}

    @pytest.mark.parametrize("name", ["id", "nextFireAt", "lastFireAt", "pausedAt", "version", "explanation"])
    def test_does_not_change_what_is_read_only(self, api: Api, name: str) -> None:
        [error] = problem_of(api.patch(f"/schedules/{create(api)['id']}", {name: None}), 400)["errors"]
        assert error == {"field": name, "message": "is read-only"}

    def test_a_name_that_is_taken_is_refused(self, api: Api) -> None:
        create(api)
        other = create(api, name="other")
        assert fields_of(api.patch(f"/schedules/{other['id']}", {"name": "nightly"}), 409) == {"name"}


class TestConditions:
    @pytest.mark.parametrize(
        ("method", "tail", "body"),
        [
            ("PATCH", "", {"description": "x"}),
            ("DELETE", "", None),
            ("POST", "/pause", None),
            ("POST", "/resume", None),
        ],
    )
    @pytest.mark.parametrize("tag", ['"2"', 'W/"2"', '"2-gzip"', '"7", "2"', "*"])
    def test_only_the_version_that_was_read_is_changed(
        self, api: Api, method: str, tail: str, body: Any, tag: str
    ) -> None:
        path = f"/schedules/{create(api)['id']}"
        api.patch(path, {"description": "two"})
        assert problem_of(api.send(method, path + tail, body, If_Match='"1"'), 412)["detail"].startswith("The schedule")
        assert fields_of(api.send(method, path + tail, body, If_Match="2")) == {"If-Match"}
        assert api.send(method, path + tail, body, If_Match=tag).status_code in (200, 204)

    def test_a_fire_changes_no_version(self, api: Api) -> None:
        # And so a reader with an ETag is always answered in full: the next time has moved.
        path = f"/schedules/{create(api)['id']}"
        assert api.get(path, If_None_Match='"1"').status_code == 200


class TestDelete:
    def test_keeps_the_history(self, api: Api) -> None:
        path = f"/schedules/{create(api)['id']}"
        task_id = api.post(f"{path}/trigger").json()["id"]
        response = api.delete(path)
        assert (response.status_code, response.content) == (204, b"")
        problem_of(api.get(path), 404)
        problem_of(api.delete(path), 404)
        assert api.get(f"{path}/fires").json()["content"][0]["taskId"] == task_id
        assert api.get(f"/tasks/{task_id}").status_code == 200

    def test_frees_the_name(self, api: Api) -> None:
        api.delete(f"/schedules/{create(api)['id']}")
        create(api)


class TestPauseAndResume:
    def test_say_who_and_why(self, api: Api) -> None:
        path = f"/schedules/{create(api)['id']}"
        paused = api.post(f"{path}/pause", {"reason": "stocktaking"}).json()
        assert (paused["pausedBy"], paused["pauseReason"], paused["version"]) == ("caller", "stocktaking", 2)
        assert paused["pausedAt"] is not None
        assert api.post(f"{path}/pause").json() == paused
        resumed = api.post(f"{path}/resume").json()
        assert (resumed["pausedAt"], resumed["pausedBy"], resumed["pauseReason"]) == (None, "", "")
        assert api.post(f"{path}/resume").json() == resumed
        actions = AuditEvent.objects.filter(target="schedule:nightly").order_by("id").values_list("action", "reason")
        assert list(actions)[1:] == [("schedule.paused", "stocktaking"), ("schedule.resumed", "")]

    @pytest.mark.parametrize("tail", ["pause", "resume"])
    @pytest.mark.parametrize(
        ("body", "field"), [([], "body"), ({"reason": 1}, "reason"), ({"reason": "x" * 501}, "reason"), ({"a": 1}, "a")]
    )
    def test_refuse_what_is_not_a_reason(self, api: Api, tail: str, body: Any, field: str) -> None:
        assert fields_of(api.post(f"/schedules/{create(api)['id']}/{tail}", body)) == {field}


class TestTrigger:
    def test_answers_the_task(self, api: Api) -> None:
        schedule = create(api, enabled=False)
        response = api.post(f"/schedules/{schedule['id']}/trigger", X_Correlation_ID="by-hand")
        task = response.json()
        assert (response.status_code, response["Location"], response["ETag"]) == (201, f"/tasks/{task['id']}", '"1"')
        assert (task["scheduleId"], task["priority"], task["correlationId"]) == (schedule["id"], 5, "by-hand")
        assert task["scheduledFor"] is not None
        [fire] = api.get(f"/schedules/{schedule['id']}/fires").json()["content"]
        assert (fire["state"], fire["taskId"], fire["slot"]) == ("FIRED", task["id"], task["scheduledFor"])
        assert "caller" in fire["note"]
        assert api.get(f"/tasks?scheduleId={schedule['id']}").json()["totalElements"] == 1

    def test_the_same_key_makes_one_task(self, api: Api) -> None:
        path, other = (f"/schedules/{create(api, name=name)['id']}/trigger" for name in ("a", "b"))
        first, again = (api.post(path, Idempotency_Key="k") for _ in range(2))
        assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 200, "true")
        assert again.json() == first.json()
        problem_of(api.post(other, Idempotency_Key="k"), 409)
        assert Task.objects.count() == 1

    def test_takes_no_body(self, api: Api) -> None:
        assert fields_of(api.post(f"/schedules/{create(api)['id']}/trigger", {"priority": 1})) == {"body"}


class TestBackfill:
    def missed(self, count: int = 3) -> Schedule:
        """A schedule whose newest slots were missed."""
        schedule = make_schedule(due=0, late=MINUTE / 2)  # not now: a test's clock stands where its transaction began
        assert schedule.next_slot is not None
        slots = [schedule.next_slot - MINUTE * (number + 1) for number in range(count)]
        Schedule.objects.filter(pk=schedule.pk).update(last_slot=slots[0])
        ScheduleFire.objects.bulk_create(
            ScheduleFire(schedule_id=schedule.pk, slot=slot, due_at=slot, state=FireState.MISSED) for slot in slots
        )
        return schedule

    def window(self, **fields: Any) -> dict[str, Any]:
        return {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", **fields}

    def test_answers_slots_and_tasks_oldest_first(self, api: Api) -> None:
        schedule = self.missed()
        path = f"/schedules/{schedule.pk}/backfill"
        response = api.post(path, self.window(limit=2, priority=-9))
        done = response.json()
        assert (response.status_code, done["created"], done["more"]) == (201, 2, True)
        tasks = tasks_of(schedule)
        assert [item["taskId"] for item in done["content"]] == [str(task.pk) for task in tasks]
        assert {task.priority for task in tasks} == {-9}
        assert api.post(path, self.window()).json()["created"] == 1
        nothing = api.post(path, self.window())
        assert (nothing.status_code, nothing.json()) == (200, {"created": 0, "more": False, "content": []})

    def test_the_same_key_runs_them_once(self, api: Api) -> None:
        schedule = self.missed(4)
        path = f"/schedules/{schedule.pk}/backfill"
        first, again = (api.post(path, self.window(limit=2), Idempotency_Key="k") for _ in range(2))
        assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 200, "true")
        assert again.json() == first.json()
        assert "Idempotent-Replayed" not in first
        problem_of(api.post(path, self.window(limit=3), Idempotency_Key="k"), 409)
        assert {task.idempotency_key for task in tasks_of(schedule)} == {"k"}
        assert len(tasks_of(schedule)) == 2

    def test_a_key_is_not_kept_for_nothing(self, api: Api) -> None:
        path, window = f"/schedules/{self.missed().pk}/backfill", self.window(to="2020-01-02T00:00:00Z")
        assert api.post(path, window, Idempotency_Key="k").status_code == 200
        assert not IdempotencyKey.objects.exists()

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"from", "to"}),
            ([], {"body"}),
            ({"from": "2020-01-01", "to": 5}, {"from", "to"}),
            ({"from": "2020-01-02T00:00:00Z", "to": "2020-01-01T00:00:00Z"}, {"to"}),
            ({"limit": 0}, {"limit"}),
            ({"limit": 1001}, {"limit"}),
            ({"limit": True}, {"limit"}),
            ({"limit": None}, {"limit"}),
            ({"priority": 101}, {"priority"}),
            ({"priority": "low"}, {"priority"}),
            ({"overlap": "allow"}, {"overlap"}),
        ],
    )
    def test_refuses(self, api: Api, body: Any, fields: set[str]) -> None:
        schedule = self.missed()
        whole = self.window(**body) if isinstance(body, dict) and body and "from" not in body else body
        assert fields_of(api.post(f"/schedules/{schedule.pk}/backfill", whole)) == fields
        assert tasks_of(schedule) == []

    def test_the_ends_of_time_are_a_window(self, api: Api) -> None:
        schedule = self.missed()
        window = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
        assert api.post(f"/schedules/{schedule.pk}/backfill", window).json()["created"] == 3


class TestClone:
    def test_is_disabled_and_has_its_own_name(self, api: Api) -> None:
        source = create(api)
        response = api.post(f"/schedules/{source['id']}/clone", {"name": "copy"})
        clone = response.json()
        assert (response.status_code, response["Location"]) == (201, f"/schedules/{clone['id']}")
        assert (clone["name"], clone["enabled"], clone["nextFireAt"]) == ("copy", False, None)
        assert (clone["cron"], clone["task"]) == (source["cron"], source["task"])

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ({}, 400, "name"),
            ({"name": 7}, 400, "name"),
            ({"name": "a b"}, 400, "name"),
            ({"name": "nightly"}, 409, "name"),
            ({"name": "copy", "enabled": True}, 400, "enabled"),
        ],
    )
    def test_refuses(self, api: Api, body: Any, status: int, field: str) -> None:
        assert fields_of(api.post(f"/schedules/{create(api)['id']}/clone", body), status) == {field}


#: Method, path behind the schedule's, and a body that is accepted.
CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"description": "x"}),
    ("DELETE", "", None),
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/trigger", None),
    ("POST", "/backfill", {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}),
    ("POST", "/clone", {"name": "copy"}),
]
READS = ["", "/fires", "/preview", "/why"]


class TestScopes:
    @pytest.mark.parametrize(("method", "tail", "body"), CHANGES)
    def test_changes_need_schedules_write_before_anything_is_looked_at(
        self, db: None, method: str, tail: str, body: Any
    ) -> None:
        path = f"/schedules/{unknown_id()}{tail}"
        problem_of(Api(None).send(method, path, body), 401)
        problem_of(Api(make_key(*set(Scope) - {"schedules:write"})).send(method, path, b"{"), 403)
        problem_of(Api(make_key("schedules:write")).send(method, path, body), 404)

    @pytest.mark.parametrize("tail", READS)
    def test_reads_need_schedules_read(self, db: None, tail: str) -> None:
        path = f"/schedules/{unknown_id()}{tail}"
        problem_of(Api(None).get(path), 401)
        problem_of(Api(make_key(*set(Scope) - {"schedules:read"})).get(path), 403)
        problem_of(Api(make_key("schedules:read")).get(path), 404)

    @pytest.mark.parametrize("schedule_id", ["1", "%00", "x" * 300, "0" * 32, "nightly"])
    def test_what_is_no_id_does_not_exist(self, api: Api, schedule_id: str) -> None:
        for tail in READS:
            problem_of(api.get(f"/schedules/{schedule_id}{tail}"), 404)
        for method, tail, body in CHANGES:
            problem_of(api.send(method, f"/schedules/{schedule_id}{tail}", body), 404)


class TestShell:
    """A key without tasks:shell has no command run, whoever wrote it; to stop one it needs no more than others."""

    @pytest.fixture
    def modest(self, db: None) -> Api:
        return Api(make_key("schedules:read", "schedules:write", name="modest"))

    def test_cannot_be_created(self, modest: Api) -> None:
        problem_of(modest.post("/schedules", NIGHTLY | {"task": SHELL}), 403)
        assert not Schedule.objects.exists()

    @pytest.mark.parametrize(("method", "tail", "body"), CHANGES)
    def test_cannot_be_run_or_left(self, api: Api, modest: Api, method: str, tail: str, body: Any) -> None:
        path = f"/schedules/{create(api, task=SHELL)['id']}"
        response = modest.send(method, path + tail, body)
        if method == "DELETE" or tail == "/pause":
            assert response.status_code in (200, 204)
        else:
            assert "tasks:shell" in problem_of(response, 403)["detail"]
            assert (Schedule.objects.get().version, Task.objects.count()) == (1, 0)

    def test_cannot_be_made_of_another_or_replaced(self, api: Api, modest: Api) -> None:
        dummy, shell = create(api), create(api, name="shell", task=SHELL)
        problem_of(modest.patch(f"/schedules/{dummy['id']}", {"task": SHELL}), 403)
        problem_of(modest.patch(f"/schedules/{shell['id']}", {"task": {"type": "DUMMY", "payload": {}}}), 403)
        assert modest.patch(f"/schedules/{dummy['id']}", {"jitterSeconds": 1}).status_code == 200

    def test_may_be_simulated(self, modest: Api) -> None:
        window = {"from": "2030-01-01T00:00:00Z", "to": "2030-01-02T00:00:00Z"}
        body = {"schedule": NIGHTLY | {"task": SHELL}, **window}
        assert modest.post("/schedules/simulate", body).status_code == 200


class TestUnreadable:
    def test_one_whose_zone_is_gone_is_still_shown_and_can_be_mended(self, api: Api) -> None:
        path = f"/schedules/{create(api)['id']}"
        Schedule.objects.update(timezone="Mars/Olympus")
        assert api.get(path).json()["explanation"] is None
        assert api.get("/schedules").json()["content"][0]["explanation"] is None
        assert fields_of(api.get(f"{path}/preview"), 409) == {"timezone"}
        assert fields_of(api.patch(path, {"description": "x"})) == {"timezone"}
        assert api.patch(path, {"timezone": "UTC"}).json()["explanation"] is not None

    def test_one_that_was_due_meanwhile_can_be_mended(self, api: Api) -> None:
        schedule = make_schedule(due=2, late=MINUTE)
        Schedule.objects.filter(pk=schedule.pk).update(timezone="Mars/Olympus")
        assert api.patch(f"/schedules/{schedule.pk}", {"timezone": "UTC"}).json()["timezone"] == "UTC"
        assert api.get(f"/schedules/{schedule.pk}/why").status_code == 200
