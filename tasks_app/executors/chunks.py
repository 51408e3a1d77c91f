"""Cuts what an attempt writes into chunks as they are stored: whole lines, masked, each with its place. Pure.

A place is a number of bytes: how many the attempt had written, on all its streams, up to the end of the chunk. So the
reader of a chunk sees by the place of the next one how much was left out between them, whoever left it out.

A line is masked as a whole, so it waits for its end. One that is too long is cut where no credential goes on, behind a
space or a quote; where there is none, it is cut all the same.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from access_app.masking import MASK, mask_output, names_secret
from tasks_app.executors.emitting import Dropped, Piece

#: Bytes of a line that is not over, or of a chunk.
LONGEST: Final = 16 * 1024
#: Characters of the name of a stream.
LONGEST_NAME: Final = 40
#: No credential that `masking` knows goes on behind one of these.
_SEPARATORS: Final = (b" ", b"\t", b"\n", b"\r", b'"', b"'", b"<", b">", b"\\")
#: Shorter values than this are words that happen to stand under the name of a secret.
_SHORTEST_SECRET: Final = 6


class Chunk(NamedTuple):
    """A part of an attempt's output, as it is stored. ``seq`` is the place of its end, ``size`` its bytes as written.

    ``line`` is the number of the line with which it begins, ``at`` when that was written (of `time.monotonic`).
    """

    seq: int
    size: int
    line: int
    at: float
    stream: str
    text: str


@dataclass(slots=True)
class _Open:
    """A line of a stream that is not over, since when, and whether the rest of a dropped one comes first."""

    data: bytes = b""
    at: float = 0.0
    cut: bool = False


@dataclass(slots=True)
class Chunks:
    """Of one attempt: where its output has got to. ``secrets`` are masked wherever they stand."""

    secrets: tuple[str, ...] = ()
    longest: int = LONGEST
    seq: int = 0
    line: int = 1
    _open: dict[str, _Open] = field(default_factory=dict)
    #: Something was dropped: what a stream writes first may be the rest of a line.
    _dropped: bool = False

    def add(self, taken: Iterable[Piece | Dropped], *, last: bool = False) -> list[Chunk]:
        """The chunks that are complete with these pieces; with ``last``, everything there is."""
        made: list[Chunk] = []
        for piece in _joined(taken, self.longest):
            if isinstance(piece, Dropped):
                self._drop(piece)
            else:
                made += self._take(piece)
        if last:
            for stream, line in self._open.items():
                made += self._cut(stream, line.data, line.at)
                line.data = b""
        return made

    def _drop(self, dropped: Dropped) -> None:
        """What is left of lines that have lost a part cannot be masked: it is left out, too."""
        self._dropped = True
        self.seq += dropped.size
        self.line += dropped.lines
        for line in self._open.values():
            self.seq += len(line.data)
            line.data, line.cut = b"", True

    def _take(self, piece: Piece) -> Iterator[Chunk]:
        line = self._open.setdefault(piece.stream, _Open(cut=self._dropped))
        data = self._behind_cut(line, piece.data) if line.cut else piece.data
        data, at = line.data + data, line.at if line.data else piece.at
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - end > self.longest:
            end = _last_separator(data, end) or _whole_characters(data)
        yield from self._cut(piece.stream, data[:end], at)
        line.data, line.at = data[end:], piece.at

    def _behind_cut(self, line: _Open, data: bytes) -> bytes:
        end = data.find(b"\n") + 1
        line.cut = not end
        skipped = end or len(data)
        self.seq += skipped
        self.line += 1 if end else 0
        return data[skipped:]

    def _cut(self, stream: str, data: bytes, at: float) -> Iterator[Chunk]:
        """Chunks of whole lines, and of parts of a line that is longer than a chunk."""
        while data:
            end = len(data)
            if end > self.longest:
                end = data.rfind(b"\n", 0, self.longest) + 1 or _last_separator(data[: self.longest], 0)
                end = end or _whole_characters(data[: self.longest])
            part, data = data[:end], data[end:]
            self.seq += len(part)
            yield Chunk(self.seq, len(part), self.line, at, _name(stream), self._text(part))
            self.line += part.count(b"\n")

    def _text(self, part: bytes) -> str:
        text = part.decode("utf-8", "replace").replace("\0", "\ufffd")
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return mask_output(text, MASK)


def _name(stream: str) -> str:
    """As PostgreSQL takes it, whatever an executor calls its stream."""
    return stream[:LONGEST_NAME].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def secrets_of(payload: Any, *others: str | None) -> tuple[str, ...]:
    """Texts that a task was given under the name of a secret, and others: line by line, the longest first."""
    texts = [*_named_secrets(payload, secret=False), *(other for other in others if other)]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    return tuple(sorted((line for line in lines if len(line) >= _SHORTEST_SECRET), key=len, reverse=True))


def _named_secrets(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _named_secrets(item, secret=secret or names_secret(name))
    elif isinstance(value, list):
        for item in value:
            yield from _named_secrets(item, secret=secret)
    elif secret and isinstance(value, str):
        yield value


def _joined(taken: Iterable[Piece | Dropped], longest: int) -> Iterator[Piece | Dropped]:
    """Small pieces of the same stream that follow each other, as one."""
    waiting: list[Piece] = []
    size = 0
    for piece in taken:
        if waiting and (isinstance(piece, Dropped) or piece.stream != waiting[0].stream or size >= longest):
            yield _one(waiting)
            waiting, size = [], 0
        if isinstance(piece, Dropped):
            yield piece
        else:
            waiting.append(piece)
            size += len(piece.data)
    if waiting:
        yield _one(waiting)


def _one(pieces: list[Piece]) -> Piece:
    first = pieces[0]
    return first if len(pieces) == 1 else first._replace(data=b"".join(piece.data for piece in pieces))


def _last_separator(data: bytes, start: int) -> int:
    """The place behind the last separator; 0 where there is none."""
    return max(data.rfind(separator, start) for separator in _SEPARATORS) + 1


def _whole_characters(data: bytes) -> int:
    """How many bytes of it are whole characters of UTF-8, or none at all."""
    _, whole = utf_8_decode(data, "replace", False)
    return whole or len(data)
