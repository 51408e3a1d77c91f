"""Where a response begins and ends: `http.client`'s response, made strict about lengths and bounded in what it reads.

`http.client` takes a Content-Length it cannot read for none, headers or chunks cut off by a dying server for complete
ones, and so a crash for a success; it reads interim responses and trailers without end; and one odd line makes it lose
the headers behind it. What the bytes of a body mean is not known here (`http_reply`).

Sources: RFC 9112 §5, §6.3 (message body length), §7.1 (chunks), RFC 9110 §15.2 (interim responses).
"""

from __future__ import annotations

import http.client
import io
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tasks_app.executors.http_failures import NetworkFailure

#: Interim responses (1xx) before the final one. Servers send one or two.
MAX_INTERIM: Final = 16
#: Bytes of all status lines and headers up to the body.
MAX_HEAD: Final = 256 * 1024
MAX_LINE: Final = 64 * 1024
#: Headers in one head, and lines that continue them. `http.client` counts the empty line too, and takes 100.
MAX_HEADERS: Final = 99
#: Bytes of the lines between the chunks of a body, in all: enough for 100,000 chunks.
MAX_CHUNK_LINES: Final = 512 * 1024

#: `http.client` takes whatever `int` does: +200, 0200, 2_00.
_STATUS: Final = re.compile(rb"HTTP/1\.[0-9]+[ \t]+[0-9]{3}[ \t\r\n]")
_HEADER: Final = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_LENGTH: Final = re.compile(r"0*([0-9]{1,18})", re.ASCII)
_CHUNK_SIZE: Final = re.compile(rb"0*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*|\r?)\n")
_PIECE: Final = 16 * 1024
_MAX_CHUNK_LINE: Final = 16 * 1024
_NO_HTTP: Final = "the peer does not speak HTTP/1"
_CUT_CHUNKS: Final = "its body ended before its last chunk"


class BadResponse(NetworkFailure, http.client.HTTPException):
    """A response that is not complete HTTP/1.1; the text says in which way, behind the words "no complete answer:"."""


class _Lines(io.BufferedReader):
    """A reader that watches over the lines of status and headers, and does not while a body is read."""

    def __init__(self, raw: io.RawIOBase, on_status: Callable[[], None]) -> None:
        super().__init__(raw)
        self.in_head = True
        self._on_status = on_status
        self._room = MAX_HEAD
        self._heads = 0
        self._headers: int | None = None  # read in this head; None: its status line comes next
        self._foldable = False  # whether the last line was a header, which the next may continue

    def readline(self, size: int | None = -1, /) -> bytes:
        if not self.in_head:
            return super().readline(size)
        if self._headers is None:
            return self._status_line()
        while (line := self._read_line()) not in {b"\r\n", b"\n"}:
            if not line.endswith(b"\n"):
                raise BadResponse("it ended within its headers")
            if (header := self._header(line)) is not None:
                return header
        self._headers = None
        return line

    def _read_line(self) -> bytes:
        line = super().readline(MAX_LINE + 1)
        self._room -= len(line)
        if len(line) > MAX_LINE:
            raise BadResponse(f"a line of its headers is longer than {MAX_LINE // 1024} KiB")
        if self._room < 0:
            raise BadResponse(f"its headers are longer than {MAX_HEAD // 1024} KiB")
        return line

    def _status_line(self) -> bytes:
        self._heads += 1
        if self._heads > MAX_INTERIM + 1:
            raise BadResponse(f"it began with more than {MAX_INTERIM} interim answers (1xx)")
        line = self._read_line()
        if not line:
            raise BadResponse("the peer closed the connection without one")
        if line.startswith(b"HTTP/1.") and not line.endswith(b"\n"):
            raise BadResponse("it ended within its headers")
        if line.startswith(b"HTTP/1.") and not _STATUS.match(line):
            raise BadResponse(_NO_HTTP)
        self._on_status()
        self._headers, self._foldable = 0, False
        return line

    def _header(self, line: bytes) -> bytes | None:
        """The line in the one form that `email` parses; None when it is no header: it is skipped, as browsers do."""
        folded = line[:1] in {b" ", b"\t"}
        match = None if folded else _HEADER.match(line)
        self._foldable = match is not None or (folded and self._foldable)
        if not self._foldable:
            return None
        assert self._headers is not None
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise BadResponse(f"it has more than {MAX_HEADERS} headers")
        return match[1] + b":" + _one_line(match[2]) if match else _one_line(line)


def _one_line(line: bytes) -> bytes:
    """A bare carriage return ends no line (RFC 9112 §2.2), but does for `email`."""
    return line.rstrip(b"\r\n").replace(b"\r", b" ") + b"\r\n"


class Response(http.client.HTTPResponse):
    """One response: its head by `begin`, which reports to ``on_status`` when it comes, then its body by `read1`.

    Raises `BadResponse`.
    """

    def __init__(self, sock: socket.socket, *args: Any, on_status: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = _Lines(self.fp.detach(), on_status)
        self._received = 0  # bytes of the body
        self._in_chunk = False
        self._chunk_left = 0
        self._line_room = MAX_CHUNK_LINES

    def begin(self) -> None:
        """Read the head, and skip interim responses: `http.client` takes all but 100 for the final one."""
        try:
            super().begin()
            while 101 < self.status < 200:  # 101 is final
                self.headers = self.msg = None  # type: ignore[assignment] # else it thinks that it has been here
                super().begin()
        except (http.client.BadStatusLine, http.client.UnknownProtocol) as error:
            raise BadResponse(_what_else(str(error))) from None
        self.fp.in_head = False
        self._frame()

    def _frame(self) -> None:
        """Say where the body ends: the rules of RFC 9112 §6.3, in their order."""
        codings = [item for item in _items(self.headers.get_all("transfer-encoding", [])) if item != "identity"]
        bodiless = self._method == "HEAD" or self.status < 200 or self.status in {204, 304}  # type: ignore[attr-defined]
        self.chunked, self.length = False, 0 if bodiless else None
        if bodiless:
            return
        if codings not in ([], ["chunked"]):
            raise BadResponse("it has a Transfer-Encoding that was not asked for")
        self.chunked = bool(codings)
        if not self.chunked:
            self.length = _length(self.headers.get_all("content-length", []))

    def read1(self, n: int = -1) -> bytes:
        """At least a byte of the body, at most ``n``; nothing at its end."""
        if self.fp is None or self.length == 0:
            return b""
        n = n if 0 < n < _PIECE else _PIECE
        if self.chunked:
            return self._read_chunk(n)
        data: bytes = self.fp.read1(n if self.length is None else min(n, self.length))
        self._received += len(data)
        if self.length is not None:
            if not data:
                raise BadResponse(f"its body ended after {self._received} of {self._received + self.length} bytes")
            self.length -= len(data)
        return data

    def _read_chunk(self, n: int) -> bytes:
        if not self._chunk_left:
            self._chunk_left = self._next_chunk()
            if not self._chunk_left:  # the last one: trailers would be thrown away, and may go on for ever
                self.length = 0
                return b""
        data: bytes = self.fp.read1(min(n, self._chunk_left))
        if not data:
            raise BadResponse(_CUT_CHUNKS)
        self._chunk_left -= len(data)
        return data

    def _next_chunk(self) -> int:
        """The size of the chunk that comes next; 0: none does."""
        if self._in_chunk and (end := self.fp.readline(2)) not in {b"\r\n", b"\n"}:
            cut = end in {b"", b"\r"}
            raise BadResponse(_CUT_CHUNKS if cut else "its body has a chunk that is not as long as it says")
        self._in_chunk = True
        line: bytes = self.fp.readline(_MAX_CHUNK_LINE)
        self._line_room -= len(line)
        if self._line_room < 0:
            raise BadResponse(f"its body has more than {MAX_CHUNK_LINES // 1024} KiB of chunk sizes")
        if (size := _CHUNK_SIZE.fullmatch(line)) is None:
            cut = not line.endswith(b"\n") and len(line) < _MAX_CHUNK_LINE
            raise BadResponse(_CUT_CHUNKS if cut else "its body has a chunk without a size")
        return int(size[1], 16)


def _items(values: Iterable[str]) -> list[str]:
    """The items of a list header (RFC 9110 §5.6.1), in lower case."""
    return [item for value in values for item in (part.strip(" \t").lower() for part in value.split(",")) if item]


def _length(values: Sequence[str]) -> int | None:
    """What Content-Length says; several may say the same (RFC 9112 §6.3). None: nothing."""
    matches = [_LENGTH.fullmatch(part.strip(" \t")) for value in values for part in value.split(",")]
    lengths = {int(match[1]) if match else None for match in matches}
    if None in lengths:
        raise BadResponse("it has a Content-Length that is no number")
    if len(lengths) > 1:
        raise BadResponse("it has two different Content-Length")
    return lengths.pop() if lengths else None


def _what_else(line: str) -> str:
    """Words for a first line that is no status line; it is not quoted, as it is the peer's."""
    if line.startswith("\x15\x03"):  # an alert (RFC 8446 §5.1): what TLS says to plain text
        return "the peer speaks TLS, so the URL should begin with https://"
    return _NO_HTTP
