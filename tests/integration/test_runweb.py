"""``manage.py runweb`` as a process: what it serves, what it leaves behind, how it stops, what it survives."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from tests.factories import make_key
from tests.support.stack import database_url, query
from tests.support.waiting import eventually
from tests.support.web import Server, serving, started

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py"), "runweb"]
SECRET = "a-secret-of-this-test-that-no-process-shows"


def ask(server: Server, path: str, key: str = "") -> str:
    line = f"Authorization: Bearer {key}\r\n" if key else ""
    answer = server.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}Connection: close\r\n\r\n".encode())
    assert answer.status == 200, answer
    return answer.body.decode()


def processes(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The whole project, by two processes, called from elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    old = folder / "counts" / "counter_1.db"
    old.parent.mkdir()
    old.write_bytes(b"of a process that is long gone")
    environment = {"DATABASE_URL": database_url(), "WEB_WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(old.parent)}
    with started(folder, MANAGE, folder="/", SECRET_KEY=SECRET, **environment) as server:
        eventually(lambda: len(processes(server)) == 2, timeout=30)
        assert not old.exists()
        yield server
        assert server.stop() == 0


def test_serves_counts_and_goes_on_when_a_process_dies(site: Server, committed_db: None) -> None:
    key = make_key(name="prometheus")
    first, counted, told = processes(site), _probes_counted(site, key), len(site.logged("POST /tasks"))
    for _ in range(20):
        ask(site, "/health/live")
    eventually(lambda: _probes_counted(site, key) >= counted + 20)
    for process in [psutil.Process(site.process.pid), *first]:
        with suppress(PermissionError):  # its own account may not even look
            assert SECRET not in Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
    first[0].kill()
    eventually(lambda: len(set(processes(site)) - set(first)) == 1, timeout=30)
    assert _probes_counted(site, key) >= counted + 20
    assert site.exchange(b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}").status == 401
    [line] = site.logged("POST /tasks")[told:]
    assert "ip=127.0.0.1" in line
    assert "code=401" in line
    held = query(  # those of this process aside: some are kept for the tests behind this one
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name NOT LIKE 'task_scheduler test%%'"
    )
    assert held[0][0] <= 2 * 4


#: Requests that are refused, most of them before their body is read; K stands for a key's line.
REFUSED = {
    401: ["POST /tasks", "POST /tasks/bulk", "PATCH /tasks/x", "POST /nowhere"],
    404: ["POST /nowhere K", "PATCH /tasks/x K"],
    405: ["PUT /tasks K", "POST /health/live"],
    413: ["POST /tasks K"],
    415: ["POST /tasks K text"],
    403: ["POST /admin/login/ text"],
}


def test_after_a_refusal_the_next_request_is_answered_or_the_end_is_said(site: Server, committed_db: None) -> None:
    key = make_key(name="refused")
    for status, requests in REFUSED.items():
        for request in requests:
            for size in (2, 100_000, 3_000_000):
                if status == 413 and size < settings.MAX_BODY:
                    continue
                if status == 415 and size > settings.MAX_BODY:
                    continue
                assert _next_is_no_surprise(site, request, key, size) == status, (request, size)


def _next_is_no_surprise(server: Server, request: str, key: str, size: int) -> int:
    method, path, *more = request.split(" ")
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {size}"]
    lines += [f"Authorization: Bearer {key}"] if "K" in more else []
    lines += ["Content-Type: " + ("text/plain" if "text" in more else "application/json")]
    with server.connect(timeout=30) as wire:
        wire.send("\r\n".join([*lines, "", ""]).encode())
        with contextlib.suppress(OSError):
            wire.send(b"{}".ljust(size))
            wire.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = wire.answer()
        if answer.closes:
            assert wire.is_closed()
        else:
            assert wire.answer().json == {"status": "UP"}
    return answer.status


def _probes_counted(server: Server, key: str) -> float:
    lines = ask(server, "/metrics", key).splitlines()
    counted = [line for line in lines if line.startswith("django_http_responses_total_by_status_view_method_total")]
    return sum(float(line.rpartition(" ")[2]) for line in counted if "health-live" in line)


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_answers_what_it_was_asked_and_hears_nobody_new(self, tmp_path: Path, number: signal.Signals) -> None:
        with serving(tmp_path, METRICS_COLLECTION_ENABLED="false") as server, ExitStack() as stack:
            busy, idle, begun = (stack.enter_context(server.connect()) for _ in range(3))
            idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            idle.answer()
            begun.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert begun.socket.recv(100).startswith(b"HTTP/1.1 100")
            busy.send(b"GET /sleep?s=0.6 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # by now the other is at work
            server.process.send_signal(number)
            if number == signal.SIGTERM:
                assert idle.is_closed()
                begun.send(b"abc")
                answers = [begun.answer(), busy.answer()]
                assert [(answer.status, answer.closes) for answer in answers] == [(200, True)] * 2
            assert server.process.wait(15) == 0
            with pytest.raises(OSError, match="refused"):
                server.connect()

    def test_waits_for_nobody_who_has_left(self, tmp_path: Path) -> None:
        with serving(tmp_path, METRICS_COLLECTION_ENABLED="false") as server, ExitStack() as stack:
            for number in range(40):  # some end their side before they are answered, some after, some are gone
                wire = stack.enter_context(server.connect())
                wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                wire.socket.shutdown(socket.SHUT_WR)
                if number % 2:
                    wire.socket.close()
            server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 6
            assert server.logged("connections_dropped") + server.logged("connection_ended") == []

    def test_drops_what_does_not_end_within_its_grace(self, tmp_path: Path) -> None:
        """A request that is worked on, and an answer without an end."""
        options = ("--graceful-timeout", "1")
        with serving(tmp_path, *options, METRICS_COLLECTION_ENABLED="false") as server, ExitStack() as stack:
            busy, endless = (stack.enter_context(server.connect()) for _ in range(2))
            busy.send(b"GET /sleep?s=60 HTTP/1.1\r\nHost: x\r\n\r\n")
            endless.send(b"GET /stream?n=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert endless.socket.recv(1000)
            server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert server.stop(timeout=15) == 0
            assert server.logged("Traceback") == []


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("echo"), METRICS_COLLECTION_ENABLED="false") as server:
        yield server


def test_an_answer_without_an_end_ends_with_its_client(echo: Server) -> None:
    with echo.connect() as wire:
        wire.send(b"GET /stream?n=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.socket.recv(1000)
    [process] = processes(echo)
    eventually(lambda: process.cpu_percent(0.3) < 20, timeout=10)
    assert echo.logged("Traceback") == []


def test_a_process_that_dies_in_a_request_is_replaced(echo: Server) -> None:
    with echo.connect() as wire:
        wire.send(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.is_closed()
    assert echo.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_ipv6_and_a_socket_that_is_handed_down(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        command = [*MANAGE, "--fd", str(listener.fileno())]
        environment = {"METRICS_COLLECTION_ENABLED": "false", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        with (
            started(tmp_path, command, descriptor=listener.fileno(), **environment) as server,
            socket.create_connection(("::1", server.port), timeout=20) as connection,
        ):
            connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.0 200"
