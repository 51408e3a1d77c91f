"""What an attempt writes while it runs, held until its worker stores it: bounded, and dropped from its middle.

Any thread of the attempt writes, at the price of an append; one thread of the worker takes. Nothing here waits, decodes
or looks at what is written. What becomes of it is in ``chunks``, where it goes in `tasks_app.task_output`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final, NamedTuple

#: Bytes of the largest piece; what is written at once and is larger is held as several.
PIECE: Final = 32 * 1024


class Piece(NamedTuple):
    """What was written at a moment (of `time.monotonic`), as it came."""

    stream: str
    data: bytes
    at: float


class Dropped(NamedTuple):
    """What was written between two pieces and could not be held: bytes, and ends of lines in them."""

    size: int
    lines: int


class Output:
    """The output of one attempt that nobody has taken yet.

    The first ``head`` bytes of the attempt are not dropped for newer ones, as long as no more than ``held`` of them
    wait. Behind them the newest ``held`` bytes are kept.
    """

    def __init__(self, *, head: int, held: int) -> None:
        self._held = held
        self._lock = threading.Lock()
        self._head: deque[Piece] = deque()
        self._tail: deque[Piece] = deque()
        self._head_left = head
        self._head_size = self._tail_size = self._dropped = self._lines = 0
        self._closed = False

    def write(self, stream: str, data: bytes) -> None:
        """Take what was written next. Never blocks; thread-safe."""
        now = time.monotonic()
        with self._lock:
            if self._closed:
                return
            for start in range(0, len(data), PIECE):
                self._add(Piece(stream, data[start : start + PIECE], now))

    def take(self, most: int) -> list[Piece | Dropped]:
        """Take what waits, oldest first, until that is ``most`` bytes or a little more; thread-safe."""
        with self._lock:
            taken: list[Piece | Dropped] = []
            left, size = _pop(self._head, most, taken)
            self._head_size -= size
            if not self._head:
                if self._dropped:
                    taken.append(Dropped(self._dropped, self._lines))
                    self._dropped = self._lines = 0
                _, size = _pop(self._tail, left, taken)
                self._tail_size -= size
            return taken

    def close(self) -> None:
        """Take no more: what the attempt leaves behind may go on writing."""
        with self._lock:
            self._closed = True

    @property
    def waits(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._head or self._tail)

    def _add(self, piece: Piece) -> None:
        size = len(piece.data)
        whole = not (self._tail or self._dropped)
        if whole and size <= self._head_left and self._head_size + size <= self._held:
            self._head.append(piece)
            self._head_size += size
            self._head_left -= size
            return
        self._tail.append(piece)
        self._tail_size += size
        while self._tail_size > self._held and len(self._tail) > 1:
            old = self._tail.popleft()
            self._tail_size -= len(old.data)
            self._dropped += len(old.data)
            self._lines += old.data.count(b"\n")


def _pop(pieces: deque[Piece], most: int, into: list[Piece | Dropped]) -> tuple[int, int]:
    """Move pieces until ``most`` bytes are moved; return how many bytes are left of that, and were moved."""
    moved = 0
    while pieces and moved < most:
        piece = pieces.popleft()
        into.append(piece)
        moved += len(piece.data)
    return max(0, most - moved), moved
