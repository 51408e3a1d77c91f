"""What HTTP payloads mean, which are refused by field, and what a redirect makes of a call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app.executors.base import PayloadError
from tasks_app.executors.http_payload import MAX_URL_BYTES, HttpCall, RedirectRefused

URL = "https://api.example/x"
TEXT = st.text("ahtp:/.@[]%0 \n\x00ü\ud800", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def parse(**payload: Any) -> HttpCall:
    return HttpCall.parse({"url": URL, **payload})


def problems(**payload: Any) -> dict[str, str]:
    with pytest.raises(PayloadError) as caught:
        parse(**payload)
    return caught.value.problems


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "http://a",
            "HTTPS://Example.COM:8443/a/b?c=d&e#f",
            "http://[::1]:80/",
            "http://127.1/",
            "http://2130706433/",
            "http://xn--mnchen-3ya.de/",
            "http://münchen.de/straße?q=ü",
            "http://a_b.internal/",
            "http://host.:80/",
            "http://a/" + "x" * (MAX_URL_BYTES - 9),
        ],
    )
    def test_takes_what_can_be_requested(self, url: str) -> None:
        assert HttpCall.parse({"url": url}).url == url

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            (None, "must be text"),
            (7, "must be text"),
            ("", "must begin with http"),
            ("api.example/x", "must begin with http"),
            ("//api.example/x", "must begin with http"),
            ("ftp://api.example/", "must begin with http"),
            ("file:///etc/passwd", "must begin with http"),
            ("http:", "must name a host"),
            ("http:///x", "must name a host"),
            ("http://:80/", "must name a host"),
            ("http://a:0/", "port 0"),
            ("http://a:65536/", "not a valid URL"),
            ("http://a:b/", "not a valid URL"),
            ("http://[::1/", "not a valid URL"),
            ("http://a..b/", "valid host"),
            ("http://*.a/", "valid host"),
            ("http://" + "x" * 64 + ".a/", "valid host"),
            ("http://user:secret@a/", "Authorization header"),
            ("http://@a/", "Authorization header"),
            ("http://a/\r\nX: y", "control characters"),
            ("http://a/x y", "%20"),
            (" http://a/", "%20"),
            ("http://a\\@b/", "backslashes"),
            ("http://a/\x00", "control characters"),
            ("http://a/\ud800", "control characters"),
            ("http://a/" + "x" * (MAX_URL_BYTES - 8), "longer than 8192 bytes"),
            ("http://a/" + "ü" * (MAX_URL_BYTES // 2), "longer than 8192 bytes"),
        ],
    )
    def test_refuses_the_rest_without_quoting_it(self, url: Any, words: str) -> None:
        found = problems(url=url)
        assert list(found) == ["url"]
        assert words in found["url"]
        assert "secret" not in found["url"]

    def test_is_required(self) -> None:
        with pytest.raises(PayloadError) as caught:
            HttpCall.parse({})
        assert caught.value.problems == {"url": "is required"}


class TestFields:
    def test_have_defaults(self) -> None:
        assert parse() == HttpCall(URL, "GET", {}, None, (range(200, 300),), follow_redirects=False)

    def test_unknown_ones_are_named_each(self) -> None:
        assert problems(timeout=3, verify=False) == {"timeout": "unknown field", "verify": "unknown field"}

    def test_all_bad_ones_are_named_at_once(self) -> None:
        found = problems(url=1, method=1, headers=1, expectedStatus="x", followRedirects=1)
        assert set(found) == {"url", "method", "headers", "expectedStatus", "followRedirects"}

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "patch", "Get"])
    def test_method_may_be_written_in_any_case(self, method: str) -> None:
        assert parse(method=method).method == method.upper()

    @pytest.mark.parametrize("method", [None, 1, "", "TRACE", "CONNECT", "GET ", "GE\nT", ["GET"]])
    def test_other_methods_are_refused(self, method: Any) -> None:
        assert "must be one of GET" in problems(method=method)["method"]

    @pytest.mark.parametrize("value", [None, 0, 1, "true", []])
    def test_follow_redirects_is_a_boolean(self, value: Any) -> None:
        assert problems(followRedirects=value) == {"followRedirects": "must be true or false"}

    @given(st.dictionaries(st.sampled_from(sorted({"url", "method", "headers", "body", "expectedStatus"})), JSON))
    def test_any_json_parses_or_is_refused(self, payload: dict[str, Any]) -> None:
        try:
            HttpCall.parse(payload)
        except PayloadError as error:
            assert error.problems


class TestHeaders:
    def test_keep_case_and_lose_outer_blanks(self) -> None:
        assert parse(headers={"X-aB": " v \t", "User-Agent": "me"}).headers == {"X-aB": "v", "User-Agent": "me"}

    @pytest.mark.parametrize("value", [None, [], "X: y", 3])
    def test_are_an_object(self, value: Any) -> None:
        assert "headers" in problems(headers=value)

    @pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä", "a\x00", "(x)"])
    def test_names_are_tokens(self, name: str) -> None:
        assert problems(headers={name: "v"}) == {f"headers.{name}": "is not a header name (RFC 9110)"}

    @pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\x00b", "a\x7fb", "\u20ac", "\U0001f600", "a\x85b"])
    def test_values_are_latin_1_without_control_characters(self, value: str) -> None:
        assert "Latin-1" in problems(headers={"X-A": value})["headers.X-A"]

    @pytest.mark.parametrize("value", [None, 1, True, ["a"]])
    def test_values_are_texts(self, value: Any) -> None:
        assert problems(headers={"X-A": value}) == {"headers.X-A": "must be text"}

    @pytest.mark.parametrize(
        "name",
        [
            *("Host", "Content-Length", "transfer-encoding", "Connection", "TE", "Upgrade", "Expect", "Keep-Alive"),
            *(
                "Content_Length",
                "TRANSFER_ENCODING",
                "keep_alive",
                "Proxy_Authorization",
                "HTTP2-Settings",
                "Content.Length",
            ),
        ],
    )
    def test_of_the_connection_are_refused(self, name: str) -> None:
        assert problems(headers={name: "v"}) == {f"headers.{name}": "is set by the connection itself"}

    @pytest.mark.parametrize(
        "name",
        [
            *("X-Task-Id", "x-task-attempt", "X-TASK-Whatever", "X-Correlation-ID", "X-Scheduled-For"),
            *("X_Task_Id", "x_task-ATTEMPT", "X-Correlation_ID", "x_scheduled_for"),
            *("X.Task.Id", "x!task~attempt", "X-Correlation.ID", "X|Scheduled|For"),
        ],
    )
    def test_of_the_task_are_refused(self, name: str) -> None:
        assert problems(headers={name: "v"}) == {f"headers.{name}": "is set from the task itself"}

    @pytest.mark.parametrize("name", [" X-Task-Id", "X-Task-Id ", "X-Task-Id:", "X-Task-Id\t", "X-Task\u2010Id"])
    def test_of_the_task_cannot_be_hidden_behind_other_characters(self, name: str) -> None:
        assert problems(headers={name: "v"}) == {f"headers.{name}": "is not a header name (RFC 9110)"}

    def test_may_not_come_twice(self) -> None:
        assert problems(headers={"X-A": "1", "x-a": "2"}) == {"headers.x-a": "is given twice in different spellings"}
        assert problems(headers={"X-A": "1", "X_A": "2"}) == {"headers.X_A": "is given twice in different spellings"}

    def test_may_set_the_idempotency_key_as_it_is_spelt(self) -> None:
        assert parse(headers={"idempotency-key": "order-17"}).headers == {"idempotency-key": "order-17"}
        assert "must be spelt" in problems(headers={"Idempotency_Key": "k"})["headers.Idempotency_Key"]

    def test_have_a_limit(self) -> None:
        assert problems(headers={f"X-{n}": "" for n in range(101)}) == {"headers": "must not be more than 100"}


class TestBody:
    @pytest.mark.parametrize(
        ("body", "sent", "content_type"),
        [
            ("", b"", "text/plain; charset=utf-8"),
            ("grüß", "grüß".encode(), "text/plain; charset=utf-8"),
            ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode(), "application/json"),
            ([], b"[]", "application/json"),
            (0, b"0", "application/json"),
            (False, b"false", "application/json"),
        ],
    )
    def test_is_text_or_json(self, body: Any, sent: bytes, content_type: str) -> None:
        call = parse(body=body)
        assert (call.body, call.headers) == (sent, {"Content-Type": content_type})

    def test_of_null_is_none(self) -> None:
        assert (parse(body=None).body, parse(body=None).headers) == (None, {})

    @pytest.mark.parametrize("name", ["Content-Type", "content-type"])
    def test_keeps_the_callers_content_type(self, name: str) -> None:
        assert parse(body={}, headers={name: "application/x"}).headers == {name: "application/x"}

    @pytest.mark.parametrize("body", ["\ud800", {"a": ["\udfff"]}, {"\ud800": 1}])
    def test_must_be_unicode(self, body: Any) -> None:
        assert "surrogate" in problems(body=body)["body"]


class TestExpectedStatus:
    @pytest.mark.parametrize(
        ("expected", "matches", "misses"),
        [
            (204, [204], [200, 205]),
            ([200, 404], [200, 404], [201, 403]),
            (["200-299"], [200, 299], [199, 300]),
            ([404, "500-502"], [404, 500, 502], [200, 503]),
            (["100-599"], [100, 599], [600]),
            (["200-200"], [200], [201]),
        ],
    )
    def test_is_a_number_or_a_list_with_ranges(self, expected: Any, matches: list[int], misses: list[int]) -> None:
        ranges = parse(expectedStatus=expected).expected
        assert all(any(status in item for item in ranges) for status in matches)
        assert not any(any(status in item for item in ranges) for status in misses)

    @pytest.mark.parametrize(
        ("expected", "field"),
        [
            (None, "expectedStatus"),
            ("200", "expectedStatus"),
            ("200-299", "expectedStatus"),
            (True, "expectedStatus"),
            (99, "expectedStatus"),
            (600, "expectedStatus"),
            (200.0, "expectedStatus"),
            ({}, "expectedStatus"),
            ([], "expectedStatus"),
            ([200, "2xx"], "expectedStatus.1"),
            (["200"], "expectedStatus.0"),
            (["299-200"], "expectedStatus.0"),
            (["200-600"], "expectedStatus.0"),
            (["200 - 299"], "expectedStatus.0"),
            ([200, False], "expectedStatus.1"),
            ([[200]], "expectedStatus.0"),
            (["٢٠٠-٢٩٩"], "expectedStatus.0"),
        ],
    )
    def test_other_shapes_are_refused(self, expected: Any, field: str) -> None:
        assert list(problems(expectedStatus=expected)) == [field]


class TestRedirected:
    @pytest.mark.parametrize(
        ("status", "method", "becomes"),
        [
            (301, "GET", "GET"),
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (302, "PUT", "PUT"),
            (303, "POST", "GET"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (307, "POST", "POST"),
            (308, "DELETE", "DELETE"),
        ],
    )
    def test_changes_the_method_as_browsers_do(self, status: int, method: str, becomes: str) -> None:
        call = parse(method=method, body={"a": 1}).redirected(status, "/y")
        assert call.method == becomes
        kept = becomes == method
        assert (call.body is not None) is kept
        assert ("Content-Type" in call.headers) is kept

    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("/y", "https://api.example/y"),
            ("y?z=1", "https://api.example/y?z=1"),
            ("?z", "https://api.example/x?z"),
            ("//other.example/y", "https://other.example/y"),
            ("https://other.example", "https://other.example"),
            ("/ä b", "https://api.example/%C3%A4%20b"),
        ],
    )
    def test_resolves_the_location(self, location: str, url: str) -> None:
        assert parse().redirected(302, location).url == url

    @pytest.mark.parametrize(
        ("location", "words"),
        [
            ("http://api.example/", "https down to http"),
            ("ftp://api.example/", "must begin with http"),
            ("file:///etc/passwd", "must begin with http"),
            ("javascript:alert(1)", "must begin with http"),
            ("https://user:secret@api.example/", "user name"),
            ("https://[::1", "not a valid URL"),
            ("https://a:99999/", "not a valid URL"),
            ("/" + "x" * 9000, "longer than"),
        ],
    )
    def test_is_refused_where_it_cannot_or_must_not_go(self, location: str, words: str) -> None:
        with pytest.raises(RedirectRefused, match=words) as caught:
            parse().redirected(302, location)
        assert "secret" not in str(caught.value)

    SECRETS = {"Authorization": "Bearer s", "Cookie": "s", "X-Api-Key": "s", "Accept": "text/html"}

    @pytest.mark.parametrize(
        ("source", "target", "kept"),
        [
            ("https://a.example/", "https://a.example/b", True),
            ("https://a.example/", "https://A.example:443/b", True),
            ("http://a.example/", "https://a.example/", True),
            ("http://a.example:8080/", "https://a.example/", False),
            ("http://a.example/", "https://a.example:8443/", False),
            ("https://a.example/", "https://a.example:444/", False),
            ("https://a.example/", "https://b.example/", False),
            ("https://a.example/", "https://sub.a.example/", False),
            ("http://a.example/", "http://a.example:81/", False),
        ],
    )
    def test_another_origin_gets_harmless_headers_only(self, source: str, target: str, kept: bool) -> None:
        call = HttpCall.parse({"url": source, "headers": self.SECRETS}).redirected(307, target)
        assert call.headers == (self.SECRETS if kept else {"Accept": "text/html"})
