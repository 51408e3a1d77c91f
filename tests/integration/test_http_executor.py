"""HTTP tasks against peers on loopback that answer well, badly, slowly, endlessly or not at all."""

from __future__ import annotations

import dataclasses
import gzip
import logging
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tasks_app.executors.base import Outcome, PayloadError
from tasks_app.executors.http import HttpExecutor
from tasks_app.executors.http_reply import MAX_BODY
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.http_attempts import (
    LOOPBACK,
    TASK,
    assert_body,
    assert_denied,
    attempt,
    names,
    no_dns,
    run,
    trusting_the_test_ca,
)
from tests.support.peers import TLS, Peer, Received, closed_port, response, says


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
