"""HTTP tasks that get stuck, in each phase of an attempt: a stop takes effect at once, and says in which."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from urllib3.util import wait_for_write

from tasks_app.executors.base import Outcome, StopReason
from tasks_app.executors.egress import AddressInfo
from tasks_app.executors.http import HttpExecutor
from tasks_app.executors.http_failures import Phase
from tasks_app.executors.http_reply import Reply
from tasks_app.executors.lifeline import Lifeline
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.http_attempts import (
    LOOPBACK,
    attempt,
    no_dns,
    trusting_the_test_ca,
)
from tests.support.peers import Peer, Received, deaf_listener, response, says


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
