"""``/freezes``: begin one, see them, thaw."""

from __future__ import annotations

from typing import Any

import pytest

from flow_app.models import Freeze
from tests.support.api import Api, fields_of, problem_of

DOWN = {"targets": ["API.example.com"], "queues": ["mail"], "reason": "it is down", "until": "2999-01-01T00:00:00Z"}


class TestFreezes:
    def test_are_begun_shown_listed_and_thawed(self, api: Api) -> None:
        made = api.post("/freezes", DOWN)
        assert (made.status_code, made["ETag"]) == (201, '"1"')
        shown = made.json()
        assert made["Location"] == f"/freezes/{shown['id']}"
        assert shown["affected"] == {"byStatus": {}, "byQueue": {}, "atLeast": False}
        assert {name: shown[name] for name in ("status", "queues", "targets", "types", "reason", "createdBy")} == {
            "status": "OPEN",
            "queues": ["mail"],
            "targets": ["api.example.com"],
            "types": [],
            "reason": "it is down",
            "createdBy": "caller",
        }
        assert api.get(made["Location"]).json() == shown
        [listed] = api.get("/freezes").json()["content"]
        assert shown == listed | {"affected": shown["affected"]}
        assert (api.get("/queues/mail").json()["frozen"], api.get("/queues/mail").json()["frozenUntil"]) == (
            True,
            "2999-01-01T00:00:00.000000Z",
        )
        thawed = api.send(
            "DELETE", made["Location"], {"resumeRate": {"limit": 5, "periodSeconds": 1}, "reason": "it is back"}
        )
        assert (thawed.status_code, thawed["ETag"], thawed.json()["status"]) == (200, '"2"', "THAWING")
        assert thawed.json()["resumeRate"] == {"limit": 5, "periodSeconds": 1, "burst": 0}
        assert (thawed.json()["thawedBy"], api.get("/queues/mail").json()["frozen"]) == ("caller", False)

    def test_are_listed_by_what_has_become_of_them(self, api: Api) -> None:
        first, second, third = (api.post("/freezes", {"queues": [name]}).json()["id"] for name in "abc")
        api.delete(f"/freezes/{first}")
        Freeze.objects.filter(pk=second).update(types=["HTTP"])
        api.delete(f"/freezes/{second}")

        def ids(query: str) -> list[str]:
            return [each["id"] for each in api.get(f"/freezes{query}").json()["content"]]

        assert ids("") == [third, second]
        assert [ids(f"?status={status}") for status in ("OPEN", "THAWING", "ENDED")] == [[third], [second], [first]]
        assert ids("?status=ENDED&status=OPEN") == [third, first]
        assert fields_of(api.get("/freezes?status=open")) == {"status"}

    def test_go_by_the_version_the_caller_has_seen(self, api: Api) -> None:
        made = api.post("/freezes", {"types": ["SHELL"]})
        problem_of(api.delete(made["Location"], If_Match='"2"'), 412)
        assert api.delete(made["Location"], If_Match=made["ETag"]).status_code == 200

    def test_are_begun_once_with_an_idempotency_key(self, api: Api) -> None:
        made = api.post("/freezes", DOWN, Idempotency_Key="k")
        again = api.post("/freezes", DOWN, Idempotency_Key="k")
        assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
        assert again.json()["id"] == made.json()["id"]
        problem_of(api.post("/freezes", {"queues": ["other"]}, Idempotency_Key="k"), 409)
        assert Freeze.objects.count() == 1

    def test_that_are_over_are_not_thawed_again(self, api: Api) -> None:
        at = api.post("/freezes", {"queues": ["q"]})["Location"]
        api.delete(at)
        assert problem_of(api.delete(at), 409)["detail"] == "It has ended already: caller has thawed it."
        problem_of(api.delete("/freezes/0192f0c1-7b5e-7000-8000-000000000001"), 404)
        problem_of(api.get("/freezes/none"), 404)

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"queues"}),
            ({"queues": []}, {"queues"}),
            ({"queues": "mail"}, {"queues"}),
            ({"queues": [1]}, {"queues"}),
            ({"queues": ["a/b"], "targets": ["http://x"], "types": ["http"]}, {"queues", "targets", "types"}),
            ({"targets": ["api.example.com:443"]}, {"targets"}),
            ({"queues": ["q"], "until": "2001-01-01T00:00:00Z"}, {"until"}),
            ({"queues": ["q"], "until": "2999-01-01"}, {"until"}),
            ({"queues": ["q"], "resumeRate": {"limit": 1, "periodSeconds": 1}}, {"resumeRate"}),
            ({"types": ["HTTP"] * 101}, {"types"}),
        ],
    )
    def test_are_refused_by_their_fields(self, api: Api, body: Any, fields: set[str]) -> None:
        assert fields_of(api.post("/freezes", body)) == fields
        assert not Freeze.objects.exists()

    def test_are_thawed_at_a_rate_that_can_be(self, api: Api) -> None:
        at = api.post("/freezes", {"queues": ["q"]})["Location"]
        assert fields_of(api.send("DELETE", at, {"resumeRate": {"limit": 0}})) == {
            "resumeRate.limit",
            "resumeRate.periodSeconds",
        }
        assert Freeze.objects.get().status == "OPEN"
