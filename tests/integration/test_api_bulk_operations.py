"""Acting on many tasks over HTTP: the dry run, its token, how far it is, stop and resume."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from access_app.rights import Scope
from tasks_app.api.filters import TaskFilters
from tasks_app.api.operation_filters import condition_of_filter
from tasks_app.models import BulkOperation
from tests.factories import make_key, make_task, unknown_id
from tests.support.api import Api, fields_of, problem_of

pytestmark = pytest.mark.django_db
PATH = "/bulk-operations"


@pytest.fixture
def api() -> Api:
    return Api(make_key())


def asked(action: str = "cancel", **more: Any) -> dict[str, Any]:
    return {"action": action, "filter": {"status": ["PENDING"]}, **more}


def begun(api: Api, **more: Any) -> dict[str, Any]:
    token = api.post(PATH, asked(dryRun=True)).json()["token"]
    response = api.post(PATH, asked(token=token, reason="not wanted", **more))
    assert response.status_code == 202
    shown: dict[str, Any] = response.json()
    assert response["Location"] == f"{PATH}/{shown['id']}"
    return shown


class TestDryRun:
    def test_counts_and_gives_a_token(self, api: Api) -> None:
        for queue in ("a", "a", "b"):
            make_task(queue=queue, payload={"secret": 1})
        shown = api.post(PATH, asked(dryRun=True)).json()
        assert (shown["count"], shown["byStatus"], shown["byQueue"]) == (3, {"PENDING": 3}, {"a": 2, "b": 1})
        assert len(shown["sample"]) == 3 and "payload" not in shown["sample"][0]
        assert not BulkOperation.objects.exists()

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            ({}, "filter"),
            (None, "filter"),
            ([], "filter"),
            ("status=FAILED", "filter"),
            ({"status": []}, "filter.status"),
            ({"status": "NONE"}, "filter.status"),
            ({"status": ["FAILED", "x"]}, "filter.status"),
            ({"status": [["FAILED"]]}, "filter.status"),
            ({"status": None}, "filter.status"),
            ({"queue": ""}, "filter.queue"),
            ({"queue": ["a", "b"]}, "filter.queue"),
            ({"queue": 7}, "filter.queue"),
            ({"queue": None}, "filter.queue"),
            ({"createdAfter": "yesterday"}, "filter.createdAfter"),
            ({"createdAfter": "2026-01-01T00:00:00"}, "filter.createdAfter"),
            ({"workerId": "me"}, "filter.workerId"),
            ({"colour": "red"}, "filter.colour"),
            ({"sort": "createdAt"}, "filter.sort"),
            ({"page": "0"}, "filter.page"),
            ({"status__in": "FAILED"}, "filter.status__in"),
            ({"queue": "a", "statuss": "FAILED"}, "filter.statuss"),
        ],
    )
    def test_never_takes_what_it_cannot_read_for_everything(self, api: Api, bad: Any, field: str) -> None:
        make_task()
        assert fields_of(api.post(PATH, {"action": "cancel", "filter": bad, "dryRun": True})) == {field}

    @pytest.mark.parametrize("name", sorted(TaskFilters.base_filters))
    def test_takes_every_filter_of_the_list(self, api: Api, name: str) -> None:
        """What the list shows under it, and nothing else, matches."""
        texts = {"type": "DUMMY", "queue": "a", "status": "PENDING", "correlationId": "mine"}
        texts |= {"gate": "APPROVAL", "failure": "0123456789abcdef", "retrying": "true"}
        text = texts.get(name) or (str(unknown_id()) if name.endswith("Id") else "2026-01-01T00:00:00Z")
        make_task(queue="a", correlation_id="mine")
        listed = api.get(f"/tasks?{name}={text}").json()["totalElements"]
        assert api.post(PATH, {"action": "cancel", "filter": {name: text}, "dryRun": True}).json()["count"] == listed
        condition = condition_of_filter({name: text})
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM tasks WHERE {condition.sql}", condition.parameters)
            assert cursor.fetchone() == (listed,)


class TestCreate:
    def test_begins_with_the_token(self, api: Api) -> None:
        make_task()
        shown = begun(api, ratePerSecond=500)
        assert (shown["state"], shown["count"], shown["done"], shown["failed"]) == ("RUNNING", 1, 0, 0)
        assert (shown["reason"], shown["ratePerSecond"]) == ("not wanted", 500)
        assert api.get(f"{PATH}/{shown['id']}").json() == shown
        assert [each["id"] for each in api.get(f"{PATH}?state=RUNNING&action=cancel").json()["content"]] == [
            shown["id"]
        ]
        assert api.get(f"{PATH}?state=DONE").json()["content"] == []

    def test_sent_again_begins_nothing_else(self, api: Api) -> None:
        token = api.post(PATH, asked(dryRun=True)).json()["token"]
        first, again = (api.post(PATH, asked(token=token)) for _ in range(2))
        assert (first.status_code, again.status_code) == (202, 200)
        assert again["Idempotent-Replayed"] == "true"
        assert again.json()["id"] == first.json()["id"]

    def test_refuses_another_filter_than_that_of_the_dry_run(self, api: Api) -> None:
        token = api.post(PATH, asked(dryRun=True)).json()["token"]
        other = {"action": "cancel", "filter": {"status": ["RUNNING"]}, "token": token}
        assert fields_of(api.post(PATH, other)) == {"token"}

    def test_takes_the_same_filter_in_other_words(self, api: Api) -> None:
        token = api.post(PATH, {"action": "cancel", "filter": {"status": "PENDING"}, "dryRun": True}).json()["token"]
        same = {"action": "cancel", "filter": {"status": ["PENDING", "PENDING"]}, "token": token}
        assert api.post(PATH, same).json()["filter"] == {"status": ["PENDING"]}
        assert fields_of(api.get(f"{PATH}?askedBy=a%07b")) == {"askedBy"}

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"action", "filter", "token"}),
            (asked(), {"token"}),
            (asked(dryRun=True, token="x"), {"token"}),
            (asked(dryRun="yes"), {"dryRun", "token"}),
            (asked("explode", dryRun=True), {"action"}),
            (asked("reprioritise", dryRun=True), {"priority"}),
            (asked("reprioritise", dryRun=True, priority=101), {"priority"}),
            (asked("move", dryRun=True, priority=1), {"queue", "priority"}),
            (asked("cancel", dryRun=True, queue="b"), {"queue"}),
            (asked(dryRun=True, ratePerSecond=0), {"ratePerSecond"}),
            (asked(dryRun=True, reason="x" * 100_000), {"reason"}),
            (asked(dryRun=True, extra=1), {"extra"}),
        ],
    )
    def test_names_what_is_wrong(self, api: Api, body: Any, fields: set[str]) -> None:
        assert fields_of(api.post(PATH, body)) >= fields


class TestRights:
    def test_a_key_needs_the_scope_and_for_what_runs_the_scope_of_the_type(self) -> None:
        shell = make_task(type="SHELL", payload={"command": "true"}, status="FAILED")
        body = {"action": "retry", "filter": {"status": "FAILED"}, "dryRun": True}
        without = Api(make_key(*(scope for scope in Scope if scope != Scope.TASKS_BULK)))
        assert problem_of(without.post(PATH, body), 403)
        bulk = Api(make_key("tasks:bulk"))
        assert "tasks:shell" in problem_of(bulk.post(PATH, body), 403)["detail"]
        assert bulk.post(PATH, body | {"action": "cancel"}).status_code == 200
        assert bulk.post(PATH, body | {"filter": {"status": "FAILED", "type": "DUMMY"}}).status_code == 200
        both = Api(make_key("tasks:bulk", "tasks:shell"))
        token = both.post(PATH, body).json()["token"]
        begun_with = bulk.post(PATH, {**body, "dryRun": False, "token": token}).json()
        assert BulkOperation.objects.get(pk=begun_with["id"]).barred == ["SHELL"], "with another's token"
        assert shell.status == "FAILED"


class TestStopAndResume:
    def test_change_its_state(self, api: Api) -> None:
        make_task()
        path = f"{PATH}/{begun(api)['id']}"
        stale = api.post(f"{path}/stop", If_Match='"7"')
        assert problem_of(stale, 412)
        assert api.post(f"{path}/stop", {"reason": "wait"}).json()["state"] == "STOPPED"
        assert problem_of(api.post(f"{path}/stop"), 409)
        assert api.post(f"{path}/resume").json()["state"] == "RUNNING"

    def test_know_no_operation_that_there_is_not(self, api: Api) -> None:
        for path in (f"{PATH}/{unknown_id()}", f"{PATH}/x"):
            assert problem_of(api.get(path), 404)
            assert problem_of(api.post(f"{path}/stop"), 404)
