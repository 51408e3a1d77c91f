"""Runs the WSGI application in a fixed number of threads, and lets none of them wait for a client.

The event loop reads a whole request before a thread gets it, and takes the whole response from the thread before a slow
client has read it. A body that is not wanted, because it is too large, because nobody who sent no credentials has any
business to send so much, or because too much is held already, is not read: the application responds to the head alone,
and the connection is closed after the response.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import IO, Any, Final

import structlog

from access_app.http.streams import DOZE, DOZE_AT_MOST
from scheduler_project.web.environ import environ_of

log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: What anybody may send: a login form, at most.
SMALL_BODY: Final = 64 * 1024
#: Bytes of bodies above `SMALL_BODY` that one process holds at a time.
HELD_AT_MOST: Final = 128 * 1024 * 1024
PIECE: Final = 64 * 1024
_END: Final = object()


class ClientGone(Exception):
    """The connection ended, or was ended, before the request was whole."""


class Busy(Exception):
    """Too many bytes of bodies are held already."""


class Body:
    """A body as far as it was read."""

    def __init__(self, declared: int | None, *, chunked: bool) -> None:
        self.declared = declared
        self.chunked = chunked
        self.pieces: list[bytes] = []
        self.size = 0
        self.is_whole = False

    def environ(self, scope: dict[str, Any]) -> dict[str, Any]:
        data = BytesIO(b"".join(self.pieces))
        if self.is_whole:
            length = self.size if self.chunked or self.declared is not None else None
            return environ_of(scope, data, length=length)
        return environ_of(scope, data, length=self.declared, chunked=self.chunked)


class Doze:
    """What wakes up a response that goes on and has nothing to send, so that it needs no thread until then."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the process is stopping
            self._loop.call_soon_threadsafe(self._woken.set)

    async def rest(self, over: Callable[[], bool]) -> None:
        """Wait until woken, or until it is ``over``, which is asked each second; not for ever.

        A client that goes away ends it: gunicorn cancels what serves a connection that is lost.
        """
        for _ in range(int(DOZE_AT_MOST)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 1.0)
            if self._woken.is_set() or over():
                break
        self._woken.clear()


class FilePieces:
    """``wsgi.file_wrapper``: a file is read piece by piece as it is sent, and never as a whole."""

    def __init__(self, file: IO[bytes], _block_size: int = PIECE) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(PIECE), b"")

    def close(self) -> None:
        self._file.close()


class Bridge:
    """An ASGI application around a WSGI one. ``largest``: bytes of the largest body that anybody may send.

    Its scope has one thing more than ASGI's: ``gone``, which says whether the connection has ended.
    """

    def __init__(self, application: Any, *, threads: int, largest: int) -> None:
        self._application = application
        self._largest = largest
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="web")
        self._held = 0
        self._closed = self._leaving = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = _announced(scope["headers"])
        try:
            await self._read(body, scope["headers"], receive)
            await self._respond(body.environ(scope), send, scope["gone"])
        except Busy:
            await _send_busy(send)
        except ClientGone:
            pass
        finally:
            self._held -= _counted(body.size)

    def leave(self) -> None:
        """End the responses that have nothing to send: whoever reads them comes again, to another process."""
        self._leaving = True

    def close(self) -> None:
        """Take no more requests; what runs in a thread goes on."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _read(self, body: Body, headers: Headers, receive: Receive) -> None:
        """Read the body unless it is not wanted. Raises `ClientGone` and `Busy`."""
        limit = self._largest if _has_credentials(headers) else SMALL_BODY
        if body.declared is not None and body.declared > limit:
            return
        more = True
        while more and body.size <= limit:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGone
            if piece := message.get("body", b""):
                self._hold(body, len(piece))
                body.pieces.append(piece)
            more = message.get("more_body", False)
        body.is_whole = not more

    def _hold(self, body: Body, size: int) -> None:
        before = _counted(body.size)
        body.size += size
        self._held += _counted(body.size) - before
        if self._held > HELD_AT_MOST and body.size > SMALL_BODY:
            raise Busy

    async def _respond(self, environ: dict[str, Any], send: Send, gone: Callable[[], bool]) -> None:
        environ["wsgi.file_wrapper"] = FilePieces
        environ[DOZE] = doze = Doze()
        status, headers, pieces = await self._called(environ)
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if isinstance(pieces, bytes):
                await send({"type": "http.response.body", "body": pieces})
            else:
                await self._stream(iter(pieces), send, gone, doze)
        finally:
            self._let_go(pieces)

    async def _called(self, environ: dict[str, Any]) -> tuple[int, Headers, bytes | Iterable[bytes]]:
        """What the application responds. It is let go once it is there, if its client has gone before."""
        calling = self._in_thread(self._call, environ)
        try:
            return await asyncio.wrap_future(calling)
        except asyncio.CancelledError:
            calling.add_done_callback(self._let_go_unsent)
            raise

    def _let_go_unsent(self, called: Future[Any]) -> None:
        if not called.cancelled() and called.exception() is None:
            self._let_go(called.result()[-1])

    def _let_go(self, pieces: bytes | Iterable[bytes]) -> None:
        if close := getattr(pieces, "close", None):
            with contextlib.suppress(RuntimeError):  # the process is stopping
                self._pool.submit(close)

    async def _stream(self, pieces: Iterator[bytes], send: Send, gone: Callable[[], bool], doze: Doze) -> None:
        while (piece := await asyncio.wrap_future(self._in_thread(next, pieces, _END))) is not _END:
            if gone():  # sending would be ignored, and a response need not have an end
                raise ClientGone
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif self._leaving:
                break
            else:
                await doze.rest(lambda: self._leaving)
        await send({"type": "http.response.body", "body": b""})

    def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Raises `ClientGone` when no more is taken."""
        if self._closed:
            raise ClientGone
        return self._pool.submit(call, *arguments)

    def _call(self, environ: dict[str, Any]) -> tuple[int, Headers, bytes | Iterable[bytes]]:
        """In a thread: run the application. A response of known length comes as a whole, all others piece by piece."""
        started: list[tuple[int, Headers]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            started[:] = [(int(status[:3]), encoded)]

        result = self._application(environ, start_response)
        [(status, headers)] = started
        if isinstance(result, FilePieces) or not any(name.lower() == b"content-length" for name, _ in headers):
            return status, headers, result
        try:
            return status, headers, b"".join(result)
        finally:
            if close := getattr(result, "close", None):
                close()


def _announced(headers: Headers) -> Body:
    """The body that the head announces. Gunicorn has checked that it announces one, and in one way."""
    lengths = [value for name, value in headers if name == b"content-length"]
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    return Body(int(lengths[0]) if lengths else None, chunked=chunked)


def _has_credentials(headers: Headers) -> bool:
    return any(name in (b"authorization", b"cookie") for name, _ in headers)


def _counted(size: int) -> int:
    """How much of a body counts as held: small ones do not, so that large ones cannot crowd them out."""
    return size if size > SMALL_BODY else 0


async def _send_busy(send: Send) -> None:
    log.warning("body_refused", reason="too many bytes of bodies are held")
    headers = [(b"content-type", b"application/problem+json"), (b"retry-after", b"5")]
    body = (
        b'{"type":"urn:problem-type:task-scheduler:unavailable","title":"Service Unavailable","status":503,'
        b'"detail":"Too many large requests at once. Try again.","errors":[],"correlationId":""}'
    )
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
