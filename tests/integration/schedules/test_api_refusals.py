"""Bad input at the API: refused with its field named, all of it in one answer, at the cost of milliseconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schedules_app.models import BlackoutCalendar, Schedule
from tests.support.api import Api, fields_of, problem_of
from tests.support.costs import cpu_seconds

GOOD: dict[str, Any] = {"name": "nightly", "cron": "30 2 * * *", "task": {"type": "DUMMY"}}
HTTP = {"type": "HTTP", "payload": {"url": "ftp://x", "nope": 1}}
#: Processor time from request to response, the least of up to five. Measured: at most 12 ms on a quiet machine.
LONGEST = 0.050
NUMBERS = ",".join(map(str, range(60)))

#: What is added to a good schedule, and the fields that are named.
BAD: list[tuple[Any, set[str]]] = [
    ({"name": None}, {"name"}),
    ({"name": ""}, {"name"}),
    ({"name": "a b"}, {"name"}),
    ({"description": 1}, {"description"}),
    ({"description": "x" * 2001}, {"description"}),
    ({"enabled": None}, {"enabled"}),
    ({"enabled": 1}, {"enabled"}),
    ({"cron": 5}, {"cron"}),
    ({"cron": None}, {"cron", "intervalSeconds", "rrule"}),
    ({"intervalSeconds": 60}, {"cron", "intervalSeconds"}),
    ({"cron": None, "intervalSeconds": "60"}, {"intervalSeconds"}),
    ({"cron": None, "intervalSeconds": True}, {"intervalSeconds"}),
    ({"cron": None, "intervalSeconds": 1.0}, {"intervalSeconds"}),
    ({"cron": None, "intervalSeconds": 0}, {"intervalSeconds"}),
    ({"cron": None, "intervalSeconds": 10**300}, {"intervalSeconds"}),
    ({"cron": None, "rrule": ""}, {"rrule"}),
    ({"cron": None, "rrule": ["FREQ=DAILY"]}, {"rrule"}),
    ({"timezone": None}, {"timezone"}),
    ({"timezone": "Nope"}, {"timezone"}),
    ({"timezone": "../../etc/passwd"}, {"timezone"}),
    ({"startAt": "2030-01-01T00:00:00"}, {"startAt"}),
    ({"startAt": "0001-01-01T00:00:00Z"}, {"startAt"}),
    ({"endAt": "9999-12-31T23:59:59Z"}, {"endAt"}),
    ({"endAt": 5}, {"endAt"}),
    ({"startAt": "2031-01-01T00:00:00Z", "endAt": "2030-01-01T00:00:00Z"}, {"endAt"}),
    ({"jitterSeconds": -1}, {"jitterSeconds"}),
    ({"jitterSeconds": None}, {"jitterSeconds"}),
    ({"misfire": "skip"}, {"misfire"}),
    ({"misfire": None}, {"misfire"}),
    ({"misfire": {"policy": "never"}}, {"misfire.policy"}),
    ({"misfire": {"policy": []}}, {"misfire.policy"}),
    ({"misfire": {"maxRuns": 101, "graceSeconds": "1"}}, {"misfire.maxRuns", "misfire.graceSeconds"}),
    ({"misfire": {"max_runs": 1}}, {"misfire.max_runs"}),
    ({"overlap": "queue"}, {"overlap"}),
    ({"dst": []}, {"dst"}),
    ({"dst": {"gap": "x", "fold": 2, "hour": 3}}, {"dst.gap", "dst.fold", "dst.hour"}),
    ({"calendars": "holidays"}, {"calendars"}),
    ({"calendars": [1]}, {"calendars"}),
    ({"calendars": ["nope"]}, {"calendars"}),
    ({"calendars": ["x" * 5000]}, {"calendars"}),
    ({"calendars": [f"c{n}" for n in range(11)]}, {"calendars"}),
    ({"task": None}, {"task"}),
    ({"task": []}, {"task"}),
    ({"task": {}}, {"task.type"}),
    ({"task": {"type": None}}, {"task.type"}),
    ({"task": {"type": "NOPE"}}, {"task.type"}),
    ({"task": HTTP}, {"task.payload.url", "task.payload.nope"}),
    ({"task": HTTP | {"priority": "high"}}, {"task.payload.url", "task.payload.nope", "task.priority"}),
    ({"task": {"type": "DUMMY", "retry": {"backoff": "x"}}}, {"task.retry.backoff"}),
    ({"task": {"type": "DUMMY", "scheduleAt": "2030-01-01T00:00:00Z"}}, {"task.scheduleAt"}),
    ({"task": {"type": "DUMMY", "expiresAt": "2030-01-01T00:00:00Z"}}, {"task.expiresAt"}),
    ({"task": {"type": "DUMMY", "status": "PENDING", "nope": 1}}, {"task.status", "task.nope"}),
    ({"task": {"type": "DUMMY", "payload": {"deep": [[[[]]]] * 9}}}, {"task.payload.deep"}),
    ({"id": "x", "nextFireAt": None, "nope": 1}, {"id", "nextFireAt", "nope"}),
    (
        {"cron": 5, "misfire": {"maxRuns": 0}, "task": HTTP},
        {"cron", "misfire.maxRuns", "task.payload.url", "task.payload.nope"},
    ),
]
#: Expressions that cost much to read, or to find out that they never come.
COSTLY = [
    *({"cron": cron} for cron in ("*/0 * * * *", "0 0 30 2 *", "0 0 31 2,4,6 *", "9" * 5000 + " * * * *", "* " * 2500)),
    {"cron": ",".join(["0-59"] * 1000) + " * * * *"},
    {"cron": "59 59 23 31 11 *"},
    {"cron": "*" * 1_000_000},
    *({"cron": None, "rrule": "FREQ=" + rule} for rule in (
        "SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "MINUTELY;INTERVAL=9999;BYHOUR=3",
        "YEARLY;INTERVAL=9999;BYMONTH=2;BYMONTHDAY=29",
        f"SECONDLY;BYMINUTE={NUMBERS};BYSECOND={NUMBERS};BYMONTH=2;BYMONTHDAY=31",
        "DAILY;BYDAY=" + ",".join(["MO"] * 1600),
        "DAILY;UNTIL=20200101",
    )),
    {"timezone": "x" * 1_000_000},
    {"name": "x" * 1_000_000},
    {"description": "x" * 1_000_000},
]  # fmt: skip


def encoded(data: Any) -> bytes:
    return json.dumps(data).encode()


def spent(api: Api, path: str, body: bytes) -> float:
    return cpu_seconds(lambda: api.post(path, body), enough=LONGEST)


class TestCreate:
    @pytest.mark.parametrize(("more", "fields"), BAD, ids=range(len(BAD)))
    def test_names_every_field(self, api: Api, more: Any, fields: set[str]) -> None:
        assert fields_of(api.post("/schedules", GOOD | more)) == fields
        assert not Schedule.objects.exists()

    @pytest.mark.parametrize(("name", "message"), [("name", "is required"), ("task", "is required, or batch")])
    def test_names_what_is_missing(self, api: Api, name: str, message: str) -> None:
        body = {key: value for key, value in GOOD.items() if key != name}
        assert problem_of(api.post("/schedules", body), 400)["errors"] == [{"field": name, "message": message}]

    @pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"null", b'{"name":"a","name":"b"}', b'{"name":"\\u0000"}'])
    def test_takes_a_json_object_only(self, api: Api, body: bytes) -> None:
        problem_of(api.post("/schedules", body), 400)

    def test_repeats_no_long_text(self, api: Api) -> None:
        long = "x" * 100_000
        for more in ({long: 1}, {"timezone": long}, {"cron": long}, {"calendars": [long]}, {"overlap": long}):
            assert len(api.post("/schedules", GOOD | more).content) < 5000

    @pytest.mark.parametrize("more", COSTLY, ids=range(len(COSTLY)))
    def test_costs_milliseconds(self, api: Api, more: Any) -> None:
        body = encoded(GOOD | more)
        assert spent(api, "/schedules", body) < LONGEST
        [field] = fields_of(api.post("/schedules", body))
        assert field in more


class TestPatch:
    # Another kind of times, and a change of nothing in the task: a PATCH may ask for these.
    @pytest.mark.parametrize(
        ("more", "fields"), [bad for bad in BAD if bad[0] not in ({"intervalSeconds": 60}, {"task": {}})]
    )
    def test_names_every_field(self, api: Api, more: Any, fields: set[str]) -> None:
        path = f"/schedules/{api.post('/schedules', GOOD).json()['id']}"
        assert fields_of(api.patch(path, more)) == fields
        assert Schedule.objects.get().version == 1


class TestSimulate:
    LAST = "2030-01-02T00:00:00Z"
    WINDOW = {"from": "2030-01-01T00:00:00Z", "to": LAST}
    BOTH = ("outages[1].from", "outages[1].to")

    @pytest.mark.parametrize(("more", "fields"), BAD, ids=range(len(BAD)))
    def test_names_every_field_of_the_schedule(self, api: Api, more: Any, fields: set[str]) -> None:
        response = api.post("/schedules/simulate", {"schedule": GOOD | more, **self.WINDOW})
        assert fields_of(response) == {f"schedule.{name}" for name in fields}

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ([], {"body"}),
            ({}, {"schedule", "from", "to"}),
            ({"schedule": 5, **WINDOW}, {"schedule"}),
            ({"schedule": GOOD, **WINDOW, "nope": 1}, {"nope"}),
            ({"schedule": GOOD, "from": "x", "to": None}, {"from", "to"}),
            ({"schedule": GOOD, "from": WINDOW["to"], "to": WINDOW["from"]}, {"to"}),
            ({"schedule": GOOD, "from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, {"from", "to"}),
            ({"schedule": GOOD, **WINDOW, "outages": {}}, {"outages"}),
            ({"schedule": GOOD, **WINDOW, "outages": [1, {"from": 1}]}, {"outages[0]", *BOTH}),
            ({"schedule": GOOD, **WINDOW, "outages": [{"from": LAST, "to": LAST}]}, {"outages[0].to"}),
            ({"schedule": GOOD, **WINDOW, "outages": [{**WINDOW, "to": "9999-12-31T23:59:59Z"}]}, {"outages[0].to"}),
            ({"schedule": GOOD, **WINDOW, "outages": [{**WINDOW, "nope": 1}]}, {"outages[0].nope"}),
            ({"schedule": GOOD, **WINDOW, "outages": [WINDOW] * 101}, {"outages"}),
            ({"schedule": GOOD | {"cron": None, "intervalSeconds": 1}, **WINDOW}, {"to"}),
        ],
    )  # fmt: skip
    def test_names_every_field_of_the_window(self, api: Api, body: Any, fields: set[str]) -> None:
        assert fields_of(api.post("/schedules/simulate", body)) == fields

    @pytest.mark.parametrize("more", COSTLY, ids=range(len(COSTLY)))
    def test_costs_milliseconds(self, api: Api, more: Any) -> None:
        body = encoded({"schedule": GOOD | more, **self.WINDOW})
        assert spent(api, "/schedules/simulate", body) < LONGEST


class TestCalendar:
    GOOD = {"name": "holidays", "ranges": [{"dates": "12-24/12-26"}]}

    @pytest.mark.parametrize(
        ("more", "fields"),
        [
            ({"name": None}, {"name"}),
            ({"name": "a b"}, {"name"}),
            ({"description": []}, {"description"}),
            ({"description": "x" * 2001}, {"description"}),
            ({"timezone": "Nope"}, {"timezone"}),
            ({"onBlackout": "wait"}, {"onBlackout"}),
            ({"ranges": {}}, {"ranges"}),
            ({"ranges": []}, {"ranges"}),
            ({"ranges": [{"dates": "12-24"}] * 101}, {"ranges"}),
            ({"ranges": [1, {"dates": "13-01"}]}, {"ranges[0]", "ranges[1].dates"}),
            ({"ranges": [{"from": "22:00", "to": "06:00"}]}, {"ranges[0].from", "ranges[0].to"}),
            ({"ranges": [{"weekdays": ["sun"], "from": "25:00", "to": "6:00"}]}, {"ranges[0].from", "ranges[0].to"}),
            ({"ranges": [{"weekdays": [[]], "from": "22:00", "to": "06:00"}]}, {"ranges[0].weekdays"}),
            ({"version": 2, "nope": 1}, {"version", "nope"}),
        ],
    )
    def test_names_every_field(self, api: Api, more: Any, fields: set[str]) -> None:
        assert fields_of(api.post("/calendars", self.GOOD | more)) == fields
        assert not BlackoutCalendar.objects.exists()

    @pytest.mark.parametrize("name", ["name", "ranges"])
    def test_names_what_is_missing(self, api: Api, name: str) -> None:
        assert fields_of(api.post("/calendars", {k: v for k, v in self.GOOD.items() if k != name})) == {name}

    @pytest.mark.parametrize(
        "body", [b"{}", b"[]", b"null", b'{"name":"other"}', b'{"createdBy":"me"}', b'{"ranges":5}']
    )
    def test_a_bad_change_is_refused(self, api: Api, body: bytes) -> None:
        api.post("/calendars", self.GOOD)
        assert fields_of(api.patch("/calendars/holidays", body)) <= {"body", "name", "createdBy", "ranges"}
        assert BlackoutCalendar.objects.get().version == 1
