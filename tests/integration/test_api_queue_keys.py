"""``/queues/{name}/keys``: what is set for a key, whatever its name is made of."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from access_app.models import AuditEvent
from flow_app.models import QueueKey
from tests.support.api import Api, fields_of, problem_of

AT = "/queues/reports/keys"


class TestQueueKeys:
    def test_are_set_read_and_unset(self, api: Api) -> None:
        problem_of(api.get(f"{AT}/tenant:41"), 404)
        made = api.send("PUT", f"{AT}/tenant:41", {"maxConcurrency": 3})
        expected = {"queue": "reports", "key": "tenant:41", "maxConcurrency": 3, "weight": 1, "paused": False}
        assert (made.status_code, made.json(), made["ETag"]) == (201, expected | {"version": 1}, '"1"')
        changed = api.send("PUT", f"{AT}/tenant:41", {"weight": 5, "paused": True})
        expected |= {"maxConcurrency": None, "weight": 5, "paused": True}
        assert (changed.status_code, changed.json(), changed["ETag"]) == (200, expected | {"version": 2}, '"2"')
        assert api.get(f"{AT}/tenant:41").json() == changed.json()
        assert api.send("GET", f"{AT}/tenant:41", If_None_Match='"2"').status_code == 304
        assert api.send("DELETE", f"{AT}/tenant:41").status_code == 204
        problem_of(api.send("DELETE", f"{AT}/tenant:41"), 404)
        actions = AuditEvent.objects.filter(target="queue:reports").order_by("id").values_list("action", "actor")
        assert list(actions) == [("queue.key_set", "caller")] * 2 + [("queue.key_unset", "caller")]

    def test_are_listed_by_name_and_paged(self, api: Api) -> None:
        for key in ("b", "a", "c"):
            api.send("PUT", f"{AT}/{key}", {})
        api.send("PUT", "/queues/other/keys/d", {})
        page = api.get(f"{AT}?size=2").json()
        assert ([each["key"] for each in page["content"]], page["totalElements"]) == (["a", "b"], 3)
        first = api.get(f"{AT}?size=2&cursor=").json()
        rest = api.get(f"{AT}?size=2&cursor={first['next']}").json()
        assert [each["key"] for each in first["content"] + rest["content"]] == ["a", "b", "c"]
        assert api.get(f"{AT}/").json()["totalElements"] == 3

    def test_are_not_overwritten_by_who_has_not_seen_them(self, api: Api) -> None:
        put = f"{AT}/k"
        assert api.send("PUT", put, {"weight": 2}, If_Match='"0"').status_code == 201
        problem_of(api.send("PUT", put, {"weight": 3}, If_Match='"0"'), 412)
        assert api.send("PUT", put, {"weight": 3}, If_Match='"1"').status_code == 200
        problem_of(api.send("DELETE", put, If_Match='"1"'), 412)
        assert QueueKey.objects.get().weight == 3

    @pytest.mark.parametrize("key", ["a/b", "/a", "a//b", "a/keys/b", "..", "ä ö", "%2F", "a?b#c", "keys", "x" * 200])
    def test_may_have_any_name_that_a_task_may_give_them(self, api: Api, key: str) -> None:
        path = f"{AT}/{quote(key, safe='')}"
        assert api.send("PUT", path, {"paused": True}).json()["key"] == key
        assert QueueKey.objects.get().key == key
        assert api.get(path).json()["paused"]
        assert api.send("DELETE", path).status_code == 204

    @pytest.mark.parametrize("key", ["a/", "a%2F", "%00", "a%0Ab", "%E2%80%8B", "x" * 201])
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_that_cannot_be_named_are_refused_and_no_other_is_changed(self, api: Api, key: str, method: str) -> None:
        QueueKey.objects.create(queue="reports", key="a")
        problem_of(api.send(method, f"{AT}/{key}", {} if method == "PUT" else None), 404)
        assert [(row.key, row.version) for row in QueueKey.objects.all()] == [("a", 1)]

    @pytest.mark.parametrize(
        ("body", "field"), [({"maxConcurrency": 0}, "maxConcurrency"), ({"nope": 1}, "nope"), ([], "body")]
    )
    def test_a_bad_body_names_the_field(self, api: Api, body: Any, field: str) -> None:
        assert fields_of(api.send("PUT", f"{AT}/k", body)) == {field}
        assert not QueueKey.objects.exists()

    def test_of_a_queue_that_cannot_be_are_nowhere(self, api: Api) -> None:
        for method, path in (("GET", "keys"), ("GET", "keys/k"), ("PUT", "keys/k"), ("DELETE", "keys/k")):
            problem_of(api.send(method, f"/queues/no%20queue/{path}", {} if method == "PUT" else None), 404)

    def test_rule_for_all_keys_of_a_queue_is_one_of_its_rules(self, api: Api) -> None:
        queue = api.patch("/queues/reports", {"perKey": {"maxConcurrency": 3}}).json()
        assert queue["perKey"]["maxConcurrency"] == 3
        ended = api.patch("/queues/reports", {"perKey": {"maxConcurrency": None}}).json()
        assert ended["perKey"]["maxConcurrency"] is None
        for bad in (0, 1001, "3", True):
            assert fields_of(api.patch("/queues/reports", {"perKey": {"maxConcurrency": bad}})) == {
                "perKey.maxConcurrency"
            }
