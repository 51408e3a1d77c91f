"""Clients that are slow, never come to the point, take no answer, or are too many: nobody else waits for them."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.support.web import IMPATIENT, Server, Wire, serving

LOGIN = b"POST /unread HTTP/1.1\r\nHost: x\r\n"
PROBE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#: The end of a head that has a body to follow when it is asked for.
EXPECTING = b"\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
#: What slow clients begin, and what they go on with, a byte or so at a time.
SLOW: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "half a first line": (b"GET / HT", b""),
    "heads": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"a"),
    "bodies": (LOGIN + b"Content-Length: 50000\r\n\r\n", b"a"),
    "large bodies": (LOGIN + b"Authorization: x\r\nContent-Length: 9000000\r\n\r\n", b"a"),
    "chunks": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "half a chunk": (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n5000\r\n", b"a"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process with two threads and room for 400 connections, soon out of patience."""
    folder = tmp_path_factory.mktemp("slow")
    arguments = ("--worker-connections", "400")
    options = {"WEB_THREADS": "2", "METRICS_COLLECTION_ENABLED": "false"}
    with serving(folder, *arguments, bounds=IMPATIENT, **options) as started:
        yield started


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that may open few files, and holds few bytes of bodies."""
    limited = ("/bin/sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
    bounds = ("bridge.HELD_AT_MOST=1000000",)
    folder = tmp_path_factory.mktemp("cramped")
    with serving(folder, prefix=limited, bounds=bounds, METRICS_COLLECTION_ENABLED="false") as started:
        yield started


@pytest.fixture
def crowd(server: Server) -> Iterator[Callable[[int, bytes], list[Wire]]]:
    """Opens connections that send the same and then wait."""
    with ExitStack() as stack:

        def come(count: int, data: bytes) -> list[Wire]:
            wires = [stack.enter_context(server.connect()) for _ in range(count)]
            for wire in wires:
                wire.send(data)
            return wires

        yield come


Crowd = Callable[[int, bytes], list[Wire]]


def probe(server: Server) -> float:
    """Seconds until a new client has its answer."""
    began = time.perf_counter()
    assert server.exchange(PROBE).status == 200
    return time.perf_counter() - began


class TestSlowClients:
    def test_hold_no_thread_and_are_ended(self, server: Server, crowd: Crowd) -> None:
        wires = {what: crowd(40, data) for what, (data, _) in SLOW.items()}
        assert min(probe(server) for _ in range(5)) < 0.1
        for what, (_, drip) in SLOW.items():
            for wire in wires[what]:
                with contextlib.suppress(OSError):
                    wire.send(drip)
        assert min(probe(server) for _ in range(5)) < 0.1
        began = time.monotonic()
        ended = {what: {_end(wire) for wire in some} for what, some in wires.items()}
        assert ended == {what: {408 if data else None} for what, (data, _) in SLOW.items()}
        assert time.monotonic() - began < 8  # the patience of the test, not of the server

    def test_that_drip_are_ended_all_the_same(self, server: Server) -> None:
        ended: dict[str, int | None] = {}
        with ExitStack() as stack:
            wires = {what: stack.enter_context(server.connect()) for what in ("heads", "bodies", "chunks")}
            for what, wire in wires.items():
                wire.send(SLOW[what][0])
                wire.socket.settimeout(0.02)  # between two drops; the answer ends it

            def all_have_ended() -> bool:
                for what in wires.keys() - {what for what, status in ended.items() if status}:
                    ended[what] = _answer_to(wires[what], SLOW[what][1])
                return all(ended.values())

            eventually(all_have_ended, timeout=10)
        assert ended == dict.fromkeys(wires, 408)

    def test_that_wait_in_silence_leave_room_for_others(self, server: Server, crowd: Crowd) -> None:
        crowd(300, b"")
        assert min(probe(server) for _ in range(5)) < 0.1

    def test_that_take_no_answer_hold_no_thread_and_are_ended(self, server: Server) -> None:
        with ExitStack() as stack:
            for path in [b"/large?n=16", b"/file", b"/stream?n=3000&size=9000"] * 4:
                wire = stack.enter_context(_narrow(server))
                wire.send(PROBE.replace(b"/ ", path + b" "))
            assert min(probe(server) for _ in range(5)) < 0.1
            # The file has found room in the kernel; the others have not.
            eventually(lambda: len(server.logged("phase=response")) >= 8, timeout=20)
            assert min(probe(server) for _ in range(5)) < 0.1

    def test_a_client_that_takes_it_steadily_gets_all(self, server: Server) -> None:
        with server.connect() as wire:
            wire.send(PROBE.replace(b"/ ", b"/large?n=4 "))
            assert len(wire.answer().body) == 4 * 1024 * 1024


class TestTooManyConnections:
    def test_new_ones_are_heard_in_place_of_the_oldest_that_said_nothing(self, server: Server, crowd: Crowd) -> None:
        first, *_ = crowd(1, b"GET / HT")
        crowd(500, b"GET /")
        eventually(lambda: server.exchange(PROBE).status == 200, timeout=5)
        assert _end(first) in (None, 408)  # it made room, or its time was up before

    def test_one_that_waits_for_its_answer_is_not_given_up(self, server: Server, crowd: Crowd) -> None:
        with server.connect() as wire:
            wire.send(PROBE.replace(b"/ ", b"/sleep?s=1 "))
            crowd(500, b"")
            assert wire.answer().status == 200

    def test_new_ones_are_heard_in_place_of_those_that_take_no_answer(self, tmp_path: Path) -> None:
        arguments, bounds = ("--worker-connections", "20"), ("patience.PRESSED_WITHIN=0.5",)
        options = {"METRICS_COLLECTION_ENABLED": "false"}
        with serving(tmp_path, *arguments, bounds=bounds, **options) as small, ExitStack() as stack:
            for _ in range(20):
                wire = stack.enter_context(_narrow(small))
                wire.send(PROBE.replace(b"/ ", b"/large?n=8 ") + PROBE * 100)
            eventually(lambda: small.exchange(PROBE).status == 200, timeout=10, interval=0.1)
            eventually(lambda: small.exchange(PROBE).status == 200, timeout=10, interval=0.1)

    def test_are_fewer_where_few_files_may_be_open(self, cramped: Server) -> None:
        with ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(cramped.connect())
            eventually(lambda: cramped.exchange(PROBE).status == 200, timeout=10)
            assert cramped.logged("out of system resource") == []

    def test_no_more_than_fit_are_refused_when_all_are_at_work(self, tmp_path: Path) -> None:
        options = {"WEB_THREADS": "1", "METRICS_COLLECTION_ENABLED": "false"}
        with serving(tmp_path, "--worker-connections", "3", **options) as small, ExitStack() as stack:
            wires = []
            for _ in range(3):
                wires.append(stack.enter_context(small.connect()))
                # Two pieces, and the first one's 100 says that the request is being served.
                wires[-1].send(PROBE.replace(b"/ ", b"/sleep?s=0.3 ").replace(b"\r\n\r\n", EXPECTING))
                assert wires[-1].socket.recv(1000).startswith(b"HTTP/1.1 100")
                wires[-1].send(b"hello")
            with small.connect() as late:
                refused = late.answer()
                assert (refused.status, refused.headers["retry-after"], refused.closes) == (503, "5", True)
            assert [wire.answer().status for wire in wires] == [200] * 3
            assert small.exchange(PROBE).status == 200


class TestHeldBodies:
    def test_of_too_many_bytes_are_503_and_small_ones_go_on(self, cramped: Server) -> None:
        head = LOGIN + b"Authorization: x\r\nContent-Length: 900000\r\n\r\n"
        with ExitStack() as stack:
            two = [stack.enter_context(cramped.connect()) for _ in range(2)]
            for wire in two:
                wire.send(head + b"a" * 700_000)
            ready, _, _ = select.select([wire.socket for wire in two], [], [], 10)
            [refused] = [wire for wire in two if wire.socket in ready]
            [other] = [wire for wire in two if wire is not refused]
            assert (refused.answer().status, refused.is_closed()) == (503, True)
            assert cramped.exchange(LOGIN + b"Content-Length: 5\r\n\r\nhello").status == 401
            other.send(b"a" * 200_000)
            assert other.answer().status == 401
            assert cramped.exchange(head + b"a" * 900_000).status == 401  # given back


def _end(wire: Wire) -> int | None:
    """The status of what ends a connection; None when nothing was said."""
    try:
        return wire.answer().status
    except (EOFError, ConnectionResetError):
        return None


def _answer_to(wire: Wire, drip: bytes) -> int | None:
    """The status of an answer that has come by now, after a drop more."""
    with contextlib.suppress(OSError):
        wire.send(drip)
    try:
        return wire.answer().status
    except TimeoutError:
        return None


def _narrow(server: Server) -> Wire:
    """A connection that takes very little before it is read from."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.settimeout(10)
    opened.connect(("127.0.0.1", server.port))
    return Wire(opened)


class TestStreams:
    """Responses that have nothing to send for a while."""

    def test_hold_no_thread_and_go_on_when_they_are_woken(self, server: Server, crowd: Crowd) -> None:
        began = time.monotonic()
        wires = crowd(60, b"GET /doze?s=1.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: dozing(server) == 60)
        assert min(probe(server) for _ in range(5)) < 0.1
        assert [wire.answer().body for wire in wires] == [b"begun\nend\n"] * 60
        assert time.monotonic() - began < 5, "not at the end of the longest doze"

    def test_are_let_go_when_nobody_reads_them(self, server: Server, crowd: Crowd) -> None:
        wires = crowd(20, b"GET /doze?s=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: dozing(server) == 20)
        for wire in wires:
            wire.socket.close()
        eventually(lambda: dozing(server) == 0)

    def test_end_with_their_process(self, tmp_path: Path) -> None:
        with serving(tmp_path, METRICS_COLLECTION_ENABLED="false") as leaving, leaving.connect() as wire:
            wire.send(b"GET /doze?s=60 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: dozing(leaving) == 1)
            began = time.monotonic()
            assert leaving.stop() == 0
            assert time.monotonic() - began < 4
            assert wire.answer().body == b"begun\n"


def dozing(server: Server) -> int:
    return int(server.exchange(b"GET /dozing HTTP/1.1\r\nHost: x\r\n\r\n").body)
