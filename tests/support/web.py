"""A web server under test, and a client that speaks to it byte by byte."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT
from tests.support.waiting import eventually

#: Bounds short enough for a test to wait for.
IMPATIENT = (
    "patience.HEAD_WITHIN=0.6",
    "patience.MOVE_WITHIN=0.8",
    "patience.MOVE_AT_LEAST=8000000",
    "patience.CLOSE_WITHIN=0.5",
    "worker.LOOK_EVERY=0.1",
)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def connect(self, *, timeout: float = 10) -> Wire:
        return Wire(socket.create_connection(("127.0.0.1", self.port), timeout))

    def exchange(self, request: bytes) -> Answer:
        """The answer to one request on a connection of its own."""
        with self.connect() as wire:
            wire.send(request)
            return wire.answer()

    def logged(self, word: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if word in line]

    def stop(self, timeout: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Wire:
    """One connection."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self._data = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next final answer. Raises `EOFError` when the connection ends before or within it."""
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            self._more()
        head, self._data = self._data[:end].decode("latin-1"), self._data[end + 4 :]
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if status < 200:
            return self.answer()
        return Answer(status, headers, b"" if to_head else self._body(headers))

    def is_closed(self) -> bool:
        """Whether the server ends the connection, having sent nothing more."""
        try:
            return self._data == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        return self._take(int(headers["content-length"]))

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._data:
                self._more()
            size, _, self._data = self._data.partition(b"\r\n")
            chunk = self._take(int(size, 16) + 2)[:-2]
            if not chunk:
                return
            yield chunk

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _more(self) -> None:
        data = self.socket.recv(262_144)
        if not data:
            raise EOFError
        self._data += data


@contextmanager
def serving(
    folder: Path, *arguments: str, bounds: tuple[str, ...] = (), prefix: tuple[str, ...] = (), **environment: str
) -> Iterator[Server]:
    """The echo application on the project's configuration; further arguments are gunicorn's. ``prefix`` runs it."""
    command = [sys.executable, "-m", "tests.support.echo", *bounds, "--", "-c", "python:scheduler_project.serving"]
    with started(folder, [*prefix, *command, *arguments, "tests.support.echo"], **environment) as server:
        yield server


@contextmanager
def started(
    logs: Path, command: list[str], *, folder: str | Path = ROOT, descriptor: int | None = None, **environment: str
) -> Iterator[Server]:
    """A web server that says where it listens. It is run in a folder, and may inherit an open file."""
    defaults = {"HOST": "127.0.0.1", "PORT": "0", "WEB_WORKERS": "1", "WEB_THREADS": "4"}
    log = logs / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **defaults, **environment},
            stdout=output,
            stderr=output,
            pass_fds=() if descriptor is None else (descriptor,),
        )
    server = Server(process, log)
    try:
        server.port = int(eventually(lambda: _port(server), timeout=60))
        yield server
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-6000:])
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # at once: who asks how it stops sends a signal of their own
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(server: Server) -> str:
    assert server.process.poll() is None, server.log.read_text()
    found = re.search(r"Listening at: http://\S+:(\d+)", server.log.read_text(errors="replace"))
    return found[1] if found else ""
