"""Undoes the Content-Encoding of a body, gzip and deflate, one in another too, in steps of bounded size.

All members of a gzip body are read. What follows them and does not begin like a member is padding or garbage and is
ignored, as gzip(1) and browsers do; a member that begins must end.

Sources: RFC 9110 §8.4, RFC 1952 §2.2 (members), RFC 1950 and 1951 (deflate).
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

from tasks_app.executors.http_failures import NetworkFailure

#: Codings one in another. Nobody sends more than two; each makes one byte a thousand.
MAX_LAYERS: Final = 4
#: Bytes that a coding may hand to the one inside it, in all.
MAX_BETWEEN: Final = 1024 * 1024

_PIECE: Final = 16 * 1024
_MAGIC: Final = b"\x1f\x8b"
_TOKEN: Final = re.compile(r"[a-z0-9._-]{1,32}")


class BadCoding(NetworkFailure):
    """A body is not what its Content-Encoding says, or only the beginning of it; the text says which."""


class UnknownCoding(Exception):
    """A coding that cannot be undone; the text says which."""


class Decoder:
    """Undoes all codings of one body. Once `spent`, it yields nothing more, as what it was given makes too much."""

    def __init__(self, content_encoding: str) -> None:
        """Raises `UnknownCoding`."""
        names = [name for name in map(str.strip, content_encoding.lower().split(",")) if name not in {"", "identity"}]
        if len(names) > MAX_LAYERS:
            raise UnknownCoding(f"{len(names)} codings")
        for name in names:
            if name not in _LAYERS:
                raise UnknownCoding(name if _TOKEN.fullmatch(name) else "a coding of an odd name")
        self._layers = [_LAYERS[name]() for name in reversed(names)]
        self._room = MAX_BETWEEN
        self.spent = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` adds to the body, in small pieces. Raises `BadCoding`."""
        return self._through(self._layers, data)

    def finish(self) -> None:
        """Raise `BadCoding` when the body is not whole."""
        if not all(layer.whole for layer in self._layers):
            raise BadCoding("the compressed body ends too early")

    def _through(self, layers: Sequence[_Layer], data: bytes) -> Iterator[bytes]:
        if not layers:
            yield data
            return
        for piece in layers[0].decode(data):
            if layers[1:]:
                self._room -= len(piece)
                self.spent = self._room < 0
            if self.spent:
                return
            yield from self._through(layers[1:], piece)


class _Layer(ABC):
    """One coding. ``_held`` is what is too short to be recognised."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._held = b""

    @property
    def whole(self) -> bool:
        return not self._held and (self._stream is None or self._stream.eof)

    @abstractmethod
    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` adds to what the coding holds. Raises `BadCoding`."""

    def _inflate(self, stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = stream.decompress(data, _PIECE)
            except zlib.error:
                raise BadCoding("the compressed body is not what its Content-Encoding says") from None
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if stream.eof or not data:
                return


class _Gzip(_Layer):
    _members = 0
    _over = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data and not self._over:
            if self._stream is None and (data := self._next_member(data)):
                self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
            if self._stream is not None:
                yield from self._inflate(self._stream, data)
                data = self._end_of_member(self._stream)

    def _next_member(self, data: bytes) -> bytes:
        """Where a member begins; nothing when none does, or it cannot be known yet. The first has no choice."""
        data = self._held + data
        self._held = b""
        if not self._members:
            return data
        data = data.lstrip(b"\0")
        if data == _MAGIC[:1]:
            self._held, data = data, b""
        elif not data.startswith(_MAGIC):
            self._over, data = bool(data), b""
        return data

    def _end_of_member(self, stream: zlib._Decompress) -> bytes:
        if not stream.eof:
            return b""
        self._members += 1
        self._stream = None
        return stream.unused_data


class _Deflate(_Layer):
    """It should come in zlib's wrapper (RFC 9110 §8.4.1.2), but some servers send it raw."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._held + data
            self._held = data if len(data) < 2 else b""
            if self._held:
                return
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        if not self._stream.eof:
            yield from self._inflate(self._stream, data)


_LAYERS: Final[dict[str, type[_Layer]]] = {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate}
