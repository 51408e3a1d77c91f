"""Signals as bytes on a pipe: a handler writes one byte and does nothing else.

Anything more in a handler can meet a lock its own thread holds (`threading.Event.set` did, after thousands of signals).
The same pipe is how any thread wakes the loop.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SelfPipe:
    """Wakes a `select`: thread-safe, signal-safe, and full is as good as written."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self.stop_requests = 0

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._writer, b".")

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1
        self.wake()

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Sleep until woken or one of the other descriptors can be read; answer which of those can."""
        ready, _, _ = select.select([self.reader, *others], [], [], max(0.0, seconds))
        if self.reader in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.reader, 4096):
                    pass
        return [descriptor for descriptor in ready if descriptor != self.reader]

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


@contextlib.contextmanager
def stop_on_signals(pipe: SelfPipe) -> Iterator[None]:
    """Count SIGTERM and SIGINT on the pipe while the block runs. Main thread only."""
    previous = {number: signal.signal(number, pipe.on_signal) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
