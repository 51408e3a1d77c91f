"""A small HTTP client, so that the load costs less than what it loads; and the web server it talks to."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from access_app.keys import create_key
from access_app.rights import Scope
from tests.bench.bench import Bench, wait_for


def request(method: str, path: str, key: str, body: Any = None) -> bytes:
    """A whole request, to be sent as often as wanted."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Connection:
    """One kept-alive connection; opened again after a pause in which the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, whole_request: bytes) -> tuple[int, bytes]:
        """Send, and return status and body."""
        reused = self._socket is not None
        try:
            return self._exchange(whole_request)
        except (ConnectionError, EOFError):
            self.close()
            if not reused:
                raise
            return self._exchange(whole_request)

    def json(self, whole_request: bytes) -> Any:
        """The answer's document. Raises RuntimeError unless the status is 2xx."""
        status, body = self.send(whole_request)
        if status // 100 != 2:
            raise RuntimeError(f"answered {status}: {body[:300]!r}")
        return json.loads(body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, whole_request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(whole_request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        body = bytearray(data[end + 4 :])
        while len(body) < length:
            body += self._more()
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), bytes(body)

    def _more(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(262_144)
        if not data:
            raise EOFError
        return data


@contextmanager
def serving(bench: Bench) -> Iterator[tuple[int, str]]:
    """Gunicorn with the project's own configuration on loopback; yields its port and an API key."""
    _, key = create_key("bench", list(Scope), actor="bench")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
    command = ("-m", "gunicorn", "scheduler_project.wsgi", "-c", "gunicorn.conf.py")
    with bench.program(*command, HOST="127.0.0.1", PORT=str(port)) as program:
        wait_for(lambda: _answers(port), 30, [program])
        yield port, key


def _answers(port: int) -> bool:
    with closing(Connection(port)) as connection:
        try:
            return connection.send(request("GET", "/health/live", "none"))[0] == 200
        except OSError:
            return False
