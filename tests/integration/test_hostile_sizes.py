"""What one request may cost, and how large its answer may be: proportional to what was sent, whatever was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_started
from django.db import close_old_connections
from django.test import Client

from access_app.http.parsers import MOST_BULK_VALUES, MOST_VALUES, parse_json
from access_app.http.problems import Problem
from tests.factories import make_task
from tests.support.api import Api, problem_of

pytestmark = pytest.mark.django_db

#: Seconds of processor time that a quarter of a mebibyte may take; what was quadratic took ten.
LONGEST = 2.0
DUMMY = b'{"type":"DUMMY"}'
LARGEST_ANSWER = 64 * 1024
SIZE = 256 * 1024


@contextmanager
def costs_little() -> Iterator[None]:
    began = time.thread_time()
    yield
    assert time.thread_time() - began < LONGEST


def served(api: Api, method: str, path: str, content_type: str) -> tuple[int, int]:
    """Status and size of a response of the WSGI application."""
    from scheduler_project.wsgi import application

    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "testserver"}
    environ |= {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(DUMMY)), "wsgi.input": BytesIO(DUMMY)}
    setup_testing_defaults(environ)
    environ["HTTP_AUTHORIZATION"] = f"Bearer {api.secret}"
    request_started.disconnect(close_old_connections)  # as the test client does: the test's transaction is on one
    try:
        response = application(environ, lambda *_: None)
    finally:
        request_started.connect(close_old_connections)
    return response.status_code, len(response.content)


def filled(form: str, separator: str = ",", size: int = SIZE) -> str:
    """Numbered copies of a text, up to a size."""
    return separator.join(form % n for n in range(size // (len(form % size) + len(separator))))


def task(kind: str, payload: str) -> str:
    return f'{{"type":"{kind}","payload":{payload}}}'


PAYLOAD = 130_000
BODIES = {
    "a name twice": "{" + filled('"k%d":0', size=SIZE - 20) + ',"z":0,"z":0}',
    "a name twice, deep down": '{"a":[{"b":{' + filled('"k%d":0', size=SIZE - 40) + ',"z":0,"z":0}}]}',
    "many names twice": '{"a":[' + ",".join(['{"z":0,"z":0}'] * (SIZE // 15)) + "]}",
    "unknown fields": "{" + filled('"k%d":0') + "}",
    "unknown fields of retry": '{"type":"DUMMY","retry":{' + filled('"k%d":0', size=SIZE - 40) + "}}",
    "unknown fields of DUMMY": task("DUMMY", "{" + filled('"k%d":0', size=PAYLOAD) + "}"),
    "unknown fields of HTTP": task("HTTP", "{" + filled('"k%d":0', size=PAYLOAD) + "}"),
    "unknown fields of SHELL": task("SHELL", "{" + filled('"k%d":0', size=PAYLOAD) + "}"),
    "headers": task("HTTP", '{"url":"http://h/","headers":{' + filled('"%d\u00e4":0', size=PAYLOAD) + "}}"),
    "statuses": task("HTTP", '{"url":"http://h/","expectedStatus":[' + filled("%d", size=PAYLOAD) + "]}"),
    "words": task("SHELL", '{"argv":[' + filled("%d", size=PAYLOAD) + "]}"),
    "variables": task("SHELL", '{"command":"x","environment":{' + filled('"K%d":0', size=PAYLOAD) + "}}"),
    "labels of a host": task("HTTP", '{"url":"http://' + "\u00fc." * 2_600 + '"}'),
    "escaped backslashes": task("HTTP", '{"url":"' + "\\\\" * (SIZE // 2 - 30) + '\\\\u0000"}'),
    "runs of backslashes": task("HTTP", '{"url":"' + "\\\\\\\\u0000" * (SIZE // 9 - 30) + '"}'),
    "surrogates": task("HTTP", '{"url":"http://h/","body":"' + "\\ud83d\\ude00" * (SIZE // 12 - 10) + '"}'),
    "a long number": '{"type":"DUMMY","priority":' + "9" * (SIZE - 40) + "}",
    "a long fraction": '{"type":"DUMMY","priority":0.' + "9" * (SIZE - 40) + "}",
    "a long exponent": '{"type":"DUMMY","priority":1e' + "9" * (SIZE - 40) + "}",
    "open brackets": "[" * SIZE,
    "nested lists": '{"type":"DUMMY","payload":[' + ",".join(["[" * 400 + "]" * 400] * (SIZE // 801)) + "]}",
    "wide lists": task("HTTP", '{"url":"http://h/","body":[' + ",".join(["[[[]]]"] * (PAYLOAD // 7)) + "]}"),
    "empty lines, then an error": "\n" * (SIZE - 1) + "x",
    "a long name": '{"' + "\x7f" * (SIZE // 2) + '":0}',
    "a long type": '{"type":"' + "a" * (SIZE - 20) + '"}',
    "a long time": '{"type":"DUMMY","scheduleAt":"' + "1" * (SIZE - 50) + '"}',
    "a long queue": '{"type":"DUMMY","queue":"' + "a" * (SIZE - 50) + '"}',
    "a long key": '{"type":"DUMMY","concurrencyKey":"' + "a" * (SIZE - 50) + '"}',
    "a long reason": '{"reason":"' + "a" * (SIZE - 50) + '"}',
    "ranges of a calendar": '{"name":"c","ranges":[' + filled("%d", size=SIZE - 50) + "]}",
    "calendars": '{"name":"s","task":{"type":"DUMMY"},"calendars":[' + filled('"%d"', size=SIZE - 100) + "]}",
    "outages": '{"schedule":{},"outages":[' + filled("%d", size=SIZE - 50) + "]}",
    "fields of a template": '{"name":"s","task":{' + filled('"k%d":0', size=SIZE - 50) + "}}",
}


def requests(name: str) -> Iterable[tuple[str, str]]:
    yield "POST", "/tasks"
    yield "PATCH", f"/tasks/{make_task().pk}"
    if name in ("unknown fields", "a long reason"):
        yield "POST", "/queues/q/pause"
        yield "POST", "/tasks/bulk"
    if name in ("unknown fields", "ranges of a calendar", "calendars", "outages", "fields of a template"):
        yield "POST", "/schedules"
        yield "POST", "/schedules/simulate"
        yield "POST", "/calendars"


class TestBodies:
    @pytest.mark.parametrize("name", BODIES)
    def test_cost_and_are_answered_in_proportion(self, api: Api, name: str) -> None:
        body = BODIES[name].encode()
        for method, path in requests(name):
            with costs_little():
                response = api.send(method, path, body, Idempotency_Key="k")
            assert response.status_code < 400 or len(response.content) < LARGEST_ANSWER, (method, path)


class TestValues:
    """Small ones take most: 32 MiB of empty lists held a web process for eleven seconds, and 950 MB."""

    @pytest.mark.parametrize("value", ["[]", "{}", "0", '""', '{"a":[]}'])
    @pytest.mark.parametrize(("path", "most"), [("/tasks", MOST_VALUES), ("/tasks/bulk", MOST_BULK_VALUES)])
    def test_are_so_many_at_most(self, api: Api, path: str, most: int, value: str) -> None:
        body = f'{{"tasks":[{value}{f",{value}" * most}]}}'[: settings.MAX_BODY - 2 if path == "/tasks" else None]
        with costs_little():
            response = api.send("POST", path, body.encode())
        detail = problem_of(response, 413)["detail"]
        assert detail == f"The body must not have more than {most} values."

    def test_are_not_in_texts(self) -> None:
        text = ",[{" * MOST_VALUES + '\\"'
        assert parse_json(json.dumps([text, text]).encode()) == [text, text]

    @pytest.mark.parametrize("end", [b"", b"\\", b'\\"', b'"'])
    def test_are_looked_for_once_in_a_text_without_an_end(self, end: bytes) -> None:
        with costs_little(), pytest.raises(Problem):
            parse_json(b'["' + b'\\",' * MOST_VALUES + end)


HEADERS = {
    "a quoted cookie": ("Cookie", 'sessionid="' + '\\"' * 32_000 + '"'),
    "many cookies": ("Cookie", "; ".join(f"a{n}=b" for n in range(9_000))),
    "a list of ETags": ("If-Match", ", ".join(['"1"'] * 16_000)),
    "a broken list of ETags": ("If-Match", '"1"' + " " * 64_000 + "x"),
    "blanks between ETags": ("If-None-Match", (" " * 300 + ",") * 200),
    "media types": ("Accept", ",".join(["a/b;q=0.1"] * 6_000)),
    "encodings": ("Accept-Encoding", ",".join(["gzip;q=0.1"] * 6_000)),
    "a key of blanks": ("Authorization", "Bearer" + " " * 64_000),
    "addresses": ("X-Forwarded-For", ",".join(["1.2.3.4"] * 8_000)),
    "a host": ("Host", "a." * 32_000),
    "an idempotency key": ("Idempotency-Key", "x" * 64_000),
    "a correlation id": ("X-Correlation-ID", "x" * 64_000),
}
QUERIES = {
    "one value often": "status=FAILED&" * 90_000,
    "names": "&".join(f"a{n}=" for n in range(90_000)),
    "ampersands": "&" * 1_000_000,
    "a long value": "queue=" + "a" * 1_000_000,
    "a long cursor": "cursor=.eJ" + "a." * 500_000,
    "a long time": "createdAfter=" + "1" * 1_000_000,
    "escapes": "queue=" + "%41" * 300_000,
    "words": "q=" + "a%20" * 300_000,
    "a long name": "a" * 1_000_000 + "=1",
    "the longest that is read": "q=" + "a+" * 4_000,
    "the most names": "&".join(f"a{n}=" for n in range(900)),
}
FORMS = {
    "fields": "&".join(f"f{n}=" for n in range(50_000)),
    "ampersands": "&" * SIZE,
    "escapes": "payload=" + "%41" * (SIZE // 3),
    "a long value": "username=" + "a" * SIZE,
}
#: Of a header that Django reads before there is a request.
TYPES = {
    "parameters": "application/json" + ";a=b" * 16_000,
    "quotes": 'application/x-www-form-urlencoded;a="' + '\\"' * 30_000,
    "an unknown encoding": "application/json; a*=nope''x",
    "a broken encoding": "application/json; a*=utf-8''%ff; b*='",
    "an unknown charset": "text/plain; charset=nope",
}
PAGES = ("tasks_app/task/add/", "schedules_app/schedule/add/", "schedules_app/blackoutcalendar/add/", "auth/user/add/")


class TestHeaders:
    @pytest.mark.parametrize("name", HEADERS)
    def test_cost_and_are_answered_in_proportion(self, api: Api, name: str) -> None:
        header, value = HEADERS[name]
        for method, path in (("GET", f"/tasks/{make_task().pk}"), ("POST", "/tasks"), ("GET", "/health/live")):
            with costs_little():
                response = api.send(method, path, DUMMY, **{header.replace("-", "_"): value})
            assert len(response.content) < LARGEST_ANSWER

    def test_name_the_one_that_is_too_long(self, api: Api) -> None:
        assert "Cookie" in problem_of(api.get("/tasks", Cookie="a=" + "b" * 9_000), 400)["detail"]
        assert "query string" in problem_of(api.get("/tasks?queue=" + "b" * 9_000), 400)["detail"]


class TestContentTypes:
    @pytest.mark.parametrize("name", TYPES)
    def test_cost_and_are_answered_in_proportion(self, api: Api, name: str) -> None:
        """By the application that servers run: the test client makes requests itself."""
        for method, path in (("GET", "/health/live"), ("POST", "/tasks"), ("POST", "/admin/login/")):
            with costs_little():
                status, size = served(api, method, path, TYPES[name])
            assert status == 200 if method == "GET" else 200 <= status < 500, (path, status)
            assert size < LARGEST_ANSWER


class TestQueries:
    @pytest.mark.parametrize("name", QUERIES)
    def test_cost_and_are_answered_in_proportion(self, api: Api, admin_client: Any, name: str) -> None:
        for path in ("/tasks", "/tasks/bulk"):
            with costs_little():
                response = api.send("POST" if "bulk" in path else "GET", f"{path}?{QUERIES[name]}")
            assert len(response.content) < LARGEST_ANSWER
        for path in ("tasks_app/task", "flow_app/queue"):
            with costs_little():
                admin_client.get(f"/admin/{path}/?{QUERIES[name]}")


class TestForms:
    @pytest.mark.parametrize("name", FORMS)
    def test_cost_in_proportion(self, client: Any, admin_client: Any, name: str) -> None:
        admin_client.raise_request_exception = False
        sent = {"content_type": "application/x-www-form-urlencoded"}
        with costs_little():
            client.post("/admin/login/", FORMS[name], **sent)
        for page in PAGES:
            with costs_little():
                assert admin_client.post(f"/admin/{page}", FORMS[name], **sent).status_code < 500

    @pytest.mark.parametrize("page", ["/admin/login/", "/tasks", "/nope"])
    def test_with_files_larger_than_two_mib_are_not_read(self, client: Client, page: str) -> None:
        """Django counts the size of fields, and puts files on the disk whatever their size."""
        file = SimpleUploadedFile("big", b"x" * settings.MAX_BODY)
        response = client.post(page, {"username": "a", "file": file})
        assert response.status_code == 413
        assert "2097152 bytes" in response.json()["detail"]

    def test_larger_than_two_mib_are_not_read(self, client: Any) -> None:
        client.raise_request_exception = False
        form = "username=" + "a" * settings.MAX_BODY
        response = client.post("/admin/login/", form, content_type="application/x-www-form-urlencoded")
        assert response.status_code == 413
