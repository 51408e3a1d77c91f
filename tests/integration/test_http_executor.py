"""HTTP tasks against peers on loopback that answer well, badly, slowly, endlessly or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import logging
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import wait_for_write

from tasks_app.executors.base import Outcome, PayloadError, StopReason
from tasks_app.executors.egress import AddressInfo
from tasks_app.executors.http import MAX_REDIRECTS, HttpExecutor
from tasks_app.executors.http_failures import Phase
from tasks_app.executors.http_reply import MAX_BODY, Reply
from tasks_app.executors.lifeline import Lifeline
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.http_attempts import (
    LOOPBACK,
    TASK,
    assert_body,
    attempt,
    names,
    no_dns,
    run,
    trusting_the_test_ca,
)
from tests.support.peers import TLS, Peer, Received, closed_port, deaf_listener, response, says


class TestRequest:
    def test_carries_the_callers_and_the_tasks_data(self) -> None:
        with Peer(says(response(200, b"fine", x_a="1"))) as peer:
            outcome = run(peer.url("/p%20q?a=b#c"), method="put", headers={"X-Mine": "m"}, body={"ü": 1})
        (got,) = peer.requests
        assert (got.method, got.target, got.body) == ("PUT", "/p%20q?a=b", '{"ü":1}'.encode())
        assert got.headers == {
            "host": f"127.0.0.1:{peer.port}",
            "content-length": "8",
            "user-agent": "task-scheduler/1",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
            "content-type": "application/json",
            "x-mine": "m",
            "x-task-id": str(TASK),
            "x-task-attempt": "1",
            "idempotency-key": str(TASK),
            "x-correlation-id": "corr-1",
        }
        assert outcome.status is ExecutionStatus.SUCCESS
        assert outcome.result is not None
        duration = outcome.result.pop("durationMs")
        assert 0 <= duration < 5000
        assert outcome.result == {
            "statusCode": 200,
            "headers": {"Content-Length": "4", "X-A": "1"},
            "body": "fine",
            "bodyTruncated": False,
        }

    def test_lets_the_caller_set_what_is_not_the_tasks(self) -> None:
        mine = {
            "user-agent": "me",
            "content-type": "a/b",
            "accept": "c/d",
            "accept-encoding": "gzip",
            "idempotency-key": "k",
        }
        with Peer(says(response())) as peer:
            run(peer.url(), method="POST", headers=mine, body="x")
        assert mine.items() <= peer.requests[0].headers.items()

    @pytest.mark.parametrize(("method", "length"), [("GET", None), ("POST", "0"), ("DELETE", "0")])
    def test_without_body_says_so_where_one_is_usual(self, method: str, length: str | None) -> None:
        with Peer(says(response())) as peer:
            assert run(peer.url(), method=method).status is ExecutionStatus.SUCCESS
        assert peer.requests[0].headers.get("content-length") == length

    def test_takes_nothing_from_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login user password secret")
        monkeypatch.setenv("NETRC", str(netrc))
        with closed_port() as nowhere, Peer(says(response())) as peer:
            for name in ("http_proxy", "all_proxy", "no_proxy"):
                monkeypatch.delenv(name.upper(), raising=False)
                monkeypatch.setenv(name, "" if name == "no_proxy" else f"http://127.0.0.1:{nowhere}")
            assert run(peer.url()).status is ExecutionStatus.SUCCESS
        assert peer.requests[0].target == "/"  # a proxy would get the whole URL
        assert "authorization" not in peer.requests[0].headers

    def test_reaches_ipv6(self) -> None:
        try:
            peer = Peer(says(response(200, b"six")), host="::1")
        except OSError:
            pytest.skip("this machine has no IPv6")
        with peer:
            assert_body(run(peer.url(host="[::1]")), "six", truncated=False)
        assert peer.requests[0].headers["host"] == f"[::1]:{peer.port}"

    def test_carries_no_cookies_to_the_next_hop_or_task(self) -> None:
        def answer(_: Peer, connection: socket.socket, got: Received) -> None:
            hop = got.target == "/"
            extra = {"location": "/y"} if hop else {}
            connection.sendall(response(302 if hop else 200, b"", set_cookie="session=secret", **extra))

        with Peer(answer) as peer:
            executor = HttpExecutor(LOOPBACK, resolver=no_dns)
            outcomes = [run(peer.url(), executor=executor, followRedirects=True) for _ in range(2)]
        assert len(peer.requests) == 4
        assert not any("cookie" in got.headers for got in peer.requests)
        assert "secret" not in str(outcomes)


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "expected", "success", "retryable"),
        [
            (200, None, True, False),
            (299, None, True, False),
            (301, None, False, False),
            (400, None, False, False),
            (404, None, False, False),
            (408, None, False, True),
            (425, None, False, True),
            (429, None, False, True),
            (500, None, False, True),
            (503, None, False, True),
            (599, None, False, True),
            (600, None, False, False),
            (200, 204, False, False),
            (404, [200, 404], True, False),
            (503, ["500-503"], True, False),
            (504, ["500-503"], False, True),
            (302, ["300-399"], True, False),
        ],
    )
    def test_decides(self, status: int, expected: Any, success: bool, retryable: bool) -> None:
        with Peer(says(response(status, b"text"))) as peer:
            payload = {} if expected is None else {"expectedStatus": expected}
            outcome = run(peer.url(), **payload)
        assert outcome.result is not None
        assert (outcome.result["statusCode"], outcome.result["body"]) == (status, "text")
        assert outcome.status is (ExecutionStatus.SUCCESS if success else ExecutionStatus.FAILED)
        assert outcome.error_code == (None if success else ErrorCode.HTTP_STATUS)
        assert outcome.retryable is retryable

    def test_is_told_in_the_standards_words(self) -> None:
        with Peer(says(response(503))) as peer:
            assert run(peer.url()).error_message == "answered 503 Service Unavailable"

    @pytest.mark.parametrize("status", [429, 503])
    def test_comes_with_retry_after_in_seconds(self, status: int) -> None:
        with Peer(says(response(status, retry_after="3"))) as peer:
            assert run(peer.url()).retry_after == timedelta(seconds=3)

    @pytest.mark.parametrize(
        ("status", "value", "busy"),
        [(429, "3", "127.0.0.1"), (503, "3", "127.0.0.1"), (500, "3", None), (429, None, None), (503, "soon", None)],
    )
    def test_speaks_for_all_who_call_the_host(self, status: int, value: str | None, busy: str | None) -> None:
        headers = {} if value is None else {"retry_after": value}
        with Peer(says(response(status, **headers))) as peer:
            assert run(peer.url()).busy_target == busy

    def test_comes_with_retry_after_as_a_date(self) -> None:
        with Peer(says(response(503, retry_after=formatdate(time.time() + 60, usegmt=True)))) as peer:
            delay = run(peer.url()).retry_after
        assert delay is not None
        assert timedelta(seconds=50) < delay <= timedelta(seconds=60)

    @pytest.mark.parametrize(("status", "value"), [(404, "3"), (503, "-3"), (503, "soon")])
    def test_ignores_retry_after_where_it_means_nothing(self, status: int, value: str) -> None:
        with Peer(says(response(status, retry_after=value))) as peer:
            assert run(peer.url()).retry_after is None

    def test_fails_twice_then_succeeds_with_one_idempotency_key(self) -> None:
        def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
            connection.sendall(response(503 if len(peer.requests) < 3 else 200))

        with Peer(answer) as peer:
            executor = HttpExecutor(LOOPBACK, resolver=no_dns)
            outcomes = [executor.execute(attempt({"url": peer.url()}, number=number)) for number in (1, 2, 3)]
        assert [outcome.status for outcome in outcomes] == [ExecutionStatus.FAILED] * 2 + [ExecutionStatus.SUCCESS]
        assert [got.headers["x-task-attempt"] for got in peer.requests] == ["1", "2", "3"]
        assert {got.headers["idempotency-key"] for got in peer.requests} == {str(TASK)}


class TestBody:
    def test_is_made_storable(self) -> None:
        with Peer(says(response(200, b"a\x00b\xffc"))) as peer:
            assert_body(run(peer.url()), "a\ufffdb\ufffdc", truncated=False)

    @pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY, False), (MAX_BODY + 1, True)])
    def test_is_capped(self, size: int, truncated: bool) -> None:
        with Peer(says(response(200, b"x" * size))) as peer:
            assert_body(run(peer.url()), "x" * MAX_BODY, truncated=truncated)

    def test_that_was_compressed_is_inflated(self) -> None:
        with Peer(says(response(200, gzip.compress(b"hello"), content_encoding="gzip"))) as peer:
            assert_body(run(peer.url(), headers={"Accept-Encoding": "gzip"}), "hello", truncated=False)


def gzip_of_zeros(megabytes: int) -> bytes:
    """A thousandth of the size it inflates to; whole blocks may be repeated, so it is quick to make."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (megabytes - 1)


class TestMemory:
    """Invariant 31: a response costs at most 64 MiB. Measured, it is far below one."""

    LIMIT = 4 * 1024 * 1024

    def peak(self, answer: Callable[[Peer, socket.socket, Received], None], **payload: Any) -> tuple[Outcome, int]:
        with Peer(answer) as peer:
            run(peer.url())  # imports and caches
            tracemalloc.start()
            try:
                outcome = run(peer.url(), **payload)
                return outcome, tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    @pytest.mark.parametrize("megabytes", [600])
    def test_is_bounded_for_a_bomb(self, megabytes: int) -> None:
        bomb = response(200, gzip_of_zeros(megabytes), content_encoding="gzip")
        assert len(bomb) < 1_000_000
        outcome, peak = self.peak(says(bomb))
        assert peak < self.LIMIT
        assert outcome.result is not None
        assert outcome.result["bodyTruncated"] is True

    def test_and_time_are_bounded_for_a_bomb_in_a_bomb(self) -> None:
        """The inner one ends at once; what the outer one makes of the rest is nothing for anybody."""
        outer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = outer.compress(zlib.compress(b"")) + b"".join(outer.compress(bytes(10_000_000)) for _ in range(10))
        began = time.thread_time()
        outcome, peak = self.peak(says(response(200, bomb + outer.flush(), content_encoding="deflate, gzip")))
        assert peak < self.LIMIT
        assert time.thread_time() - began < 0.15  # 100 MB take twice as long
        assert outcome.result is not None
        assert outcome.result["bodyTruncated"] is True

    @pytest.mark.parametrize("follow", [False, True])
    def test_is_bounded_for_the_body_of_a_redirect(self, follow: bool) -> None:
        """`Session.send` reads it whole, even when told not to follow."""
        bomb = response(302, gzip_of_zeros(600), content_encoding="gzip", location="/")
        _, peak = self.peak(says(bomb), followRedirects=follow)
        assert peak < self.LIMIT

    def test_is_bounded_for_a_body_without_end(self) -> None:
        def answer(_: Peer, connection: socket.socket, __: Received) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(bytes(65536))

        outcome, peak = self.peak(answer)
        assert peak < self.LIMIT
        assert outcome.result is not None
        assert outcome.result["body"] == "\ufffd" * (MAX_BODY // 3)

    def test_is_bounded_for_a_chunk_without_end(self) -> None:
        def answer(_: Peer, connection: socket.socket, __: Received) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFF\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        outcome, peak = self.peak(answer)
        assert peak < self.LIMIT
        assert outcome.status is ExecutionStatus.SUCCESS


class TestNetworkFailure:
    @pytest.mark.parametrize(
        "headers",
        [b"no colon here", b"Content-Length: 3\r\nTransfer-Encoding: chunked"],
        ids=["odd line", "two framings"],
    )
    def test_is_not_declared_nor_logged_for_an_odd_answer(
        self, headers: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with Peer(says(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n0\r\n\r\n")) as peer:
            assert run(peer.url("/?token=secret")).status is ExecutionStatus.SUCCESS
        assert caplog.records == []


class TestTls:
    def test_verifies_the_certificate_against_the_name_not_the_address(self) -> None:
        with Peer(says(response(200, b"safe")), tls=True) as peer:
            executor = HttpExecutor(LOOPBACK, resolver=names(api_test="127.0.0.1"), roots=trusting_the_test_ca)
            outcomes = [run(peer.url(host=host), executor=executor) for host in ("api.test", "api.test.", "127.0.0.1")]
        for outcome in outcomes:
            assert_body(outcome, "safe", truncated=False)
        assert peer.requests[0].headers["host"] == f"api.test:{peer.port}"

    def test_trusts_a_company_ca_given_to_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
        with Peer(says(response(200, b"safe")), tls=True) as peer:
            assert_body(run(peer.url()), "safe", truncated=False)


class TestEgress:
    @pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "[fe80::1]", "0", "0xa.1"])
    def test_denies_addresses_that_are_not_public(self, host: str) -> None:
        assert_denied(run(f"http://{host}/?secret"))

    def test_denies_loopback_unless_it_is_allowed(self) -> None:
        nothing = dataclasses.replace(LOOPBACK, http_allowed_private_networks=())
        with Peer(says(response())) as peer:
            assert_denied(run(peer.url(), executor=HttpExecutor(nothing, resolver=no_dns)))
        assert peer.requests == []

    def test_reads_the_allowed_networks_from_the_settings(self, settings: Any) -> None:
        settings.SCHEDULER = dataclasses.replace(LOOPBACK, http_allowed_private_networks=())
        assert_denied(HttpExecutor(resolver=no_dns).execute(attempt({"url": "http://127.0.0.1/"})))

    def test_denies_a_name_that_leads_inside(self) -> None:
        executor = HttpExecutor(LOOPBACK, resolver=names(db_example="10.0.0.1"))
        outcome = run("http://db.example/", executor=executor)
        assert_denied(outcome)
        assert outcome.error_message is not None
        assert "db.example leads to a private address" in outcome.error_message
        assert "10.0.0.1" not in outcome.error_message


def assert_denied(outcome: Outcome) -> None:
    assert (outcome.status, outcome.error_code) == (ExecutionStatus.FAILED, ErrorCode.EGRESS_DENIED), outcome
    assert not outcome.retryable
    assert outcome.result is None
    assert outcome.error_message is not None
    assert "HTTP_ALLOWED_PRIVATE_NETWORKS" in outcome.error_message
    assert "secret" not in outcome.error_message


def redirects(*locations: str, status: int = 302) -> Callable[[Peer, socket.socket, Received], None]:
    """Responds to the n-th request with the n-th location, and after the last with 200."""

    def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
        hop = len(peer.requests) - 1
        done = hop >= len(locations)
        connection.sendall(response(200, b"there") if done else response(status, b"moved", location=locations[hop]))

    return answer


class TestRedirects:
    def test_are_answers_like_any_other_unless_followed(self) -> None:
        with Peer(redirects("/y")) as peer:
            outcome = run(peer.url())
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.HTTP_STATUS, False)
        assert outcome.result is not None
        assert outcome.result["headers"]["Location"] == "/y"
        assert len(peer.requests) == 1

    def test_are_followed_on_demand(self) -> None:
        with Peer(redirects("/b", "c?d", "/e")) as peer:
            assert_body(run(peer.url("/a/"), followRedirects=True), "there", truncated=False)
        assert [got.target for got in peer.requests] == ["/a/", "/b", "/c?d", "/e"]

    @pytest.mark.parametrize(("status", "method", "body"), [(303, "GET", b""), (302, "GET", b""), (307, "POST", b"x")])
    def test_change_the_method_or_keep_the_body(self, status: int, method: str, body: bytes) -> None:
        with Peer(redirects("/b", status=status)) as peer:
            run(peer.url(), method="POST", body="x", followRedirects=True)
        got = peer.requests[1]
        assert (got.method, got.body) == (method, body)
        assert ("content-type" in got.headers, "content-length" in got.headers) == (bool(body), bool(body))

    def test_take_the_time_of_the_schedule_along(self) -> None:
        with Peer(says(response())) as last, Peer(redirects(last.url(), status=307)) as first:
            work = attempt({"url": first.url(), "followRedirects": True})
            work.scheduled_for = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
            HttpExecutor(LOOPBACK, resolver=no_dns).execute(work)
        seen = [peer.requests[0].headers["x-scheduled-for"] for peer in (first, last)]
        assert seen == ["2026-03-29T01:30:00.000000Z"] * 2

    def test_take_a_task_token_to_the_same_origin_only(self) -> None:
        with Peer(says(response())) as other, Peer(redirects("/b", other.url(), status=307)) as first:
            work = attempt({"url": first.url(), "followRedirects": True})
            work.token, work.batch_id = "tst_x", "b"
            HttpExecutor(LOOPBACK, resolver=no_dns).execute(work)
        got = [*first.requests, *other.requests]
        assert [each.headers.get("x-task-token") for each in got] == ["tst_x", "tst_x", None]
        assert [each.headers["x-task-batch-id"] for each in got] == ["b"] * 3

    def test_take_no_secret_to_another_origin_but_name_the_task(self) -> None:
        secrets = {"Authorization": "Bearer s", "Cookie": "s", "X-Api-Key": "s"}
        with Peer(says(response())) as other, Peer(redirects(other.url(), status=307)) as first:
            run(first.url(), headers=secrets, followRedirects=True)
        assert {name.lower() for name in secrets} <= first.requests[0].headers.keys()
        assert not {name.lower() for name in secrets} & other.requests[0].headers.keys()
        assert other.requests[0].headers["x-task-id"] == str(TASK)

    def test_end_after_ten(self) -> None:
        with Peer(redirects(*["/loop"] * 100)) as peer:
            run(peer.url(), followRedirects=True)
        assert len(peer.requests) == MAX_REDIRECTS + 1

    def test_may_be_ten(self) -> None:
        with Peer(redirects(*["/hop"] * 10)) as peer:
            assert run(peer.url(), followRedirects=True).status is ExecutionStatus.SUCCESS

    @pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://u:secret@127.0.0.1/"])
    def test_to_elsewhere_than_http_are_refused(self, location: str) -> None:
        with Peer(redirects(location)) as peer:
            outcome = run(peer.url(), followRedirects=True)
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.HTTP_STATUS, False)
        assert outcome.error_message is not None
        assert "answered with a redirect that goes to a URL that must" in outcome.error_message
        assert "secret" not in outcome.error_message
        assert outcome.result is not None
        assert outcome.result["statusCode"] == 302

    def test_without_a_location_are_final(self) -> None:
        with Peer(says(response(302, b"where?"))) as peer:
            assert_body(run(peer.url(), followRedirects=True, expectedStatus=302), "where?", truncated=False)

    @pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "//10.0.0.1/", "http://[::ffff:10.0.0.1]/"])
    def test_are_judged_at_every_hop(self, location: str) -> None:
        with Peer(redirects("/b", location)) as peer:
            assert_denied(run(peer.url(), followRedirects=True))
        assert len(peer.requests) == 2

    def test_resolve_a_name_anew_at_every_hop(self) -> None:
        answers = iter(["127.0.0.1", "10.0.0.1"])
        executor = HttpExecutor(LOOPBACK, resolver=lambda host, port: names(api_test=next(answers))(host, port))
        with Peer(redirects("/b")) as peer:
            assert_denied(run(peer.url(host="api.test"), executor=executor, followRedirects=True))
        assert len(peer.requests) == 1


@dataclass
class Scene:
    """An attempt that will get stuck; ``reached`` is set when it is."""

    payload: dict[str, Any]
    reached: threading.Event
    executor: HttpExecutor = dataclasses.field(default_factory=lambda: HttpExecutor(LOOPBACK, resolver=no_dns))


@contextmanager
def resolving(_: pytest.MonkeyPatch) -> Iterator[Scene]:
    reached, leaving = threading.Event(), threading.Event()

    def resolver(host: str, port: int) -> Sequence[AddressInfo]:
        reached.set()
        leaving.wait(10)
        return []

    yield Scene({"url": "http://slow.example/"}, reached, HttpExecutor(LOOPBACK, resolver=resolver))
    leaving.set()


@contextmanager
def connecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    reached = threading.Event()

    def noticed(sock: socket.socket, timeout: float) -> bool:
        ready = wait_for_write(sock, timeout=timeout)
        reached.set()  # only when it has waited in vain once
        return ready

    monkeypatch.setattr("tasks_app.executors.egress.wait_for_write", noticed)
    with deaf_listener() as port:
        yield Scene({"url": f"http://127.0.0.1:{port}/"}, reached)


def stuck_with(peer: Peer, scheme: str = "http", **payload: Any) -> Iterator[Scene]:
    with peer:
        yield Scene({"url": peer.url().replace("http", scheme), **payload}, peer.reached)


def silent(peer: Peer, *_: object) -> None:
    peer.reached.set()
    peer.leaving.wait(10)


def dripping(head: bytes, piece: bytes) -> Callable[[Peer, socket.socket, Received], None]:
    def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
        connection.sendall(head)
        peer.drip(connection, piece)

    return answer


def redirecting_then_silent(peer: Peer, connection: socket.socket, _: Received) -> None:
    if len(peer.requests) == 1:
        connection.sendall(response(302, location="/b"))
    else:
        silent(peer)


SCENES: dict[str, Callable[[pytest.MonkeyPatch], contextlib.AbstractContextManager[Scene]]] = {
    "resolving": resolving,
    "connecting": connecting,
    "shaking hands": contextmanager(lambda _: stuck_with(Peer(greet=silent), "https")),
    "sending": contextmanager(lambda _: stuck_with(Peer(greet=silent), method="POST", body="x" * 16_000_000)),
    "waiting for an answer": contextmanager(lambda _: stuck_with(Peer(silent))),
    "receiving a header": contextmanager(lambda _: stuck_with(Peer(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y")))),
    "receiving headers": contextmanager(lambda _: stuck_with(Peer(dripping(b"HTTP/1.1 100 Go\r\n", b"X: y\r\n")))),
    "receiving a body": contextmanager(
        lambda _: stuck_with(Peer(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x")))
    ),
    "receiving a body without length": contextmanager(
        lambda _: stuck_with(Peer(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x")))
    ),
    "receiving chunks": contextmanager(
        lambda _: stuck_with(Peer(dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")))
    ),
    "receiving over TLS": contextmanager(
        lambda _: stuck_over_tls(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"))
    ),
    "at the second hop": contextmanager(lambda _: stuck_with(Peer(redirecting_then_silent), followRedirects=True)),
}


PHASES = {
    "resolving": Phase.LOOK_UP,
    "connecting": Phase.CONNECT,
    "shaking hands": Phase.HANDSHAKE,
    "sending": Phase.SEND,
    "waiting for an answer": Phase.WAIT,
    "receiving a header": Phase.HEADERS,
    "receiving headers": Phase.HEADERS,
    "receiving a body": Phase.BODY,
    "receiving a body without length": Phase.BODY,
    "receiving chunks": Phase.BODY,
    "receiving over TLS": Phase.BODY,
    "at the second hop": Phase.WAIT,
}


def stuck_over_tls(answer: Callable[[Peer, socket.socket, Received], None]) -> Iterator[Scene]:
    with Peer(answer, tls=True) as peer:
        yield Scene(
            {"url": peer.url()}, peer.reached, HttpExecutor(LOOPBACK, resolver=no_dns, roots=trusting_the_test_ca)
        )


class TestStop:
    @pytest.mark.parametrize("name", SCENES)
    def test_takes_effect_at_once(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with SCENES[name](monkeypatch) as scene:
            outcome, seconds = self.stop_when_reached(scene, StopReason.CANCEL)
        assert (outcome.status, outcome.error_code) == (ExecutionStatus.CANCELLED, ErrorCode.CANCELLED)
        assert seconds < 1

    @pytest.mark.parametrize("name", SCENES)
    def test_comes_at_the_deadline_without_any_watchdog(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with SCENES[name](monkeypatch) as scene:
            started = time.monotonic()
            outcome = scene.executor.execute(attempt(scene.payload, seconds=0.25))
            seconds = time.monotonic() - started
        assert (outcome.status, outcome.error_code) == (ExecutionStatus.TIMED_OUT, ErrorCode.TIMED_OUT)
        assert outcome.error_message is not None
        assert outcome.error_message.startswith("did not end within its time-out of 0.25 s: it was still ")
        assert outcome.retryable
        assert seconds < 1.25

    @pytest.mark.parametrize("name", SCENES)
    def test_for_the_time_says_how_far_the_attempt_was(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def enter(lifeline: Lifeline, phase: Phase) -> None:
            original(lifeline, phase)
            entered.append(phase)
            if entered.count(PHASES[name]) == (2 if name == "at the second hop" else 1):
                reached.set()

        entered: list[Phase] = []
        reached = threading.Event()
        original = Lifeline.enter
        monkeypatch.setattr(Lifeline, "enter", enter)
        with SCENES[name](monkeypatch) as scene:
            scene.reached = reached
            outcome, _ = self.stop_when_reached(scene, StopReason.DEADLINE)
        assert outcome.error_message == f"did not end within its time-out of 20 s: it was still {PHASES[name]}"

    def test_gives_the_attempt_back_with_what_there_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(reply: Reply, raw: Any) -> None:
            scene.reached.set()
            original(reply, raw)

        original = Reply.read
        with SCENES["receiving a body without length"](monkeypatch) as scene:
            monkeypatch.setattr(Reply, "read", read)
            scene.reached = threading.Event()
            outcome, _ = self.stop_when_reached(scene, StopReason.RELEASE)
        assert (outcome.status, outcome.error_code, outcome.retryable) == (ExecutionStatus.RELEASED, None, False)
        assert outcome.result is not None
        assert outcome.result["statusCode"] == 200
        assert outcome.result["bodyTruncated"] is True

    def test_before_the_start_sends_nothing(self) -> None:
        with Peer(says(response())) as peer:
            execution = attempt({"url": peer.url()})
            execution.stop(StopReason.CANCEL)
            outcome = HttpExecutor(LOOPBACK, resolver=no_dns).execute(execution)
        assert outcome.status is ExecutionStatus.CANCELLED
        assert peer.requests == []

    def test_after_the_end_changes_nothing(self) -> None:
        with Peer(says(response())) as peer:
            execution = attempt({"url": peer.url()})
            outcome = HttpExecutor(LOOPBACK, resolver=no_dns).execute(execution)
            execution.stop(StopReason.CANCEL)
        assert outcome.status is ExecutionStatus.SUCCESS

    def stop_when_reached(self, scene: Scene, reason: StopReason) -> tuple[Outcome, float]:
        outcomes: list[Outcome] = []
        execution = attempt(scene.payload, seconds=20)
        thread = threading.Thread(target=lambda: outcomes.append(scene.executor.execute(execution)))
        thread.start()
        assert scene.reached.wait(5)
        started = time.monotonic()
        execution.stop(reason)
        thread.join(5)
        return outcomes[0], time.monotonic() - started


class TestExecutor:
    def test_refuses_bad_payloads_by_field(self) -> None:
        with pytest.raises(PayloadError) as caught:
            HttpExecutor(LOOPBACK).validate({"url": "ftp://a/", "headers": {"Host": "x"}})
        assert set(caught.value.problems) == {"url", "headers.Host"}

    def test_fails_for_good_on_a_payload_it_cannot_read(self) -> None:
        outcome = HttpExecutor(LOOPBACK).execute(attempt({"uri": "http://a/"}))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, False)
        assert outcome.error_message == "payload: uri: unknown field; url: is required"

    def test_serves_many_threads_without_mixing_them(self) -> None:
        def echo(_: Peer, connection: socket.socket, got: Received) -> None:
            connection.sendall(response(200, got.target.encode()))

        wrong: list[str] = []

        def work(number: int) -> None:
            for turn in range(20):
                result = run(peer.url(f"/{number}/{turn}"), executor=executor).result
                if not result or result["body"] != f"/{number}/{turn}":
                    wrong.append(f"{number}/{turn}: {result}")

        executor = HttpExecutor(LOOPBACK, resolver=no_dns)
        with Peer(echo) as peer:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert wrong == []
        assert len(peer.requests) == 160

    def test_leaves_no_descriptor_or_thread_behind(self) -> None:
        def answer(_: Peer, connection: socket.socket, got: Received) -> None:
            short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
            connection.sendall(short if got.target == "/bad" else response(302, location="/bad"))

        def counts() -> tuple[int, int]:
            return len(list(Path("/dev/fd").iterdir())), sum(
                thread.name.startswith("http-") for thread in threading.enumerate()
            )

        with Peer(answer) as peer:
            run(peer.url(), followRedirects=True)
            before = counts()
            for _ in range(20):
                run(peer.url(), followRedirects=True)
                run(peer.url())
            for thread in peer._threads[1:]:
                thread.join(5)  # the other ends of the connections are descriptors of this process too
            assert counts() == before
