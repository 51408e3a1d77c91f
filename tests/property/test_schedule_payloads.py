"""No input about schedules and calendars ends in a 5xx, whatever it is; what is accepted can be shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules_app.api.filters import FireFilters, ScheduleFilters
from tests.factories import make_key
from tests.property.test_payloads import RUNS, encoded, instants, nearly_good, numbers, text, values
from tests.support.api import Api
from tests.support.schedules import make_schedule

CRON_FIELDS = ["*", "*/7", "0", "5,9-12", "59", "1-5/2", "L", "MON#2", "FRI", "JAN", "31", "2", "*/0", "60", "\u0663"]
RRULE_PARTS = ["INTERVAL=9999", "INTERVAL=2", "COUNT=3", "BYDAY=MO,-1FR", "BYDAY=53SU", "BYMONTHDAY=31", "BYMONTH=2,4"]
RRULE_PARTS += ["BYSETPOS=-1", "BYHOUR=0,23", "BYSECOND=59", "BYWEEKNO=53", "BYYEARDAY=366", "WKST=SU", "FREQ=DAILY"]
RRULE_PARTS += ["UNTIL=20990101T000000Z", "UNTIL=20990101"]

crons = st.lists(st.sampled_from(CRON_FIELDS), min_size=5, max_size=6).map(" ".join)
frequencies = st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
rrules = st.builds(
    lambda frequency, parts: ";".join([f"FREQ={frequency}", *parts]),
    frequencies,
    st.lists(st.sampled_from(RRULE_PARTS), max_size=3, unique_by=lambda part: part.partition("=")[0]),
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "Nope"])
choices: dict[str, st.SearchStrategy[Any]] = {
    "description": text | values,
    "enabled": st.booleans() | values,
    "cron": crons | text | values,
    "intervalSeconds": st.integers(0, 31_536_001) | values,
    "rrule": rrules | text | values,
    "timezone": zones | text | values,
    "startAt": instants | values,
    "endAt": instants | values,
    "jitterSeconds": st.integers(-1, 3601) | values,
    "misfire": st.fixed_dictionaries({}, optional={"policy": text, "maxRuns": numbers, "graceSeconds": numbers})
    | values,
    "overlap": st.sampled_from(["allow", "skip", "queue_one", "cancel_running"]) | values,
    "dst": st.fixed_dictionaries({}, optional={"gap": st.sampled_from(["skip", "x"]), "fold": text}) | values,
    "calendars": st.lists(text, max_size=3) | values,
    "task": st.just({"type": "DUMMY"}) | nearly_good,
}
#: Times that are often good, with one thing or two that seldom are.
times = st.fixed_dictionaries({"cron": crons}) | st.fixed_dictionaries({"rrule": rrules})
more = st.dictionaries(st.sampled_from(sorted(choices)), st.none(), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries({name: choices[name] for name in chosen})
)
schedules = st.builds(lambda one, other, zone: one | {"timezone": zone} | other, times, more, zones)
ranges = st.fixed_dictionaries(
    {},
    optional={
        "from": instants | st.sampled_from(["22:00", "6:00"]) | values,
        "to": instants | st.sampled_from(["06:00", "24:00"]) | values,
        "weekdays": st.lists(st.sampled_from(["mon", "sun", "x"]), max_size=3) | values,
        "dates": st.sampled_from(["12-24/01-02", "02-29", "13-01"]) | text | values,
    },
)
names = st.from_regex(r"[A-Za-z0-9._:-]{1,30}", fullmatch=True)


@pytest.fixture
def api(db: None) -> Api:
    return Api(make_key())


PARAMETERS = sorted({"count", *FireFilters.form_class().base_fields, *ScheduleFilters.form_class().base_fields})


class TestNoInputEndsInA5xx:
    @RUNS
    @given(name=names, schedule=schedules)
    def test_create(self, api: Api, name: str, schedule: Any) -> None:
        response = api.post("/schedules", encoded({"name": name, "task": {"type": "DUMMY"}, **schedule}))
        assert response.status_code in (201, 400)
        if response.status_code == 201:
            path, shown = response["Location"], response.json()
            assert shown.items() >= {key: shown[key] for key in ("cron", "rrule") if schedule.get(key)}.items()
            assert shown["explanation"]
            assert len(api.get(f"{path}/preview?count=3").json()["fires"]) <= 3
            for tail in ("", "/why", "/fires"):
                assert api.get(path + tail).status_code == 200
            assert api.delete(path).status_code == 204

    @RUNS
    @given(body=st.fixed_dictionaries({}, optional={"name": text, **choices}) | values)
    def test_create_anything(self, api: Api, body: Any) -> None:
        assert api.post("/schedules", encoded(body)).status_code in (201, 400, 409)

    @RUNS
    @given(body=more | values)
    def test_edit(self, api: Api, body: Any) -> None:
        assert api.patch(f"/schedules/{make_schedule().pk}", encoded(body)).status_code in (200, 400, 409)

    @RUNS
    @given(schedule=schedules | values, window=st.tuples(instants, instants), outages=st.lists(instants, max_size=4))
    def test_simulate(self, api: Api, schedule: Any, window: tuple[str, str], outages: list[str]) -> None:
        body = {
            "schedule": schedule,
            "from": window[0],
            "to": window[1],
            "outages": [{"from": one, "to": other} for one, other in zip(outages[::2], outages[1::2], strict=False)],
        }
        assert api.post("/schedules/simulate", encoded(body)).status_code in (200, 400)

    @RUNS
    @given(body=st.fixed_dictionaries({}, optional={"from": instants, "to": instants, "limit": numbers}) | values)
    def test_by_hand(self, api: Api, body: Any) -> None:
        schedule = make_schedule()
        assert api.post(f"/schedules/{schedule.pk}/backfill", encoded(body)).status_code in (200, 201, 400)
        for tail in ("pause", "resume", "trigger", "clone"):
            assert api.post(f"/schedules/{schedule.pk}/{tail}", encoded(body)).status_code in (200, 201, 400)

    @RUNS
    @given(name=names, ranges=st.lists(ranges, max_size=3) | values, more=st.dictionaries(text, values, max_size=1))
    def test_calendars(self, api: Api, name: str, ranges: Any, more: Any) -> None:
        response = api.post("/calendars", encoded({"name": name, "ranges": ranges, **more}))
        assert response.status_code in (201, 400)
        if response.status_code == 201:
            assert response.json()["ranges"] == ranges
            assert api.patch(f"/calendars/{name}", encoded({"timezone": "Pacific/Apia"})).status_code == 200
            body = {"schedule": {"cron": "0 * * * *", "calendars": [name]}, "from": "2030-01-01T00:00:00Z"}
            assert api.post("/schedules/simulate", body | {"to": "2030-01-02T00:00:00Z"}).status_code == 200
            assert api.delete(f"/calendars/{name}").status_code == 204

    @RUNS
    @given(
        parameters=st.lists(
            st.tuples(
                st.sampled_from(PARAMETERS) | text,
                instants | st.integers().map(str) | st.sampled_from(["MISSED", "slot,asc", "name", "true", ""]) | text,
            ),
            max_size=4,
        )
    )
    def test_query_strings(self, api: Api, parameters: list[tuple[str, str]]) -> None:
        path, query = f"/schedules/{make_schedule().pk}", urlencode(parameters, errors="replace")
        for asked in ("/schedules", f"{path}/fires", f"{path}/preview", "/calendars"):
            assert api.get(f"{asked}?{query}").status_code in (200, 400)
