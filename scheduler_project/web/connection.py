"""One connection of the web process: gunicorn's HTTP/1 protocol, with an end for whoever is slow, floods or stays.

Gunicorn parses and frames. Added here: the phase a connection is in, for the worker's look at all of them; bounds on
the head and on the pieces of a chunked body; refusals as problem documents; and a closing that lets the client read a
response given before its request had come as a whole (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import termios
from http import HTTPStatus
from typing import Any, Final, Protocol

import structlog
from gunicorn.asgi.parser import ParseError
from gunicorn.asgi.protocol import ASGIProtocol

from scheduler_project.web.patience import EXPENDABLE, HEARD_WITHIN, Phase, Watch

log = structlog.get_logger(__name__)

#: Bytes of request line and header fields together.
LARGEST_HEAD: Final = 64 * 1024
#: Pieces a chunked body may come in, and bytes that earn another: each piece costs time, however small it is.
MOST_CHUNKS: Final = 10_000
BYTES_A_CHUNK: Final = 256
#: Bytes that one piece may announce: more is a mistake or a trick, and would be waited for in vain.
LARGEST_CHUNK: Final = 2**30
#: Bytes that are read at once, and that wait while a request is served: the next of a pipelining client, say. With a
#: response that nobody takes they are what a connection costs.
READ_AT_ONCE: Final = 64 * 1024
READ_AHEAD: Final = 16 * 1024
#: Bytes that are thrown away while a connection closes.
THROWN_AWAY: Final = 4 * 1024 * 1024
_KINDS: Final = {400: "bad-request", 408: "too-slow", 414: "uri-too-long", 431: "head-too-large", 503: "unavailable"}


class Doorkeeper(Protocol):
    """What a connection asks of the worker it came to."""

    loop: asyncio.AbstractEventLoop

    def admit(self, connection: Connection) -> bool:
        """Take it in, or return False when there is no room."""


class Connection(ASGIProtocol):  # type: ignore[misc]  # gunicorn is untyped
    def __init__(self, worker: Doorkeeper) -> None:
        super().__init__(worker)
        self._max_buffer_size = READ_AHEAD
        self._began = worker.loop.time()  # this connection, or the head of the latest request
        self._watch = Watch(since=self._began)
        self._received = self._written = self._head = self._chunks = self._chunked_bytes = 0
        self._thrown_away: int | None = None
        self._half_closed = False

    # What the worker asks.

    @property
    def phase(self) -> Phase:
        if self._closed:
            return Phase.CLOSING
        if self.transport.get_write_buffer_size() > 0:
            return Phase.RESPONSE
        if self._current_request is None:
            return Phase.IDLE if self.req_count > 1 and not self._head else Phase.HEAD
        return Phase.SERVING if self._is_whole() else Phase.BODY

    def is_expendable(self, now: float) -> bool:
        """Whether it may make room: nothing of it is in our hands or waits to be read, or what is moves very slowly."""
        phase = self.phase
        if phase in EXPENDABLE:
            return now - self._began >= HEARD_WITHIN and not self._has_unread()
        same = phase == self._watch.phase in (Phase.BODY, Phase.RESPONSE)
        return same and self._watch.is_slow(moved=self._moved(phase), now=now)

    def look(self, now: float) -> None:
        """End the connection if it takes too long."""
        phase = self.phase
        left = self._half_closed and phase in (Phase.IDLE, Phase.HEAD)  # it can ask for nothing more
        if left or self._watch.is_overdue(phase, request=self.req_count, moved=self._moved(phase), now=now):
            self.end(phase)

    def end(self, phase: Phase) -> None:
        log.info("connection_ended", phase=phase, ip=self._peer())
        if phase == Phase.BODY or (phase == Phase.HEAD and self._head):
            self.refuse(408, "The request did not come in time.")
        else:
            self.abort()

    def _moved(self, phase: Phase) -> int:
        """Bytes that came, for a body, or that the client has taken."""
        return self._received if phase == Phase.BODY else self._written - self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Drop it at once, and whatever was still to be sent."""
        self._closed = True
        self._request_ready.set()  # its loop sees that the connection is closed
        self.transport.abort()

    def refuse(self, status: int, detail: str) -> None:
        """Respond in place of the application, and close."""
        self._send_error_response(status, detail)
        self._close_transport()
        if self._body_receiver is not None:
            self._body_receiver.signal_disconnect()
        self._request_ready.set()

    # What asyncio and gunicorn's protocol call.

    def connection_made(self, transport: Any) -> None:
        transport.max_size = READ_AT_ONCE  # asyncio's default is four times that
        super().connection_made(transport)
        if not self.worker.admit(self):
            self._send_error_response(503, "Too many connections. Try again.", [("Retry-After", "5")])
            super()._close_transport()
            self._request_ready.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.pop(self, None)
        super().connection_lost(exc)
        if self._flow_control is not None:
            self._flow_control.resume_writing()  # whoever waits to write more sees that nobody is there

    def eof_received(self) -> bool:
        """Respond to a client that has only ended its own side, if it has asked for something."""
        self._half_closed = True
        return self._current_request is not None and self._is_whole() and not self._closed

    def data_received(self, data: bytes) -> None:
        if self._thrown_away is not None:
            self._throw_away(len(data))
            return
        if self._closed:
            return
        if not self._head:
            self._began = self.worker.loop.time()
        self._received += len(data)
        try:
            super().data_received(data)
        except ValueError:  # a Content-Length of more digits than Python converts
            self.refuse(400, "Content-Length must be a number.")
        if self._callback_parser._chunk_remaining > LARGEST_CHUNK and not self._closed:
            self.refuse(400, "A chunk announces too many bytes.")
        self._head = 0 if self._current_request is not None else self._head + len(data)
        if self._head > LARGEST_HEAD and not self._closed:
            self.refuse(431, f"The head of a request must not be larger than {LARGEST_HEAD} bytes.")

    def _on_headers_complete(self) -> Any:
        self._chunks = self._chunked_bytes = 0
        return super()._on_headers_complete()

    def _on_body(self, chunk: bytes) -> None:
        if self._current_request.chunked:
            self._chunks += 1
            self._chunked_bytes += len(chunk)
            if self._chunks > MOST_CHUNKS + self._chunked_bytes // BYTES_A_CHUNK:
                raise ParseError("Too many chunks for so small a body")
        super()._on_body(chunk)

    def _build_http_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        return {**super()._build_http_scope(request, sockname, peername), "gone": lambda: self._closed}

    def _is_websocket_upgrade(self, request: Any) -> bool:
        return False  # nobody here speaks it: the request is served as any other

    def _will_close(self, request: Any, response_requires_close: bool) -> bool:
        """Say ``Connection: close`` with a response to a request that was not read to its end, too."""
        ends = self._half_closed or not self._is_whole()
        return ends or bool(super()._will_close(request, response_requires_close))

    def _is_whole(self) -> bool:
        return self._body_receiver is None or self._body_receiver._complete

    def _send_body(self, body: bytes, chunked: bool = False, last: bool = False, size: int | None = None) -> None:
        self._written += len(body)
        super()._send_body(body, chunked, last, size)

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        if self._closed:
            return
        if status == HTTPStatus.INTERNAL_SERVER_ERROR and not self._is_whole():
            status, message = 408, "The request did not come in time."  # gunicorn has waited in vain for a body
        title = HTTPStatus(status).phrase
        log.info("request_refused", kind="protocol", status=status, reason=message[:200], ip=self._peer())
        document = {
            "type": f"urn:problem-type:task-scheduler:{_KINDS.get(status, 'bad-request')}",
            "title": title,
            "status": status,
            "detail": message[:200],
            "errors": [],
            "correlationId": "",
        }
        body = json.dumps(document).encode()
        fields = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))), *extra_headers]
        head = "".join(f"{name}: {value}\r\n" for name, value in [*fields, ("Connection", "close")])
        self._safe_write(f"HTTP/1.1 {status} {title}\r\n{head}\r\n".encode("latin-1") + body)

    def _close_transport(self) -> None:
        """Close; first half only when the client may still be sending: a reset would take the response from it."""
        if self._closed or self.transport is None:
            return
        if self._half_closed or (self._current_request is not None and self._is_whole()):
            super()._close_transport()
            self.transport.close()  # gunicorn leaves it open when the peer is gone already, and write_eof() fails
            return
        self._closed = True
        self._thrown_away = 0
        with contextlib.suppress(OSError):
            self.transport.write_eof()
        self._resume_reading()

    def _throw_away(self, size: int) -> None:
        self._thrown_away = (self._thrown_away or 0) + size
        if self._thrown_away > THROWN_AWAY:
            self.abort()

    def _has_unread(self) -> bool:
        descriptor = self.transport.get_extra_info("socket").fileno()
        return descriptor >= 0 and fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4) != b"\0" * 4

    def _peer(self) -> str:
        peer = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""
