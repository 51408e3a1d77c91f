"""Redirects of HTTP tasks: which are followed, how far, with what, and to where never."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tasks_app.executors.http import MAX_REDIRECTS, HttpExecutor
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
)
from tests.support.peers import Peer, Received, response, says


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
