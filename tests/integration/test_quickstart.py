"""``make run`` and ``make demo`` as a newcomer meets them: a port that is somebody else's, a first start, a kill -9."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from django.conf import settings

from tasks_app.executors.kernel import LINUX, PR_SET_DUMPABLE, prctl
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

#: A database that is never there: what touches it says so.
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class Stranger:
    """A server that is ready, whatever it is asked, and keeps what it is sent."""

    def __init__(self) -> None:
        self.heard = b""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self.heard += connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    server = Stranger()
    yield server
    server.close()


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env={**os.environ, "HOST": "", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("command", ["quickstart", "runweb", pytest.param("runall", marks=pytest.mark.chaos_long)])
class TestPort:
    def test_of_a_stranger_ends_it_before_anything_is_made(self, command: str, stranger: Stranger) -> None:
        if LINUX:
            prctl(PR_SET_DUMPABLE, 1)  # an earlier test may have closed this process to other eyes but root's
        done = manage(command, PORT=str(stranger.port), DATABASE_URL=NOWHERE)
        assert (done.returncode, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert line.startswith(f"PORT: 127.0.0.1:{stranger.port} is taken by process {os.getpid()} ")
        assert stranger.heard == b""

    def test_that_is_none_is_named(self, command: str) -> None:
        done = manage(command, PORT="abc", DATABASE_URL=NOWHERE)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "PORT: must be a whole number from 0 to 65535, not 'abc'\n"


def test_a_first_start_prints_what_it_made_and_runs_the_samples(fresh: str, stranger: Stranger) -> None:
    proxy = f"http://127.0.0.1:{stranger.port}"
    environment = {"DATABASE_URL": fresh, "WEB_WORKERS": "1", "http_proxy": proxy, "HTTP_PROXY": proxy}
    done = manage("quickstart", "--demo", PORT="0", **environment)
    assert done.returncode == 0, done.stderr
    assert stranger.heard == b""  # no proxy sees the key
    key, samples = re.search(r"API key +(ts_\S+)", done.stdout), re.findall(r'"status": "(\w+)"', done.stdout)
    assert key is not None
    assert samples == ["SUCCESS"] * 3
    assert done.stdout.index(key[1]) < done.stdout.index('"status"')
    with psycopg.connect(fresh) as connection:
        made = connection.execute("SELECT (SELECT count(*) FROM auth_user), (SELECT count(*) FROM api_keys)").fetchone()
    assert made == (1, 1)


@pytest.fixture
def stack(committed_db: None, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, HOST="", PORT="0", WEB_WORKERS="1") as started:
        yield started


def test_killed_it_leaves_nobody_behind_and_the_port_free(stack: Stack) -> None:
    process = stack.start("runall")
    port = int(eventually(lambda: _listening_at(stack), timeout=30))
    eventually(stack.active_workers, timeout=30)
    # Gunicorn and its process, guardian and worker, scheduler.
    eventually(lambda: len(_family(process.pid)) >= 5, timeout=30)
    family = _family(process.pid)
    process.send_signal(signal.SIGKILL)
    eventually(lambda: not any(_lives(member) for member in family), timeout=20)
    socket.create_server(("127.0.0.1", port)).close()


def _listening_at(stack: Stack) -> str:
    found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", stack.log.read_text())
    return found[1] if found else ""


def _family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
