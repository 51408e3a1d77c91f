"""Errors and correlation ids: every one of them a problem document, none of them telling what is inside."""

from __future__ import annotations

import io
import json
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DataError, InterfaceError, OperationalError
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, NoMoreData

from access_app.http import authentication
from tasks_app import selectors, services
from tasks_app.models import Task
from tests.factories import make_key, make_task
from tests.support.api import Api, problem_of

DUMMY = b'{"type":"DUMMY"}'


class TestMalformedBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"{",
            b"{}{}",
            b"{'type':'DUMMY'}",
            b'{"type":"DUMMY",}',
            b'{"type":"DUMMY","type":"DUMMY"}',
            b'{"type":"DUMMY","payload":{"a":1,"a":2}}',
            b'{"type":"DUMMY","priority":NaN}',
            b'{"type":"DUMMY","priority":Infinity}',
            b'{"type":"DUMMY","priority":-Infinity}',
            b'{"type":"DUMMY","priority":1e400}',
            b'{"type":"DUMMY","priority":1e999999999999}',
            b'{"type":"DUMMY","priority":' + b"9" * 5000 + b"}",
            b'{"type":"DUMMY","priority":-' + b"9" * 400 + b"}",
            b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":"\\u0000"}}',
            b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":{"\\u0000":1}}}',
            b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":"a\\\\\\u0000"}}',
            b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":"\\ud800"}}',
            b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":"\\uDFFFx"}}',
            b'{"\\ud800":1}',
            b'{"type":"DUMMY\x00"}',
            b'{"type":"\xff"}',
            b'{"type":"\xed\xa0\x80"}',
            b'\xef\xbb\xbf{"type":"DUMMY"}',
            '{"type":"DUMMY"}'.encode("utf-16"),
            b"[" * 100_000,
            b"[" * 5_000 + b"]" * 5_000,
            b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
            b'{"type":"HTTP","payload":' + b"[" * 900 + b"]" * 900 + b"}",
        ],
    )
    def test_are_400(self, api: Api, body: bytes) -> None:
        media_type = {"CONTENT_TYPE": "application/json"}  # the test client names none when there is no body
        problem_of(api.send("POST", "/tasks", body, environ=media_type), 400)
        problem_of(api.send("POST", "/tasks", body, environ=media_type, Idempotency_Key="k"), 400)
        problem_of(api.send("POST", "/tasks/bulk", body, environ=media_type), 400)
        problem_of(api.post("/tasks/bulk", b'{"tasks":[' + body + b"]}", Idempotency_Key="k"), 400)
        problem_of(api.send("PATCH", f"/tasks/{make_task().pk}", body, environ=media_type), 400)
        assert Task.objects.count() == 1

    def test_an_escaped_backslash_before_u0000_is_no_nul(self, api: Api) -> None:
        body = b'{"type":"HTTP","payload":{"url":"http://127.0.0.1/","body":"\\\\u0000 \\ud83d\\ude00"}}'
        created = api.post("/tasks", body)
        assert created.json()["payload"]["body"] == "\\u0000 \N{GRINNING FACE}"


class TestMediaTypes:
    @pytest.mark.parametrize(
        "media_type",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ""],
    )
    def test_other_than_json_are_415(self, api: Api, media_type: str) -> None:
        problem_of(api.post("/tasks", DUMMY, Content_Type=media_type), 415)

    @pytest.mark.parametrize("media_type", ["application/json; charset=latin-1", 'Application/JSON;charset="utf-16"'])
    def test_other_encodings_than_utf_8_are_415(self, api: Api, media_type: str) -> None:
        problem_of(api.post("/tasks", DUMMY, Content_Type=media_type), 415)

    @pytest.mark.parametrize("media_type", ["Application/JSON", 'application/json ; Charset="UTF-8"'])
    def test_json_may_be_spelt_in_many_ways(self, api: Api, media_type: str) -> None:
        assert api.post("/tasks", DUMMY, Content_Type=media_type).status_code == 201

    def test_compressed_bodies_are_415(self, api: Api) -> None:
        problem_of(api.post("/tasks", DUMMY, Content_Encoding="gzip"), 415)
        assert api.post("/tasks", DUMMY, Content_Encoding="identity").status_code == 201

    @pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=1", "*/*", "nonsense;;;", ""])
    def test_json_is_answered_whatever_is_accepted(self, api: Api, accept: str) -> None:
        assert api.get("/tasks", Accept=accept)["Content-Type"] == "application/json"


class TestBodySizes:
    def test_a_body_above_two_mib_is_413(self, api: Api) -> None:
        limit = settings.MAX_BODY
        assert api.post("/tasks", DUMMY.ljust(limit)).status_code == 201
        for method, path in [("POST", "/tasks"), ("PATCH", f"/tasks/{make_task().pk}"), ("POST", "/queues/q/pause")]:
            problem_of(api.send(method, path, DUMMY.ljust(limit + 1)), 413)

    def test_a_body_without_a_length_is_read_up_to_the_limit(self, api: Api) -> None:
        assert self._chunked(api, DUMMY).status_code == 201
        problem_of(self._chunked(api, DUMMY.ljust(settings.MAX_BODY + 1)), 413)
        problem_of(self._chunked(api, b""), 400)

    def test_a_body_without_a_length_is_411_where_the_server_does_not_end_it(self, api: Api) -> None:
        problem_of(self._chunked(api, DUMMY, terminated=False), 411)

    @pytest.mark.parametrize("length", ["x", "-1", "1e3", "\u0661", "99999999999999999999"])
    def test_a_length_that_is_none_is_refused(self, api: Api, length: str) -> None:
        response = api.send("POST", "/tasks", DUMMY, environ={"CONTENT_LENGTH": length})
        assert response.status_code in (400, 413)

    def test_a_body_that_ends_early_is_400(self, api: Api) -> None:
        class Broken(io.BytesIO):
            def read(self, *args: Any) -> bytes:
                raise OSError("connection reset")

        environ = {"wsgi.input": Broken(), "CONTENT_LENGTH": "16"}
        problem_of(api.send("POST", "/tasks", DUMMY, environ=environ), 400)

    @pytest.mark.parametrize(
        "error", [InvalidChunkSize(b"x"), ChunkMissingTerminator(b"x"), NoMoreData(), ValueError("x"), OSError("x")]
    )
    def test_chunks_that_are_none_are_400(self, api: Api, error: Exception) -> None:
        class Broken(io.BytesIO):
            def read(self, *args: Any) -> bytes:
                raise error

        environ = {
            "wsgi.input": Broken(),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "",
        }
        problem_of(api.send("POST", "/tasks", DUMMY, environ=environ), 400)

    def _chunked(self, api: Api, body: bytes, *, terminated: bool = True) -> Any:
        environ = {
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": terminated,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "",
        }
        return api.send("POST", "/tasks", DUMMY, environ=environ)


class TestHostileRequests:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Cookie": 'sessionid="\\000\\000\\000\\000\\000\\000\\000\\000\\000"'},
            {"Cookie": "sessionid=" + "\xff" * 40 + "; csrftoken=\x01"},
            {"Cookie": "=;;;=x; sessionid"},
            {"X-Correlation-ID": "\xff\xfe"},
            {"Host": "evil.example"},
            {"Host": "a b"},
            {"Idempotency-Key": "\xff"},
            {"If-Match": "\x00"},
            {"If-None-Match": '"' + "9" * 5000 + '"'},
            {"Authorization": "Bearer \xff\xfe"},
            {"Accept": "\xff"},
            {"Accept-Language": "x" * 5000},
            {"X-Forwarded-For": "\xff, x, 1.2.3.4"},
            {"User-Agent": "\x1b[31m\xff"},
        ],
    )
    def test_never_end_in_a_5xx(self, api: Api, headers: dict[str, str]) -> None:
        path = f"/tasks/{make_task().pk}"
        for method, body in (("GET", None), ("PATCH", {"priority": 1}), ("DELETE", None)):
            api.send(method, path, body, **headers)
        Api(None).send("POST", "/tasks", DUMMY, **headers)

    @pytest.mark.parametrize("path", ["/tasks/%00", "/%ff", "/tasks/%ED%A0%80", "/%00/", "/tasks//", "/" + "a/" * 4000])
    def test_odd_paths_do_not_exist(self, api: Api, path: str) -> None:
        problem_of(api.get(path), 404)

    def test_a_foreign_host_is_400(self, api: Api) -> None:
        problem_of(api.get("/tasks", Host="evil.example"), 400)

    def test_an_admin_page_that_does_not_exist_is_no_problem_document(self, admin_client: Any) -> None:
        response = admin_client.get("/admin/nope/")
        assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert response["X-Correlation-ID"]


class TestDefects:
    def test_are_500_without_internals(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> None:
            raise RuntimeError("internal-secret")

        monkeypatch.setattr(selectors, "timeline", fail)
        response = Api(make_key(), allow_5xx=True).get(f"/tasks/{make_task().pk}/events")
        problem_of(response, 500)
        assert b"secret" not in response.content

    @pytest.mark.parametrize(
        "error", [OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError]
    )
    def test_a_database_that_is_away_is_503_with_retry_after(
        self, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        def fail(secret: str, **_: object) -> None:
            raise error("connection to server at 10.1.2.3 failed")

        monkeypatch.setattr(authentication, "find_key", fail)
        for path in ("/tasks", "/nope", "/docs"):
            response = Api("ts_x", allow_5xx=True).get(path)
            problem_of(response, 503)
            assert response["Retry-After"] == "5"
            assert b"10.1.2.3" not in response.content

    def test_a_value_the_database_refuses_is_400(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise DataError("unsupported Unicode escape sequence")

        monkeypatch.setattr(services, "create_task", fail)
        problem_of(api.post("/tasks", DUMMY), 400)


class TestCorrelationId:
    @pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 128])
    def test_is_echoed_and_stored_on_the_task(self, api: Api, sent: str) -> None:
        response = api.post("/tasks", DUMMY, X_Correlation_ID=sent)
        assert response["X-Correlation-ID"] == sent
        assert response.json()["correlationId"] == sent

    @pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "ä", "a\n", "a,b", "<script>"])
    def test_is_replaced_when_it_is_not_acceptable(self, api: Api, sent: str) -> None:
        response = api.post("/tasks", DUMMY, X_Correlation_ID=sent)
        assert response["X-Correlation-ID"] not in ("", sent)
        assert response.json()["correlationId"] == response["X-Correlation-ID"]

    def test_is_made_up_when_absent_and_differs_each_time(self, api: Api) -> None:
        assert len({api.get("/tasks")["X-Correlation-ID"] for _ in range(3)}) == 3

    def test_of_the_body_wins_for_the_task(self, api: Api) -> None:
        response = api.post("/tasks", {"type": "DUMMY", "correlationId": "of-the-body"}, X_Correlation_ID="of-the-call")
        assert response["X-Correlation-ID"] == "of-the-call"
        assert response.json()["correlationId"] == "of-the-body"

    def test_is_the_same_for_all_tasks_of_a_bulk_call(self, api: Api) -> None:
        api.post("/tasks/bulk", {"tasks": [{"type": "DUMMY"}] * 3}, X_Correlation_ID="bulk-1")
        assert set(Task.objects.values_list("correlation_id", flat=True)) == {"bulk-1"}

    @pytest.mark.parametrize("path", ["/", "/tasks", "/nope", "/admin/", "/admin/login/", "/docs", "/tasks?a=%00"])
    def test_is_on_every_answer(self, anonymous: Api, path: str) -> None:
        assert anonymous.get(path, X_Correlation_ID="mine")["X-Correlation-ID"] == "mine"

    def test_is_written_with_every_log_line(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        api.get("/tasks", X_Correlation_ID="in-the-log")
        lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        assert lines
        assert {line["correlation_id"] for line in lines} == {"in-the-log"}
        assert "in-the-log" in json.dumps(lines, default=str)


class TestDatabaseAwayFromAPage:
    def test_is_503_for_a_browser_too(self, admin_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("connection to server at 10.1.2.3 failed")

        monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
        admin_client.raise_request_exception = False
        response = admin_client.get("/admin/")
        assert (response.status_code, response["Retry-After"]) == (503, "5")
        assert response["Content-Type"].startswith("text/html")
        assert b"10.1.2.3" not in response.content
