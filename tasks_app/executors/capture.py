"""What is kept of a program's output: its head and its tail, as text that JSON and PostgreSQL can hold.

Pure: bytes in, text out, memory bounded whatever comes in. Reading pipes is in `shell_process`.
"""

from __future__ import annotations

from bisect import bisect_right
from codecs import utf_8_decode
from collections.abc import Callable

#: Most bytes of UTF-8 one stream's text may have, the marker included.
LIMIT = 64 * 1024
#: Room for the marker at its longest; also keeps a neighbour of each cut at hand, to see whether it splits a character.
_MARKER_ROOM = 64
_MARKER = "\n[... {} bytes omitted ...]\n"
_LONGEST_SPLIT = 3


class Capture:
    """Head and tail of a stream of bytes: everything up to ``limit`` bytes, else both ends and a marker."""

    __slots__ = ("_head", "_limit", "_tail", "_total")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream; never holds more than one and a half limits and one piece."""
        self._total += len(data)
        side = self._limit // 2
        room = side - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-side:]
        if len(self._tail) > 2 * side:  # not at every piece: moving the tail costs as much as reading it
            del self._tail[:-side]

    def text(self) -> tuple[str, bool]:
        """Return the text, at most ``limit`` bytes in UTF-8, and whether something was left out of it."""
        head, tail = bytes(self._head), bytes(self._tail[-(self._limit // 2) :])
        if self._total <= self._limit:
            whole = head + tail
            if _cost(whole) <= self._limit:
                return _decode(whole), False
            head = tail = whole  # it fitted as bytes, but U+FFFD for a bad byte takes three
        budget = (self._limit - _MARKER_ROOM) // 2
        first, last = _prefix(head, budget), _suffix(tail, budget)
        omitted = self._total - len(first) - len(last)
        return _decode(first) + _MARKER.format(omitted) + _decode(last), True


def _decode(raw: bytes) -> str:
    """UTF-8 with U+FFFD for what is not, and for NUL, which jsonb refuses."""
    return raw.decode("utf-8", "replace").replace("\0", "\ufffd")


def _cost(raw: bytes) -> int:
    return len(_decode(raw).encode())


def _prefix(raw: bytes, budget: int) -> bytes:
    """The longest start of ``raw`` that costs at most ``budget`` and splits no character."""
    _, whole = utf_8_decode(raw[: _most(budget, lambda size: raw[:size])], "replace", False)
    return raw[:whole]


def _suffix(raw: bytes, budget: int) -> bytes:
    """The longest end of ``raw`` that costs at most ``budget`` and splits no character."""
    start = len(raw) - _most(budget, lambda size: raw[len(raw) - min(size, len(raw)) :])
    for _ in range(_LONGEST_SPLIT):
        if start < len(raw) and _continues(raw[start]):
            start += 1
    return raw[start:]


def _most(budget: int, part: Callable[[int], bytes]) -> int:
    """The largest size whose part fits; a byte costs at least one, so it is at most the budget."""
    return bisect_right(range(budget + 1), budget, key=lambda size: _cost(part(size))) - 1


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80
