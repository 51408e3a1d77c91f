"""HTTP peers for tests, on loopback, in raw sockets: they can answer well, badly, slowly or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TLS = Path(__file__).parent / "tls"


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """Accepts connections, reads one request from each, and has ``answer`` write what it likes. A context manager.

    With ``greet`` it reads nothing: that function gets the bare connection. `reached` is set by both kinds of function
    when they have come as far as the test wants; `leaving` is set when the test is over.
    """

    def __init__(
        self,
        answer: Callable[[Peer, socket.socket, Received], None] | None = None,
        *,
        greet: Callable[[Peer, socket.socket], None] | None = None,
        tls: bool = False,
        certificate: str = "server",
        host: str = "127.0.0.1",
    ) -> None:
        self._answer = answer
        self._greet = greet
        self._tls = _server_context(certificate) if tls else None
        self.requests: list[Received] = []
        self.reached = threading.Event()
        self.leaving = threading.Event()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def __enter__(self) -> Peer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other side may hang up at any time
            if self._tls is not None:
                with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                    self._converse(wrapped)
            else:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        if self._greet is not None:
            self._greet(self, connection)
        elif (received := _read_request(connection)) is not None:
            self.requests.append(received)
            assert self._answer is not None
            self._answer(self, connection, received)

    def drip(self, connection: socket.socket, piece: bytes = b"x") -> None:
        """Send a piece every 20 ms until somebody leaves."""
        while not self.leaving.wait(0.02):
            connection.sendall(piece)
            self.reached.set()


def says(data: bytes) -> Callable[[Peer, socket.socket, Received], None]:
    """An answer of just these bytes."""
    return lambda _peer, connection, _received: connection.sendall(data)


def response(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A well-formed response; ``retry_after="3"`` is the header Retry-After."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextmanager
def deaf_listener() -> Iterator[int]:
    """The port of a listener whose backlog is full: connection attempts get no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections for as long as the context lasts: bound, so nobody gets it, but not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def _server_context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")
    return context


def _read_request(connection: socket.socket) -> Received | None:
    with connection.makefile("rb") as lines:
        start = lines.readline().decode().split()
        if not start:
            return None
        headers = {}
        while (line := lines.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = lines.read(int(headers.get("content-length", 0)))
    return Received(start[0], start[1], headers, body)
