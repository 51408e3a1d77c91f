"""What the web process makes of what clients send, byte by byte: framing, refusals, names of fields, connections.

By two servers: ours (``manage.py runweb`` and ``gunicorn scheduler_project.wsgi`` alike), and, for what must hold
behind any WSGI server, gunicorn's threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.web import Answer, Server, serving

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("ours"), METRICS_COLLECTION_ENABLED="false") as server:
        yield server


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("threads")
    with serving(folder, "--worker-class", "gthread", METRICS_COLLECTION_ENABLED="false") as server:
        yield server


@pytest.fixture(params=["ours", "threads"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


class TestRequests:
    def test_arrive_as_they_were_sent(self, ours: Server) -> None:
        answer = ours.exchange(
            b"PUT /a%20b/%C3%A9?q=%20&r HTTP/1.1\r\nHost: tasks.example.com\r\nContent-Type: text/x\r\nX-One: 1\r\n"
            b"Cookie: a=1\r\ncookie: b=2\r\nx-one: 2\r\nContent-Length: 5\r\n\r\nhello"
        )
        environ = answer.json["environ"]
        expected = {
            "REQUEST_METHOD": "PUT",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b/\u00c3\u00a9",
            "QUERY_STRING": "q=%20&r",
            "CONTENT_LENGTH": "5",
            "CONTENT_TYPE": "text/x",
            "HTTP_HOST": "tasks.example.com",
            "HTTP_COOKIE": "a=1; b=2",
            "HTTP_X_ONE": "1,2",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
        }
        assert environ | expected == environ
        assert answer.json["body"] == 5

    def test_in_chunks_arrive_whole_and_with_a_length(self, ours: Server) -> None:
        answer = ours.exchange(CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert (answer.json["body"], answer.json["environ"]["CONTENT_LENGTH"]) == (5, "5")
        assert "HTTP_TRANSFER_ENCODING" not in answer.json["environ"]

    def test_without_a_body_have_no_length(self, ours: Server) -> None:
        assert "CONTENT_LENGTH" not in ours.exchange(GET + b"\r\n").json["environ"]

    def test_may_name_the_whole_address(self, server: Server) -> None:
        environ = server.exchange(b"GET http://a.example:81/p?q HTTP/1.1\r\nHost: b.example\r\n\r\n").json["environ"]
        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/p", "q")

    def test_to_a_whole_address_are_for_the_host_in_it(self, ours: Server) -> None:
        environ = ours.exchange(b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n").json["environ"]
        assert environ["HTTP_HOST"] == "a.example"

    def test_of_http_1_0_are_answered_and_closed(self, server: Server) -> None:
        with server.connect() as wire:
            wire.send(b"GET / HTTP/1.0\r\n\r\n")
            assert wire.answer().status == 200
            assert wire.is_closed()

    def test_that_expect_it_are_told_to_go_on(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert wire.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.send(b"hi")
            assert wire.answer().json["body"] == 2

    def test_are_answered_in_order_when_they_come_at_once(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50)))
            paths = [wire.answer().json["environ"]["PATH_INFO"] for _ in range(50)]
        assert paths == [f"/{number}" for number in range(50)]

    def test_of_a_client_that_has_ended_its_side_are_answered(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(GET.replace(b"/ ", b"/sleep?s=0.3 ") + b"\r\n")
            wire.socket.shutdown(1)
            answer = wire.answer()
            assert (answer.status, wire.is_closed()) == (200, True)

    def test_for_a_websocket_are_requests_like_others(self, ours: Server) -> None:
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        answer = ours.exchange(GET + upgrade + b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
        assert answer.status == 200

    def test_that_fail_are_500_without_details(self, server: Server) -> None:
        answer = server.exchange(GET.replace(b"/ ", b"/fail ") + b"\r\n")
        assert answer.status == 500
        assert b"as asked" not in answer.body


class TestAnswers:
    @pytest.mark.parametrize("path", [b"/large", b"/file"])
    def test_are_whole_however_large(self, ours: Server, path: bytes) -> None:
        with ours.connect() as wire:
            for _ in range(2):
                wire.send(GET.replace(b"/ ", path + b" ") + b"\r\n")
                assert len(wire.answer().body) == 1024 * 1024

    def test_of_unknown_length_come_in_pieces(self, ours: Server) -> None:
        with ours.connect() as wire:
            for _ in range(2):
                wire.send(GET.replace(b"/ ", b"/stream?n=100 ") + b"\r\n")
                assert wire.answer().body == b"".join(b"%d\n" % number for number in range(100))

    def test_to_head_have_no_body(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(b"HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.answer(to_head=True).headers["content-length"] == str(1024 * 1024)
            wire.send(GET + b"\r\n")
            assert wire.answer().status == 200


class TestForgedFields:
    """Nothing a client names can be mistaken for what the server says itself."""

    OWN = (
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT",
        "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_USER", "AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE",
        "wsgi.url_scheme", "GATEWAY_INTERFACE", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO",
        "HTTP_X_FORWARDED_HOST",
    )  # fmt: skip

    @pytest.mark.parametrize("key", OWN)
    def test_change_no_key_of_the_environment(self, server: Server, key: str) -> None:
        for name in {key, key.title(), key.removeprefix("HTTP_"), key.lower(), f"HTTP_{key}"}:
            assert self._environ(server, f"{name}: forged\r\n") == self._environ(server, "")

    @pytest.mark.parametrize("name", ["Script-Name", "Path-Info", "Remote-Addr", "Server-Name", "Https"])
    def test_with_dashes_are_fields_of_their_own(self, server: Server, name: str) -> None:
        plain = self._environ(server, "")
        assert self._environ(server, f"{name}: forged\r\n") == plain | {
            f"HTTP_{name.upper().replace('-', '_')}": "forged"
        }

    @pytest.mark.parametrize(
        "line",
        ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl", "Forwarded: proto=https"],
    )
    def test_do_not_change_the_scheme(self, server: Server, line: str) -> None:
        assert self._environ(server, f"{line}\r\n")["wsgi.url_scheme"] == "http"

    @staticmethod
    def _environ(server: Server, line: str) -> dict[str, str]:
        answer = server.exchange(POST + b"Content-Length: 2\r\n" + line.encode() + b"\r\n{}")
        assert answer.status == 200, answer.body
        environ: dict[str, str] = answer.json["environ"]
        environ.pop("REMOTE_PORT", None)
        return environ


#: Requests that no two programs need understand alike. Each is followed by another that must not be answered.
AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "lengths in a list": POST + b"Content-Length: 2, 2\r\n\r\nab",
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a signed length": POST + b"Content-Length: +2\r\n\r\nab",
    "a negative length": POST + b"Content-Length: -2\r\n\r\nab",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\nab",
    "a length of no digits": POST + b"Content-Length: \r\n\r\n",
    "a length of 5000 digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nab",
    "a space before the colon": POST + b"Content-Length : 2\r\n\r\nab",
    "chunks twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a control character in the coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "folded lines": GET + b"X-A: 1\r\n  2\r\n\r\n",
    "a folded first line": GET + b" X-A: 1\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare line feed in a field": GET + b"X-A: 1\nX-B: 2\r\n\r\n",
    "a bare carriage return": GET + b"X-A: 1\rX-B: 2\r\n\r\n",
    "a NUL": GET + b"X-A: \x00\r\n\r\n",
    "no colon": GET + b"X-A\r\n\r\n",
    "an empty name": GET + b": a\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no path": b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
}
TOO_MUCH = {
    "a long first line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long field": GET + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "many fields": GET + b"X-A: a\r\n" * 2_000 + b"\r\n",
    "fields without an end": GET + b"X-A: a\r\n" * 50,
    "many long fields": GET + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8_000) for number in range(60)) + b"\r\n",
    "a first line without an end": b"GET /" + b"a" * 70_000,
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


class TestRefusals:
    @pytest.mark.parametrize("what", AMBIGUOUS)
    def test_of_what_can_be_read_in_two_ways(self, server: Server, what: str) -> None:
        assert self._refused(server, AMBIGUOUS[what]).status in (400, 501, 505)

    @pytest.mark.parametrize("what", TOO_MUCH)
    def test_of_what_is_too_much(self, ours: Server, what: str) -> None:
        request = TOO_MUCH[what] * 200 if what == "fields without an end" else TOO_MUCH[what]
        assert self._refused(ours, request).status in (400, 414, 431)

    def test_are_none_of_a_first_line_of_8_kib(self, ours: Server) -> None:
        query = "a" * 8_100
        answer = ours.exchange(b"GET /?%s HTTP/1.1\r\nHost: x\r\n\r\n" % query.encode())
        assert answer.json["environ"]["QUERY_STRING"] == query

    def test_are_problem_documents(self, ours: Server) -> None:
        answer = self._refused(ours, AMBIGUOUS["two lengths"])
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json | {"status": 400, "title": "Bad Request", "errors": []} == answer.json
        assert "Content-Length" in answer.json["detail"]

    def test_are_one_line_at_info(self, ours: Server) -> None:
        before = len(ours.logged("request_refused"))
        self._refused(ours, AMBIGUOUS["two hosts"])
        [line] = ours.logged("request_refused")[before:]
        assert "[info" in line
        assert "ip=127.0.0.1" in line

    @staticmethod
    def _refused(server: Server, request: bytes) -> Answer:
        """The answer to a request; what follows it on the connection is not answered."""
        with server.connect() as wire:
            wire.send(request)
            with contextlib.suppress(OSError):  # already closed
                wire.send(SMUGGLED)
            answer = wire.answer()
            assert wire.is_closed()
        return answer


#: Bodies in chunks that are none.
BROKEN_CHUNKS = {
    "no size": b"xyz\r\nabc\r\n0\r\n\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a signed size": b"+3\r\nabc\r\n0\r\n\r\n",
    "a size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a huge size": b"f" * 400 + b"\r\nabc\r\n0\r\n\r\n",
    "no line end behind the data": b"3\r\nabcdef\r\n0\r\n\r\n",
    "a bare line feed": b"3\nabc\n0\n\n",
    "a blank before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "an extension with a line feed": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a size of a terabyte": b"10000000000\r\nabc",
}


class TestBrokenChunks:
    @pytest.mark.parametrize("what", BROKEN_CHUNKS)
    def test_are_400_and_the_end_of_the_connection(self, ours: Server, what: str) -> None:
        with ours.connect() as wire:
            wire.send(CHUNKED + BROKEN_CHUNKS[what])
            wire.send(SMUGGLED)
            assert wire.answer().status == 400
            assert wire.is_closed()

    def test_that_end_early_are_no_request(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(CHUNKED + b"5\r\nab")
            wire.socket.shutdown(1)
            assert wire.is_closed()

    def test_that_are_very_many_and_small_are_400(self, ours: Server) -> None:
        with ours.connect() as wire:
            with contextlib.suppress(OSError):
                wire.send(POST + b"Authorization: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 60_000)
            assert wire.answer().status == 400


class TestUnreadBodies:
    """An answer given by the head alone, before a large body has come: the next one is given, or the end is said."""

    @pytest.mark.parametrize("credentials", [b"", b"Authorization: Bearer x\r\n", b"Cookie: a=b\r\n"])
    @pytest.mark.parametrize("size", [10, 100_000, 5_000_000, 40_000_000, 10**17])
    @pytest.mark.parametrize("path", [b"/unread", b"/"])
    def test_with_a_length(self, ours: Server, path: bytes, size: int, credentials: bytes) -> None:
        head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (path, credentials, size)
        self._next_request_is_no_surprise(ours, head, b"a" * min(size, 6_000_000))

    @pytest.mark.parametrize("chunks", [1, 100, 600])
    @pytest.mark.parametrize("path", [b"/unread", b"/"])
    def test_in_chunks(self, ours: Server, path: bytes, chunks: int) -> None:
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
        self._next_request_is_no_surprise(ours, head, b"2000\r\n" + b"a" * 0x2000 + b"\r\n" * chunks + b"0\r\n\r\n")

    @pytest.mark.parametrize(
        ("credentials", "read"), [(b"", 0), (b"Authorization: x\r\n", 70_000), (b"Cookie: a\r\n", 70_000)]
    )
    def test_are_large_ones_of_those_who_say_not_who_they_are(
        self, ours: Server, credentials: bytes, read: int
    ) -> None:
        with ours.connect() as wire:
            wire.send(POST + credentials + b"Content-Length: 70000\r\n\r\n")
            with contextlib.suppress(OSError):
                wire.send(b"a" * 70_000)
            answer = wire.answer()
        assert (answer.json["body"], answer.json["environ"]["CONTENT_LENGTH"]) == (read, "70000")

    def test_may_still_come_for_a_while_after_the_answer(self, ours: Server) -> None:
        """A reset would take the answer from a client that is still sending (RFC 9112, 9.6)."""
        with ours.connect() as wire:
            wire.send(POST.replace(b"/ ", b"/unread ") + b"Content-Length: 5000000\r\n\r\n" + b"a" * 100_000)
            assert wire.answer().closes
            for _ in range(10):
                wire.send(b"a" * 100_000)
                assert wire.socket.recv(1) == b""

    def test_are_not_asked_for(self, ours: Server) -> None:
        with ours.connect() as wire:
            wire.send(POST.replace(b"/ ", b"/unread ") + b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
            assert wire.socket.recv(12) == b"HTTP/1.1 401"

    @staticmethod
    def _next_request_is_no_surprise(server: Server, head: bytes, body: bytes) -> None:
        with server.connect() as wire:
            wire.send(head)
            try:
                wire.send(body)
                wire.send(GET + b"\r\n")
            except OSError:
                pass
            answer = wire.answer()
            if answer.closes:
                assert wire.is_closed()
            else:
                assert wire.answer().json["environ"]["REQUEST_METHOD"] == "GET"


def test_the_log_holds_no_traceback(ours: Server) -> None:
    """Run last by its place: whatever was sent above was refused, not stumbled over."""
    lines = [*ours.logged("Traceback"), *ours.logged("[critical"), *ours.logged("Fatal error")]
    assert len(lines) == len(ours.logged("RuntimeError: as asked"))
