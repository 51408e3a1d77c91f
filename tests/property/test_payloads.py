"""No input ends in a 5xx, whatever it is: random JSON, nearly good JSON and garbage, sent to every way in.

And what is accepted is kept: a payload that was answered 201 is read back as it was sent.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from access_app.http.parsers import parse_json
from access_app.http.problems import Problem
from tasks_app.api.filters import TaskFilters
from tests.factories import make_key, make_task
from tests.support.api import Api
from tests.support.scale import examples

# The database is rolled back once per test, not per example: examples must not depend on one another's rows.
RUNS = examples(80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

HEADERS = ["If_Match", "If_None_Match", "Authorization", "Accept", "Cookie", "Content_Encoding"]
HEADERS += ["X_Correlation_ID", "Idempotency_Key", "User_Agent", "X_Forwarded_For"]

text = st.text(st.characters(codec=None), max_size=20)  # lone surrogates and NUL included
numbers = st.integers() | st.floats() | st.integers(min_value=10**30, max_value=10**320)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=25,
)
instants = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | text
fields: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["DUMMY", "HTTP", "SHELL", "NOPE"]) | values,
    "payload": values
    | st.fixed_dictionaries({"url": st.just("http://127.0.0.1/"), "body": values})
    | st.fixed_dictionaries({"command": text, "environment": st.dictionaries(text, text, max_size=3)})
    | st.fixed_dictionaries({"sleepDurationMs": numbers}),
    "scheduleAt": instants | values,
    "maxRetries": st.integers(-1, 1001) | values,
    "queue": st.from_regex(r"[A-Za-z0-9._:-]{1,100}", fullmatch=True) | text | values,
    "priority": st.integers(-101, 101) | values,
    "timeoutMs": st.integers(0, 86_400_001) | values,
    "expiresAt": instants | values,
    "correlationId": text | values,
    "concurrencyKey": text | values,
    "retry": st.fixed_dictionaries({}, optional={"backoff": text, "baseDelayMs": numbers, "jitter": values}) | values,
    "onWorkerLost": st.sampled_from(["retry", "fail"]) | values,
}
optional = {name: strategy for name, strategy in fields.items() if name != "type"}
nearly_good = st.fixed_dictionaries({"type": fields["type"]}, optional=optional) | values


def encoded(value: Any) -> bytes:
    """As a client would send it that checks nothing: NaN, lone surrogates and all."""
    return json.dumps(value).encode()


@pytest.fixture
def api(db: None) -> Api:
    return Api(make_key())


class TestNoInputEndsInA5xx:
    @RUNS
    @given(body=nearly_good, key=st.none() | text)
    def test_create(self, api: Api, body: Any, key: str | None) -> None:
        headers = {} if key is None else {"Idempotency_Key": key.encode("utf-8", "replace").decode("latin-1")}
        response = api.post("/tasks", encoded(body), **headers)
        assert response.status_code in (200, 201, 400, 409)
        if response.status_code == 201:
            assert api.get(response["Location"]).json()["payload"] == body.get("payload", {})

    @RUNS
    @given(tasks=st.lists(nearly_good, max_size=5) | values)
    def test_create_many(self, api: Api, tasks: Any) -> None:
        assert api.post("/tasks/bulk", encoded({"tasks": tasks})).status_code in (201, 400)

    @RUNS
    @given(body=st.fixed_dictionaries({}, optional=fields) | values)
    def test_edit(self, api: Api, body: Any) -> None:
        assert api.patch(
            f"/tasks/{make_task(type='HTTP', payload={'url': 'http://h/'}).pk}", encoded(body)
        ).status_code in (200, 400)

    @RUNS
    @given(body=st.binary(max_size=200))
    def test_garbage(self, api: Api, body: bytes) -> None:
        for method, path in (("POST", "/tasks"), ("POST", "/tasks/bulk"), ("POST", "/queues/q/pause")):
            assert api.send(method, path, body).status_code in (200, 201, 400, 415)

    @RUNS
    @given(
        parameters=st.lists(
            st.tuples(
                st.sampled_from(sorted(TaskFilters.form_class().base_fields)) | text,
                instants | st.integers().map(str) | st.sampled_from(["PENDING", "createdAt,asc", "default"]),
            ),
            max_size=4,
        )
    )
    def test_list(self, api: Api, parameters: list[tuple[str, str]]) -> None:
        query = urlencode(parameters, errors="replace")
        assert api.get(f"/tasks?{query}").status_code in (200, 400)

    @RUNS
    @given(raw=st.binary(max_size=60))
    def test_raw_query_strings_and_paths(self, api: Api, raw: bytes) -> None:
        assert api.get(f"/tasks?{quote(raw)}").status_code in (200, 400)
        assert api.send("GET", "/tasks", environ={"QUERY_STRING": raw.decode("latin-1")}).status_code in (200, 400)
        assert api.get(f"/tasks/{quote(raw, safe='')}").status_code in (200, 404)
        assert api.post(f"/queues/{quote(raw, safe='')}/resume").status_code in (200, 404, 405)

    @RUNS
    @given(
        headers=st.dictionaries(
            st.sampled_from(HEADERS),
            st.text(st.characters(codec="latin-1"), max_size=40),
        )
    )
    def test_headers(self, api: Api, headers: dict[str, str]) -> None:
        path = f"/tasks/{make_task().pk}"
        assert api.get(path, **headers).status_code in (200, 304, 400, 401)
        assert api.patch(path, {"priority": 1}, **headers).status_code in (200, 400, 401, 412, 415)


class TestParseJson:
    @given(value=values)
    def test_reads_what_others_write_or_refuses_it(self, value: Any) -> None:
        try:
            read = parse_json(encoded(value))
        except Problem as refused:
            assert refused.status == 400
            assert not _is_clean(value)
        else:
            assert read == value
            assert _is_clean(value)

    @given(body=st.binary(max_size=300))
    def test_refuses_garbage_with_a_problem(self, body: bytes) -> None:
        try:
            parse_json(body)
        except Problem as refused:
            assert refused.status == 400


def _is_clean(value: Any) -> bool:
    """What PostgreSQL, JavaScript and Python all understand alike."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return abs(value) < float("inf")
    if isinstance(value, int):
        return len(str(value)) <= 308
    if isinstance(value, dict):
        return all(_is_clean(part) for pair in value.items() for part in pair)
    return all(_is_clean(item) for item in value) if isinstance(value, list) else True
