"""``/targets``: rules of hosts that tasks call."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from access_app.models import AuditEvent
from flow_app.models import Target
from tasks_app.models import Task
from tasks_app.services import clone_task
from tests.support.api import Api, fields_of, problem_of

HTTP = {"type": "HTTP", "payload": {"url": "http://API.example.com.:8080/x"}}


class TestTargets:
    def test_are_set_shown_listed_and_forgotten(self, api: Api) -> None:
        rate = {"limit": 100, "periodSeconds": 1}
        made = api.put("/targets/api.example.com", {"maxConcurrency": 4, "rateLimit": rate})
        assert (made.status_code, made["ETag"]) == (201, '"1"')
        assert made.json() == {
            "host": "api.example.com",
            "maxConcurrency": 4,
            "rateLimit": {"limit": 100, "periodSeconds": 1, "burst": 10},
            "respectRetryAfter": True,
            "backingOffUntil": None,
            "version": 1,
        }
        assert api.get("/targets/api.example.com").json() == made.json()
        assert api.get("/targets").json()["content"] == [made.json()]
        changed = api.put("/targets/api.example.com", {"respectRetryAfter": False})
        assert (changed.status_code, changed["ETag"], changed.json()["maxConcurrency"]) == (200, '"2"', None)
        assert changed.json()["rateLimit"] is None
        assert api.delete("/targets/api.example.com").status_code == 204
        problem_of(api.get("/targets/api.example.com"), 404)
        problem_of(api.delete("/targets/api.example.com"), 404)

    def test_are_audited(self, api: Api) -> None:
        api.put("/targets/h", {"maxConcurrency": 4})
        api.put("/targets/h", {"maxConcurrency": 4})
        api.put("/targets/h", {})
        api.delete("/targets/h")
        events = AuditEvent.objects.filter(target="target:h", actor="caller").order_by("id")
        assert [event.action for event in events] == ["target.changed", "target.changed", "target.deleted"]
        assert [(event.detail["from"] or {}).get("maxConcurrency") for event in events] == [None, 4, None]

    def test_go_by_the_version_the_caller_has_seen(self, api: Api) -> None:
        problem_of(api.put("/targets/h", {}, If_Match='"1"'), 412)
        made = api.put("/targets/h", {"maxConcurrency": 4}, If_Match='"0"')
        assert api.put("/targets/h", {"maxConcurrency": 5}, If_Match=made["ETag"]).status_code == 200
        problem_of(api.put("/targets/h", {"maxConcurrency": 6}, If_Match=made["ETag"]), 412)
        problem_of(api.delete("/targets/h", If_Match=made["ETag"]), 412)
        assert api.get("/targets/h", If_None_Match='"2"').status_code == 304

    @pytest.mark.parametrize("path", ["API.Example.COM", "api.example.com.", "aPi.example.com."])
    def test_are_one_however_the_host_is_written(self, api: Api, path: str) -> None:
        assert api.put(f"/targets/{path}", {}).json()["host"] == "api.example.com"

    @pytest.mark.parametrize(
        "path", ["a%20b", "%00", "x" * 254, "%C3%A4", "a%0A", ".", "a%2Fb", "h:443", "%5B::1%5D:80"]
    )
    def test_of_a_name_no_host_can_have_do_not_exist(self, api: Api, path: str) -> None:
        problem_of(api.put(f"/targets/{path}", {}), 404)
        assert not Target.objects.exists()

    @pytest.mark.parametrize("address", ["::1", "2001:db8::80", "fe80::1%25eth0"])
    def test_of_an_address_are_written_as_in_urls_without_brackets(self, api: Api, address: str) -> None:
        assert api.put(f"/targets/{quote(address)}", {}).json()["host"] == address

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ([], "body"),
            ({"nope": 1}, "nope"),
            ({"respectRetryAfter": None}, "respectRetryAfter"),
            ({"respectRetryAfter": 1}, "respectRetryAfter"),
            *(({"maxConcurrency": value}, "maxConcurrency") for value in (-1, 100_001, 1.5, "4", True, [], {})),
            *(({"rateLimit": value}, "rateLimit") for value in (4, "4", True, [])),
            ({"rateLimit": {"limit": 0, "periodSeconds": 1}}, "rateLimit.limit"),
            ({"rateLimit": {"limit": 10**30, "periodSeconds": 1}}, "rateLimit.limit"),
            ({"rateLimit": {"limit": 1, "periodSeconds": 86_401}}, "rateLimit.periodSeconds"),
            ({"rateLimit": {"limit": 1, "periodSeconds": 0.5}}, "rateLimit.periodSeconds"),
            ({"rateLimit": {"limit": 1, "periodSeconds": None}}, "rateLimit.periodSeconds"),
            ({"rateLimit": {"limit": 1}}, "rateLimit.periodSeconds"),
            ({"rateLimit": {"limit": 1, "periodSeconds": 1, "burst": 2}}, "rateLimit.burst"),
            ({"rateLimit": {"limit": 1, "periodSeconds": 1, "burst": -1}}, "rateLimit.burst"),
            ({"rateLimit": {"limit": 1, "periodSeconds": 1, "nope": 1}}, "rateLimit.nope"),
        ],
    )
    def test_that_are_none_name_the_field(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.put("/targets/h", body)) == {field}
        assert not Target.objects.exists()


class TestTargetOfATask:
    def test_is_the_host_its_payload_names(self, api: Api) -> None:
        task = api.post("/tasks", HTTP).json()
        assert Task.objects.get(pk=task["id"]).target == "api.example.com"
        api.patch(f"/tasks/{task['id']}", {"payload": {"url": "https://[::1]/"}})
        assert Task.objects.get(pk=task["id"]).target == "::1"

    def test_follows_a_task_that_takes_the_place_of_another(self, api: Api) -> None:
        first = api.post("/tasks", HTTP | {"uniqueKey": "u"}).json()
        other = {
            "type": "HTTP",
            "payload": {"url": "http://other.example/"},
            "uniqueKey": "u",
            "onDuplicate": "replace",
        }
        assert api.post("/tasks", other).json()["id"] == first["id"]
        assert Task.objects.get(pk=first["id"]).target == "other.example"

    def test_is_stored_by_every_way_in(self, api: Api) -> None:
        api.post("/tasks/bulk", {"tasks": [HTTP, {"type": "DUMMY"}]})
        clone_task(Task.objects.filter(type="HTTP").get().pk, actor="test")
        targets = Task.objects.order_by("pk").values_list("target", flat=True)
        assert list(targets) == ["api.example.com", None, "api.example.com"]
