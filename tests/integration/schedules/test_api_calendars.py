"""``/calendars``: blackout calendars by name. What they refuse is in ``test_api_refusals``."""

from __future__ import annotations

from typing import Any

import pytest

from access_app.rights import Scope
from schedules_app.models import BlackoutCalendar
from tests.factories import make_key
from tests.support.api import Api, fields_of, problem_of
from tests.support.schedules import make_calendar, make_schedule

NIGHTS: dict[str, Any] = {
    "name": "nights",
    "timezone": "Europe/Berlin",
    "onBlackout": "run_at_end",
    "ranges": [{"weekdays": ["mon", "sun"], "from": "22:00", "to": "06:00"}],
}


class TestCreate:
    def test_returns_the_calendar_with_what_was_left_out(self, api: Api) -> None:
        response = api.post("/calendars", NIGHTS)
        shown = response.json()
        assert (response.status_code, response["Location"], response["ETag"]) == (201, "/calendars/nights", '"1"')
        assert shown.items() >= NIGHTS.items()
        assert (shown["description"], shown["createdBy"]) == ("", "caller")
        assert api.get("/calendars/nights/").json() == shown

    def test_takes_every_kind_of_range(self, api: Api) -> None:
        ranges = [{"from": "2030-01-01T00:00:00Z", "to": "2030-01-02T00:00:00+01:00"}, {"dates": "12-24/01-02"}]
        assert api.post("/calendars", NIGHTS | {"ranges": ranges}).json()["ranges"] == ranges

    def test_a_name_is_given_once(self, api: Api) -> None:
        api.post("/calendars", NIGHTS)
        assert fields_of(api.post("/calendars", NIGHTS), 409) == {"name"}


class TestList:
    def test_shows_pages_by_name(self, api: Api) -> None:
        for name in "bca":
            make_calendar(name, {"dates": "12-24"})
        page = api.get("/calendars?size=2").json()
        assert ([item["name"] for item in page["content"]], page["totalElements"]) == (["a", "b"], 3)
        first = api.get("/calendars?size=2&cursor=").json()
        second = api.get(f"/calendars?size=2&cursor={first['next']}").json()
        assert [item["name"] for item in second["content"]] == ["c"]
        assert api.get(f"/calendars?size=2&cursor={second['previous']}").json()["content"] == page["content"]
        assert fields_of(api.get("/calendars?timezone=UTC&sort=version")) == {"timezone"}
        assert fields_of(api.get("/calendars?sort=version")) == {"sort"}


class TestChange:
    def test_what_is_absent_stays(self, api: Api) -> None:
        before = api.post("/calendars", NIGHTS).json()
        response = api.patch("/calendars/nights", {"description": "quiet"}, If_Match='"1"')
        assert response["ETag"] == '"2"'
        changed = {name for name in before if before[name] != response.json()[name]}
        assert changed == {"description", "version", "updatedAt"}

    def test_the_name_stays(self, api: Api) -> None:
        api.post("/calendars", NIGHTS)
        assert fields_of(api.patch("/calendars/nights", {"name": "days"})) == {"name"}
        assert api.patch("/calendars/nights", {"name": "nights", "timezone": "UTC"}).status_code == 200

    @pytest.mark.parametrize(("method", "body"), [("PATCH", {"timezone": "UTC"}), ("DELETE", None)])
    def test_only_the_version_that_was_read(self, api: Api, method: str, body: Any) -> None:
        api.post("/calendars", NIGHTS)
        api.patch("/calendars/nights", {"description": "two"})
        detail = problem_of(api.send(method, "/calendars/nights", body, If_Match='"1"'), 412)["detail"]
        assert detail.startswith("The calendar")
        assert api.send(method, "/calendars/nights", body, If_Match='W/"2"').status_code in (200, 204)

    def test_a_reader_that_has_it_gets_304(self, api: Api) -> None:
        api.post("/calendars", NIGHTS)
        assert api.get("/calendars/nights", If_None_Match='"1"').status_code == 304
        api.patch("/calendars/nights", {"description": "two"})
        assert api.get("/calendars/nights", If_None_Match='"1"').status_code == 200


class TestDelete:
    def test_one_that_is_used_stays(self, api: Api) -> None:
        api.post("/calendars", NIGHTS)
        schedule = make_schedule(name="report", calendars=["nights"])
        assert "report" in problem_of(api.delete("/calendars/nights"), 409)["detail"]
        api.delete(f"/schedules/{schedule.pk}")
        response = api.delete("/calendars/nights")
        assert (response.status_code, response.content) == (204, b"")
        assert not BlackoutCalendar.objects.exists()
        problem_of(api.delete("/calendars/nights"), 404)


class TestScopes:
    @pytest.mark.parametrize(
        ("method", "path", "needed"),
        [
            ("GET", "/calendars", "schedules:read"),
            ("GET", "/calendars/nope", "schedules:read"),
            ("POST", "/calendars", "schedules:write"),
            ("PATCH", "/calendars/nope", "schedules:write"),
            ("DELETE", "/calendars/nope", "schedules:write"),
        ],
    )
    def test_come_before_anything_is_looked_at(self, db: None, method: str, path: str, needed: str) -> None:
        problem_of(Api(None).send(method, path, b"{"), 401)
        others = set(Scope) - {needed}
        problem_of(Api(make_key(*others)).send(method, path, b"{"), 403)
        assert Api(make_key(needed)).send(method, path, {}).status_code in (200, 400, 404)

    @pytest.mark.parametrize("name", ["nope", "%00", "a%20b", "x" * 300, "%C3%A4", "a%0A"])
    def test_an_unknown_name_does_not_exist(self, api: Api, name: str) -> None:
        for method, body in (("GET", None), ("PATCH", {"description": ""}), ("DELETE", None)):
            problem_of(api.send(method, f"/calendars/{name}", body), 404)
