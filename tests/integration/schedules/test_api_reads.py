"""What the API shows of schedules: lists, the ledger, preview, why, simulate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from access_app.http.times import show_instant
from schedules_app import selectors
from schedules_app.firing_rules import FireState
from schedules_app.models import Schedule, ScheduleFire
from tests.factories import make_task, unknown_id
from tests.support.api import Api, fields_of, problem_of
from tests.support.schedules import MINUTE, make_calendar, make_schedule, whole_now

START = datetime(2026, 3, 1, tzinfo=UTC)


def names(response: Any) -> list[str]:
    return [item["name"] for item in response.json()["content"]]


def make_ledger(*states: FireState, schedule: Schedule | None = None) -> Schedule:
    """A schedule whose slots, a minute apart, became these."""
    schedule = schedule or make_schedule(due=0)
    slots = [START + MINUTE * number for number in range(len(states))]
    ScheduleFire.objects.bulk_create(
        ScheduleFire(schedule_id=schedule.pk, slot=slot, due_at=slot, state=state)
        for slot, state in zip(slots, states, strict=True)
    )
    return schedule


class TestList:
    def test_shows_pages_by_name_without_templates(self, api: Api) -> None:
        for name in ("b", "c", "a"):
            make_schedule(due=0, name=name)
        page = api.get("/schedules?size=2").json()
        assert [item["name"] for item in page["content"]] == ["a", "b"]
        assert "task" not in page["content"][0]
        assert (page["page"], page["totalElements"], page["totalPages"], page["last"]) == (0, 3, 2, False)
        assert names(api.get("/schedules?size=2&page=1")) == ["c"]
        assert names(api.get("/schedules?sort=createdAt,asc")) == ["b", "c", "a"]
        assert names(api.get("/schedules?sort=name,desc")) == ["c", "b", "a"]

    @pytest.mark.parametrize("sort", ["name,asc", "name,desc", "createdAt,asc", "createdAt,desc"])
    def test_cursors_lead_there_and_back(self, api: Api, sort: str) -> None:
        for number in range(7):
            make_schedule(due=0, name=f"s{number * 5 % 7}")
        wanted, seen = names(api.get(f"/schedules?sort={sort}")), []
        cursor, pages = "", []
        while cursor is not None:
            page = api.get(f"/schedules?sort={sort}&size=3&cursor={cursor}").json()
            seen += [item["name"] for item in page["content"]]
            pages.append(page)
            cursor = page["next"]
        assert seen == wanted
        back = api.get(f"/schedules?sort={sort}&size=3&cursor={pages[-1]['previous']}").json()
        assert back["content"] == pages[-2]["content"]

    def test_filters(self, api: Api) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        make_schedule(due=0, name="on")
        make_schedule(name="off", enabled=False, next_slot=None, next_fire_at=None, calendars=["freeze"])
        make_schedule(due=0, name="paused", paused_at=whole_now())
        make_schedule(due=0, name="resumed", paused_at=START, resumed_at=whole_now())
        assert names(api.get("/schedules?enabled=false")) == ["off"]
        assert names(api.get("/schedules?paused=true")) == ["paused"]
        assert names(api.get("/schedules?paused=false&enabled=true")) == ["on", "resumed"]
        assert names(api.get("/schedules?name=on")) == ["on"]
        assert names(api.get("/schedules?calendar=freeze")) == ["off"]

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("nope=1", {"nope"}),
            ("enabled=yes&paused=1", {"enabled", "paused"}),
            ("name=a%20b", {"name"}),
            ("name=a&name=b", {"name"}),
            ("sort=nextFireAt", {"sort"}),
            ("size=0&page=-1", {"size", "page"}),
            ("page=0&cursor=", {"cursor"}),
            ("cursor=x", {"cursor"}),
        ],
    )
    def test_refuses_what_it_does_not_know(self, api: Api, query: str, fields: set[str]) -> None:
        assert fields_of(api.get(f"/schedules?{query}")) == fields

    def test_a_cursor_of_another_list_does_not_fit(self, api: Api) -> None:
        for _ in range(2):
            make_ledger(FireState.FIRED, FireState.FIRED)
        one, other = Schedule.objects.all()
        cursor = api.get(f"/schedules/{one.pk}/fires?size=1&cursor=").json()["next"]
        assert api.get(f"/schedules/{one.pk}/fires?size=1&cursor={cursor}").status_code == 200
        for path in (f"/schedules/{other.pk}/fires", "/schedules", "/tasks"):
            assert fields_of(api.get(f"{path}?cursor={cursor}")) == {"cursor"}


class TestFires:
    def test_are_newest_first_with_what_became_of_each(self, api: Api) -> None:
        schedule = make_ledger(FireState.FIRED, FireState.MISSED, FireState.SKIPPED_DST)
        task = make_task(schedule_id=schedule.pk, scheduled_for=START)
        ScheduleFire.objects.filter(slot=START).update(task_id=task.pk, note="n")
        page = api.get(f"/schedules/{schedule.pk}/fires").json()
        assert [fire["state"] for fire in page["content"]] == ["SKIPPED_DST", "MISSED", "FIRED"]
        assert page["content"][-1].items() >= {
            "slot": "2026-03-01T00:00:00.000000Z",
            "lastSlot": None,
            "taskId": str(task.pk),
            "note": "n",
        }.items()  # fmt: skip
        assert page["totalElements"] == 3

    def test_pages_and_cursors(self, api: Api) -> None:
        schedule = make_ledger(*[FireState.FIRED] * 5)
        path = f"/schedules/{schedule.pk}/fires?size=2"
        numbered = [fire["slot"] for page in range(3) for fire in api.get(f"{path}&page={page}").json()["content"]]
        first = api.get(f"{path}&cursor=").json()
        second = api.get(f"{path}&cursor={first['next']}").json()
        third = api.get(f"{path}&cursor={second['next']}").json()
        keyset = [fire["slot"] for page in (first, second, third) for fire in page["content"]]
        assert numbered == keyset == [show_instant(START + MINUTE * number) for number in (4, 3, 2, 1, 0)]
        assert third["next"] is None
        assert api.get(f"{path}&cursor={third['previous']}").json()["content"] == second["content"]
        oldest = api.get(f"{path}&sort=slot,asc").json()["content"]
        assert [fire["slot"] for fire in oldest] == numbered[:2:-1]

    def test_filters(self, api: Api) -> None:
        schedule = make_ledger(FireState.FIRED, FireState.MISSED, FireState.LATE, FireState.MISSED)
        path = f"/schedules/{schedule.pk}/fires"

        def states(query: str) -> list[str]:
            return [fire["state"] for fire in api.get(f"{path}?{query}").json()["content"]]

        assert states("state=MISSED&state=LATE") == ["MISSED", "LATE", "MISSED"]
        assert states("from=2026-03-01T00:01:00Z&to=2026-03-01T00:03:00Z") == ["LATE", "MISSED"]
        assert states("to=2026-03-01T01:00:00%2B01:00") == []

    def test_from_an_instant_inside_of_a_long_outage_tells_of_it(self, api: Api) -> None:
        schedule = make_ledger(FireState.FIRED, FireState.MISSED)
        ScheduleFire.objects.filter(state=FireState.MISSED).update(last_slot=START + timedelta(days=9))
        path = f"/schedules/{schedule.pk}/fires?from="
        [fire] = api.get(f"{path}2026-03-10T00:00:00Z").json()["content"]
        assert (fire["state"], fire["lastSlot"]) == ("MISSED", "2026-03-10T00:00:00.000000Z")
        assert api.get(f"{path}2026-03-10T00:00:01Z").json()["content"] == []

    def test_from_is_found_by_an_index_in_a_long_ledger(self, db: None) -> None:
        schedule = make_schedule(due=0)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO schedule_fires (schedule_id, slot, due_at, state)"
                " SELECT %s, at, at, 'FIRED' FROM generate_series(%s::timestamptz, %s, '1 minute') AS at",
                [schedule.pk, START, START + 20_000 * MINUTE],
            )
            cursor.execute("ANALYZE schedule_fires")
        found = selectors.fires(schedule.pk, since=START + 20_000 * MINUTE)
        plan = found.order_by("-slot", "-pk")[:21].explain()
        assert "fires_runs" in plan
        assert "Seq Scan" not in plan

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("state=NOPE", {"state"}),
            ("from=2026-03-01&to=x", {"from", "to"}),
            ("from=2026-03-01T00:00:00Z&from=2026-03-01T00:00:00Z", {"from"}),
            ("sort=state", {"sort"}),
            ("count=1", {"count"}),
        ],
    )
    def test_refuse_what_they_do_not_know(self, api: Api, query: str, fields: set[str]) -> None:
        assert fields_of(api.get(f"/schedules/{make_schedule().pk}/fires?{query}")) == fields

    def test_the_ends_of_time_can_be_asked_for(self, api: Api) -> None:
        query = "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z"
        schedule = make_ledger(FireState.FIRED)
        assert api.get(f"/schedules/{schedule.pk}/fires?{query}").json()["totalElements"] == 1


class TestPreview:
    def test_shows_the_wall_clock_and_marks_its_changes(self, api: Api) -> None:
        berlin = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "task": {"type": "DUMMY"}}
        body = berlin | {"name": "x", "startAt": "2030-03-30T00:00:00+01:00", "enabled": False}
        path = f"{api.post('/schedules', body)['Location']}/preview"
        assert api.get(f"{path}?count=3").json() == {
            "fires": [
                {"at": "2030-03-30T01:30:00.000000Z", "local": "2030-03-30T02:30:00+01:00", "note": ""},
                {"at": "2030-03-31T01:00:00.000000Z", "local": "2030-03-31T03:00:00+02:00", "note": "DST_GAP"},
                {"at": "2030-04-01T00:30:00.000000Z", "local": "2030-04-01T02:30:00+02:00", "note": ""},
            ]
        }
        assert len(api.get(path).json()["fires"]) == 20
        assert len(api.get(f"{path}?count=100").json()["fires"]) == 100

    @pytest.mark.parametrize("query", ["count=0", "count=101", "count=x", "count=1.0", "count=", "count=1&count=2"])
    def test_refuses_other_counts(self, api: Api, query: str) -> None:
        assert fields_of(api.get(f"/schedules/{make_schedule().pk}/preview?{query}")) == {"count"}

    def test_may_have_nothing_to_show(self, api: Api) -> None:
        ended = make_schedule(end_at=START, next_slot=None, next_fire_at=None)
        assert api.get(f"/schedules/{ended.pk}/preview").json() == {"fires": []}


class TestWhy:
    def test_names_every_reason(self, api: Api) -> None:
        schedule = make_schedule(due=0, paused_at=whole_now(), paused_by="ops", pause_reason="moving")
        reasons = api.get(f"/schedules/{schedule.pk}/why").json()["reasons"]
        assert [reason["code"] for reason in reasons] == ["PAUSED", "NOT_DUE", "NO_LIVE_SCHEDULER"]
        assert "ops" in reasons[0]["detail"]
        assert "moving" in reasons[0]["detail"]
        assert reasons[1]["until"] == show_instant(schedule.next_fire_at)

    def test_says_when_it_is_switched_off(self, api: Api) -> None:
        off = make_schedule(enabled=False, next_slot=None, next_fire_at=None)
        [reason] = api.get(f"/schedules/{off.pk}/why").json()["reasons"]
        assert reason["code"] == "DISABLED"


class TestSimulate:
    def simulate(self, api: Api, schedule: dict[str, Any], since: str, until: str, *outages: tuple[str, str]) -> Any:
        body = {
            "schedule": schedule,
            "from": since,
            "to": until,
            "outages": [dict(zip(("from", "to"), outage, strict=True)) for outage in outages],
        }
        response = api.post("/schedules/simulate", body)
        assert response.status_code == 200, response.content
        return [(slot["slot"][11:16], slot["state"], slot["at"][11:16]) for slot in response.json()["slots"]]

    def test_shows_what_an_outage_does(self, api: Api) -> None:
        window = ("2030-01-01T00:00:00Z", "2030-01-01T03:00:00Z", ("2030-01-01T00:30:00Z", "2030-01-01T02:30:00Z"))
        assert self.simulate(api, {"cron": "0 * * * *"}, *window) == [
            ("00:00", "FIRED", "00:00"),
            ("01:00", "COALESCED", "02:30"),
            ("02:00", "LATE", "02:30"),
            ("03:00", "FIRED", "03:00"),
        ]
        skipping = {"cron": "0 * * * *", "misfire": {"policy": "skip"}}
        assert [state for _, state, _ in self.simulate(api, skipping, *window)] == [
            "FIRED",
            "MISSED",
            "MISSED",
            "FIRED",
        ]

    def test_knows_calendars_and_the_clock(self, api: Api) -> None:
        make_calendar("freeze", {"dates": "03-30"})
        schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"gap": "skip"}, "calendars": ["freeze"]}
        window = ("2030-03-29T00:00:00Z", "2030-04-01T12:00:00Z")
        states = [state for _, state, _ in self.simulate(api, schedule, *window)]
        assert states == ["FIRED", "SKIPPED_BLACKOUT", "SKIPPED_DST", "FIRED"]

    def test_stores_nothing(self, api: Api) -> None:
        self.simulate(api, {"intervalSeconds": 60}, "2030-01-01T00:00:00Z", "2030-01-01T00:10:00Z")
        assert not (Schedule.objects.exists() or ScheduleFire.objects.exists())

    def test_is_no_schedule_to_read(self, api: Api) -> None:
        problem_of(api.get("/schedules/simulate"), 405)
        problem_of(api.get(f"/schedules/{unknown_id()}"), 404)
