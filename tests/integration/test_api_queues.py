"""``/queues`` and ``/workers/{id}/drain``: what admins may ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app.models import Queue
from tasks_app.states import TaskStatus, WorkerState
from tests.factories import make_task
from tests.support.api import Api, fields_of, problem_of
from workers_app.models import Worker

HOUR = timedelta(hours=1)


class TestQueues:
    def test_pause_says_why_and_until_when_and_resume_ends_it(self, api: Api) -> None:
        pause = {"reason": "stocktaking", "until": "2100-01-01T01:00:00+01:00"}
        paused = api.post("/queues/mail:1/pause", pause).json()
        assert (paused["name"], paused["paused"], paused["pausedBy"]) == ("mail:1", True, "caller")
        assert (paused["pauseReason"], paused["pausedUntil"]) == ("stocktaking", "2100-01-01T00:00:00.000000Z")
        assert api.get("/queues").json()["content"] == [paused]
        resumed = api.post("/queues/mail:1/resume").json()
        assert (resumed["paused"], resumed["pausedAt"], resumed["pausedUntil"]) == (False, None, None)
        assert api.post("/queues/mail:1/resume").json() == resumed

    def test_its_etag_is_what_the_next_change_goes_by(self, api: Api) -> None:
        paused, resumed = api.post("/queues/q/pause"), api.post("/queues/q/resume")
        assert [each["ETag"] for each in (paused, resumed)] == [f'"{n.json()["version"]}"' for n in (paused, resumed)]
        limited = api.patch("/queues/q", {"maxConcurrency": 4}, If_Match=resumed["ETag"])
        read = api.get("/queues/q", If_None_Match=limited["ETag"])
        assert (limited.status_code, read.status_code, read["ETag"]) == (200, 200, limited["ETag"])

    def test_pausing_takes_back_what_is_assigned(self, api: Api) -> None:
        task = make_task(status=TaskStatus.SCHEDULED, queue="q")
        api.post("/queues/q/pause")
        assert api.get(f"/tasks/{task.pk}").json()["status"] == "PENDING"

    def test_is_audited(self, api: Api) -> None:
        api.post("/queues/q/pause", {"reason": "r"})
        api.post("/queues/q/resume")
        events = AuditEvent.objects.order_by("id").values_list("action", "target", "actor", "reason")
        actions = [event for event in events if event[1] == "queue:q"]
        assert actions == [("queue.paused", "queue:q", "caller", "r"), ("queue.resumed", "queue:q", "caller", "")]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "body"),
            ({"nope": 1}, "nope"),
            ({"reason": 1}, "reason"),
            ({"reason": "x" * 501}, "reason"),
            ({"until": "2100-01-01T00:00:00"}, "until"),
            ({"until": "2001-01-01T00:00:00Z"}, "until"),
            ({"until": 5}, "until"),
        ],
    )
    def test_a_bad_pause_names_the_field(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.post("/queues/q/pause", body)) == {field}
        assert not Queue.objects.exists()

    @pytest.mark.parametrize("name", ["a%20b", "%00", "x" * 101, "%C3%A4", "a%0A"])
    def test_a_name_no_queue_can_have_does_not_exist(self, api: Api, name: str) -> None:
        problem_of(api.post(f"/queues/{name}/pause"), 404)
        problem_of(api.post(f"/queues/{name}/resume"), 404)

    def test_a_pause_that_has_passed_its_until_is_none(self, api: Api) -> None:
        Queue.objects.create(name="q", paused_at=timezone.now() - HOUR, paused_until=timezone.now() - HOUR / 2)
        [queue] = api.get("/queues").json()["content"]
        assert (queue["paused"], queue["pausedUntil"] is not None) == (False, True)

    def test_a_queue_nobody_has_paused_cannot_be_resumed(self, api: Api) -> None:
        problem_of(api.post("/queues/never/resume"), 404)


class TestLimits:
    def test_are_set_shown_and_ended(self, api: Api) -> None:
        assert api.get("/queues/q").json()["maxConcurrency"] is None
        limited = api.patch("/queues/q", {"maxConcurrency": 4})
        assert (limited.status_code, limited.json()["maxConcurrency"], limited["ETag"]) == (200, 4, '"1"')
        assert api.get("/queues").json()["content"] == [limited.json()] == [api.get("/queues/q").json()]
        assert api.patch("/queues/q", {"maxConcurrency": None}).json()["maxConcurrency"] is None
        assert AuditEvent.objects.filter(action="queue.edited", target="queue:q", actor="caller").count() == 2

    def test_go_by_the_version_the_caller_has_seen(self, api: Api) -> None:
        unseen = api.get("/queues/q")
        assert (unseen["ETag"], unseen.json()["version"]) == ('"0"', 0)
        assert api.patch("/queues/q", {"maxConcurrency": 4}, If_Match=unseen["ETag"]).status_code == 200
        problem_of(api.patch("/queues/q", {"maxConcurrency": 5}, If_Match=unseen["ETag"]), 412)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "body"),
            ({"nope": 1}, "nope"),
            *(({"maxConcurrency": value}, "maxConcurrency") for value in (-1, 100_001, 1.5, "4", True, [], {})),
        ],
    )
    def test_that_are_none_name_the_field(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.patch("/queues/q", body)) == {field}
        assert not Queue.objects.exists()

    def test_of_nothing_change_nothing(self, api: Api) -> None:
        assert api.patch("/queues/q", {}).json()["version"] == 0
        assert not Queue.objects.exists()

    @pytest.mark.parametrize("name", ["a%20b", "%00", "x" * 101, "%C3%A4"])
    def test_of_a_name_no_queue_can_have_do_not_exist(self, api: Api, name: str) -> None:
        problem_of(api.get(f"/queues/{name}"), 404)
        problem_of(api.patch(f"/queues/{name}", {"maxConcurrency": 4}), 404)

    def test_are_a_reason_why_a_task_waits(self, api: Api) -> None:
        task = make_task(queue="q")
        api.patch("/queues/q", {"maxConcurrency": 0})
        assert "QUEUE_CLOSED" in {reason["code"] for reason in api.get(f"/tasks/{task.pk}/why").json()["reasons"]}


class TestRates:
    def test_are_set_shown_and_ended(self, api: Api) -> None:
        assert api.get("/queues/q").json()["rateLimit"] is None
        rule = {"limit": 100, "periodSeconds": 1}
        assert api.patch("/queues/q", {"rateLimit": rule}).json()["rateLimit"] == rule | {"burst": 10}
        assert api.patch("/queues/q", {"maxConcurrency": 4}).json()["rateLimit"] == rule | {"burst": 10}
        assert api.patch("/queues/q", {"rateLimit": rule | {"burst": 0}}).json()["rateLimit"] == rule | {"burst": 0}
        assert api.patch("/queues/q", {"rateLimit": None}).json()["rateLimit"] is None

    @pytest.mark.parametrize(
        ("rule", "field"),
        [
            ([], "rateLimit"),
            (7, "rateLimit"),
            ({}, "rateLimit.limit"),
            ({"limit": 1, "periodSeconds": 1, "per": 1}, "rateLimit.per"),
            ({"limit": 10**18, "periodSeconds": 1}, "rateLimit.limit"),
            ({"limit": 1, "periodSeconds": 1.5}, "rateLimit.periodSeconds"),
            ({"limit": 1, "periodSeconds": 1, "burst": 2}, "rateLimit.burst"),
        ],
    )
    def test_that_are_none_name_the_field(self, api: Api, rule: Any, field: str) -> None:
        assert field in fields_of(api.patch("/queues/q", {"rateLimit": rule}))
        assert not Queue.objects.exists()


class TestList:
    def test_has_every_queue_in_use_with_its_figures(self, api: Api) -> None:
        make_task(queue="b")
        api.patch("/queues/a", {"maxConcurrency": 4})
        page = api.get("/queues").json()
        assert [(queue["name"], queue["waiting"], queue["version"]) for queue in page["content"]] == [
            ("a", 0, 1),
            ("b", 1, 0),
        ]
        assert (page["totalElements"], page["first"], page["last"]) == (2, True, True)
        assert page["content"][0] == api.get("/queues/a").json()

    def test_is_paged_by_name(self, api: Api) -> None:
        for name in "edcba":
            make_task(queue=name)
        pages = [api.get(f"/queues?size=2&page={page}").json() for page in range(4)]
        assert ["".join(queue["name"] for queue in page["content"]) for page in pages] == ["ab", "cd", "e", ""]
        assert [page["last"] for page in pages] == [False, False, True, True]
        assert {(page["totalElements"], page["totalPages"]) for page in pages} == {(5, 3)}

    @pytest.mark.parametrize("query", ["page=-1", "size=0", "size=201", "page=x", "cursor=", "sort=name", "q=a"])
    def test_knows_no_other_parameters_and_values(self, api: Api, query: str) -> None:
        assert fields_of(api.get(f"/queues?{query}")) == {query.partition("=")[0]}

    def test_is_an_estimate_of_very_many(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("views", "outputs"):
            monkeypatch.setattr(f"flow_app.api.{module}.COUNTED", 3)
        for name in "abcdef":
            make_task(queue=name)
        first, last = api.get("/queues?size=2").json(), api.get("/queues?size=2&page=2").json()
        assert (first["totalElements"], first["totalIsEstimate"], first["last"]) == (4, True, False)
        assert [queue["name"] for queue in last["content"]] == ["e", "f"]

    def test_costs_the_same_statements_however_many(self, api: Api, django_assert_num_queries: Any) -> None:
        for name in "abcdef":
            make_task(queue=name)
        api.get("/queues")
        for size in (1, 6):
            with django_assert_num_queries(10):
                api.get(f"/queues?size={size}")


class TestFigures:
    def test_change_without_a_new_version(self, api: Api) -> None:
        before = api.get("/queues/q")
        make_task(queue="q", run_at=timezone.now() - HOUR)
        after = api.get("/queues/q", If_None_Match=before["ETag"])
        assert (after.status_code, after.json()["waiting"], after["ETag"]) == (200, 1, before["ETag"])
        assert after.json()["oldestDueSeconds"] >= 0


class TestResumeRate:
    def test_is_shown_until_it_ends(self, api: Api) -> None:
        api.post("/queues/q/pause")
        rate = {"limit": 5, "periodSeconds": 1}
        assert api.post("/queues/q/resume", {"resumeRate": rate}).json()["resumeRate"] == rate | {"burst": 0}
        assert api.get("/queues/q").json()["paused"] is False
        assert api.post("/queues/q/resume").json()["resumeRate"] is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"resumeRate": 5}, "resumeRate"),
            ({"resumeRate": {"limit": 5}}, "resumeRate.periodSeconds"),
            ({"x": 1}, "x"),
        ],
    )
    def test_that_is_none_names_the_field(self, api: Api, body: Any, field: str) -> None:
        api.post("/queues/q/pause")
        assert field in fields_of(api.post("/queues/q/resume", body))
        assert api.get("/queues/q").json()["paused"] is True

    def test_cannot_be_set_as_a_rule(self, api: Api) -> None:
        assert fields_of(api.patch("/queues/q", {"resumeRate": {"limit": 5, "periodSeconds": 1}})) == {"resumeRate"}


class TestDrainWorker:
    def _worker(self, state: WorkerState) -> Worker:
        return Worker.objects.create(worker_id=uuid4(), pid=1, slots=4, state=state, host="h", name="w")

    def test_is_accepted_and_may_be_repeated(self, api: Api) -> None:
        worker = self._worker(WorkerState.ACTIVE)
        for _ in range(2):
            response = api.post(f"/workers/{worker.pk}/drain")
            assert (response.status_code, response.json()) == (
                202,
                {"workerId": str(worker.pk), "state": "DRAINING"},
            )
        worker.refresh_from_db()
        assert worker.state == WorkerState.DRAINING
        assert AuditEvent.objects.filter(action="worker.drain_requested", actor="caller").count() == 1

    @pytest.mark.parametrize("state", [WorkerState.STOPPED, WorkerState.DEAD])
    def test_a_worker_that_has_ended_is_404(self, api: Api, state: WorkerState) -> None:
        problem_of(api.post(f"/workers/{self._worker(state).pk}/drain"), 404)

    @pytest.mark.parametrize("worker_id", ["1", "%00", "0192f5a0-0000-7000-8000-000000000000"])
    def test_an_unknown_worker_is_404(self, api: Api, worker_id: str) -> None:
        problem_of(api.post(f"/workers/{worker_id}/drain"), 404)
