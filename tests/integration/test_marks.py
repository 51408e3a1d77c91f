"""``/marks`` and their pages: instants with a name, such as deploys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from monitoring_app import marks
from monitoring_app.models import Mark
from tests.support.api import Api, fields_of, problem_of

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
AT_NOON = "2030-01-31T12:00:00Z"

pytestmark = pytest.mark.django_db


def names(page: Any) -> list[str]:
    return [mark["name"] for mark in page.json()["content"]]


class TestMarks:
    def test_are_set_listed_and_taken_away(self, api: Api) -> None:
        before = timezone.now()
        made = api.post("/marks", {"name": " deploy 1.42 "})
        assert made.status_code == 201
        assert (made.json()["name"], made.json()["createdBy"]) == ("deploy 1.42", "caller")
        assert before <= datetime.fromisoformat(made.json()["at"]) <= timezone.now()
        assert api.get("/marks").json()["content"] == [made.json()]
        assert api.delete(f"/marks/{made.json()['id']}").status_code == 204
        assert names(api.get("/marks")) == []
        problem_of(api.delete(f"/marks/{made.json()['id']}"), 404)
        problem_of(api.delete("/marks/x"), 404)
        assert [event.action for event in AuditEvent.objects.filter(action__startswith="mark").order_by("id")] == [
            "mark.set",
            "mark.deleted",
        ]

    def test_are_set_once_at_an_instant(self, api: Api) -> None:
        """A pipeline that got no response sends it again."""
        first, again = (api.post("/marks", {"name": "deploy", "at": AT_NOON}) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert api.post("/marks", {"name": "other", "at": AT_NOON}).status_code == 201
        assert AuditEvent.objects.filter(action="mark.set").count() == 2

    def test_are_found_by_their_time_newest_first(self, api: Api) -> None:
        for hour in (1, 3, 2):
            marks.set_mark(f"{hour}h", NOON + timedelta(hours=hour), actor="test")
        assert names(api.get("/marks")) == ["3h", "2h", "1h"]
        assert names(api.get("/marks?from=2030-01-31T14:00:00Z")) == ["3h", "2h"]
        assert names(api.get("/marks?to=2030-01-31T14:00:00Z&sort=at,asc")) == ["1h"]
        first = api.get("/marks?cursor=&size=2").json()
        assert names(api.get(f"/marks?cursor={first['next']}&size=2")) == ["1h"]
        assert fields_of(api.get("/marks?from=yesterday&since=1")) == {"since"}
        assert fields_of(api.get("/marks?from=yesterday")) == {"from"}

    @pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "\u202eylper", "\x1b[31mred", 7, None])
    def test_have_names_that_a_chart_can_show(self, api: Api, name: Any) -> None:
        assert fields_of(api.post("/marks", {"name": name})) == {"name"}
        assert not Mark.objects.exists()

    def test_name_every_bad_field(self, api: Api) -> None:
        assert fields_of(api.post("/marks", {"at": "2030-01-31T12:00:00", "colour": "red"})) == {"name", "at", "colour"}


class TestSetMark:
    def test_lets_the_oldest_go_beyond_the_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(marks, "MOST_MARKS", 2)
        for hour in (5, 1, 3):
            marks.set_mark(f"{hour}h", NOON + timedelta(hours=hour), actor="test")
        assert [mark.name for mark in marks.marks_between(NOON, NOON + timedelta(days=1))] == ["3h", "5h"]
        with pytest.raises(InvalidInput) as refused:
            marks.set_mark("0h", NOON, actor="test")
        assert set(refused.value.problems) == {"at"}
        assert Mark.objects.count() == 2


class TestMarksBetween:
    def test_returns_the_latest_oldest_first(self) -> None:
        for hour in (1, 2, 3, 4):
            marks.set_mark(f"{hour}h", NOON + timedelta(hours=hour), actor="test")
        found = marks.marks_between(NOON, NOON + timedelta(hours=4), most=2)
        assert [mark.name for mark in found] == ["2h", "3h"]


class TestPages:
    def test_set_and_take_away_marks(self, admin_client: Client) -> None:
        page = admin_client.post("/admin/monitoring_app/mark/add/", {"name": "deploy", "at": "2030-01-31T12:00:00"})
        [mark] = Mark.objects.all()
        assert (page.status_code, mark.at, mark.created_by) == (302, NOON, "user:admin")
        assert b"2030-01-31 12:00:00" in admin_client.get(f"/admin/monitoring_app/mark/{mark.pk}/change/").content
        admin_client.post(f"/admin/monitoring_app/mark/{mark.pk}/delete/")
        assert not Mark.objects.exists()

    def test_take_no_time_of_another_zone_for_one_of_theirs(self, admin_client: Client) -> None:
        asked = {"name": "deploy", "at": "2030-01-31T12:00:00+02:00"}
        assert admin_client.post("/admin/monitoring_app/mark/add/", asked).status_code == 422
        assert not Mark.objects.exists()

    def test_show_what_is_wrong_with_a_name(self, admin_client: Client) -> None:
        page = admin_client.post("/admin/monitoring_app/mark/add/", {"name": "ylp\u202eer"})
        assert page.status_code == 422
        assert "must not contain" in page.content.decode()
