"""What a time was like: as JSON, as charts, and who may see which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from monitoring_app.history import floor
from monitoring_app.history_page import LOOKS
from monitoring_app.models import Mark, MetricMinute
from tests.support.api import Api, problem_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]

NOW = datetime.now(UTC)


def minute(back: int, *, span: int = 1, **columns: Any) -> MetricMinute:
    """A row of a time that began so many steps before this one."""
    length = timedelta(minutes=span)
    return MetricMinute.objects.create(span=span, at=floor(NOW, length) - back * length, **columns)


def history(api: Api, **query: str) -> dict[str, Any]:
    response = api.get(f"/health/history?{urlencode(query)}")
    assert response.status_code == 200, response.content
    return response.json()  # type: ignore[no-any-return]


def shown(back: int) -> str:
    return (floor(NOW, timedelta(minutes=1)) - timedelta(minutes=back)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


class TestHistory:
    def test_adds_types_up_and_shows_each(self, api: Api) -> None:
        counts = {"success": 3, "failed": 2, "retried": 1, "given_up": 1, "lost": 1}
        minute(2, kind="type", name="HTTP", **counts, start_delay={"0": 6}, duration={"40": 5})
        minute(2, kind="type", name="SHELL", success=4, start_delay={"60": 4}, duration={"8": 4})
        found = history(api, **{"from": shown(3), "to": shown(1)})
        assert [step["at"] for step in found["content"]] == [shown(3), shown(2)]
        empty, full = found["content"]
        assert (empty["attempts"], empty["startDelayMs"], empty["byType"], empty["slots"]) == (0, None, {}, None)
        assert (full["attempts"], full["retries"], full["failedTasks"]) == (10, 1, 1)
        assert full["byOutcome"] == {
            "SUCCESS": 7, "FAILED": 2, "TIMED_OUT": 0, "CANCELLED": 0, "LOST": 1, "RELEASED": 0,
        }  # fmt: skip
        assert full["startDelayMs"]["p50"] == 0.5
        assert full["startDelayMs"]["p95"] == pytest.approx(2 ** (59.5 / 4), rel=0.001)
        assert full["byType"]["SHELL"]["attempts"] == 4
        assert found["relativeError"] == 0.0905

    def test_shows_the_fullest_queues_or_those_that_are_named(self, api: Api) -> None:
        for number in range(12):
            minute(1, kind="queue", name=f"q{number:02}", waiting=number, oldest_due=None, success=1)
        minute(1, kind="system", name="", slots_used=3, slots=8)
        minute(0, kind="system", name="", slots_used=0, slots=8)
        last, this = history(api, **{"from": shown(1), "to": shown(-1)})["content"]
        assert sorted(last["byQueue"]) == [f"q{number:02}" for number in range(2, 12)]
        assert last["slots"] == {"used": 3, "available": 8}
        assert this["byQueue"]["q11"] == {"attempts": 0, "waiting": 0, "oldestDueSeconds": None}  # looked at, and empty
        [step, _] = history(api, **{"from": shown(1), "to": shown(-1), "queues": "q00"})["content"]
        assert step["byQueue"] == {"q00": {"attempts": 1, "waiting": 0, "oldestDueSeconds": None}}

    @pytest.mark.parametrize(("hours", "step"), [(1, 60), (24, 600), (24 * 7, 3600), (24 * 30, 3600)])
    def test_takes_the_shortest_step_that_gives_few(self, api: Api, hours: int, step: int) -> None:
        since = (NOW - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
        found = history(api, **{"from": since, "to": NOW.isoformat().replace("+00:00", "Z")})
        assert found["stepSeconds"] == step
        assert len(found["content"]) <= 24 * 30 + 1

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"step": "61"}, "step"),
            ({"from": "2030-01-01T00:00:00Z"}, "from"),
            ({"from": "2020-01-01T00:00:00Z"}, "from"),
            *(({"to": f"{year}-01-01T00:00:00Z"}, "to") for year in ("0001", "2020", "9999")),
            ({"from": shown(60 * 30), "step": "60"}, "step"),
            ({"queues": ""}, "queues"),
            ({"hours": "3"}, "hours"),
            ({"to": "today"}, "to"),
        ],
    )
    def test_refuses_by_name(self, api: Api, query: dict[str, str], field: str) -> None:
        problem = problem_of(api.get(f"/health/history?{urlencode(query)}"), 400)
        assert [error["field"] for error in problem["errors"]] == [field]


class TestPage:
    @pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.key)
    def test_draws_what_is_known_and_says_where_nothing_is(self, staff: Client, look: Any) -> None:
        span = look.step // timedelta(minutes=1)
        minute(1, span=span, kind="type", name="HTTP", success=9, start_delay={"30": 9}, duration={"44": 9})
        Mark.objects.create(name="deploy 1.42", at=NOW, created_by="test")
        page = staff.get("/admin/history/", {"last": look.key})
        charts = {chart.id: chart.is_empty for chart in page.context_data["charts"]}
        assert charts == {
            "ended": False, "start-delay": False, "duration": False,
            "waiting": True, "oldest-due": True, "slots": True,
        }  # fmt: skip
        text = page.content.decode()
        assert text.count("Nothing is known") == 3
        assert text.count('class="ts-mark"') == 3
        assert "deploy 1.42" in text

    def test_shows_a_chart_as_a_table(self, staff: Client) -> None:
        minute(1, kind="type", name="HTTP", success=1234)
        text = staff.get("/admin/history/", {"table": "ended"}).content.decode()
        assert text.count("<table") == 1
        assert ">1,234<" in text

    @pytest.mark.parametrize("query", [{"last": "2h"}, {"last": ["1h", "7d"]}, {"lost": "7d"}])
    def test_refuses_what_it_does_not_show(self, staff: Client, query: dict[str, Any]) -> None:
        page = staff.get("/admin/history/", query)
        assert page.status_code == 400
        assert 'role="alert"' in page.content.decode()

    @pytest.mark.parametrize(
        ("permission", "charts"),
        [
            ("view_task", {"ended", "start-delay", "duration", "waiting", "oldest-due"}),
            ("view_queue", {"waiting", "oldest-due"}),
            ("view_worker", {"slots"}),
            ("view_mark", None),
        ],
    )
    def test_shows_what_a_person_may_see(self, client: Client, permission: str, charts: set[str] | None) -> None:
        user = User.objects.create_user("victor", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename=permission))
        client.force_login(user)
        page = client.get("/admin/history/")
        if charts is None:
            assert page.status_code == 403
        else:
            assert {chart.id for chart in page.context_data["charts"]} == charts

    def test_asks_the_database_no_more_than_every_few_seconds(
        self, staff: Client, django_assert_max_num_queries: Any
    ) -> None:
        staff.get("/admin/history/")
        with django_assert_max_num_queries(3):  # the session, the person, their permissions
            staff.get("/admin/history/", headers={"X-Live": "1"})
