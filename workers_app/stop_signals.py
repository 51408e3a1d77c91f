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
from typing import Final

#: A process that gets one of these again is to stop now, not in its own time.
URGENT: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def _named(*names: str) -> frozenset[int]:
    return frozenset(int(getattr(signal, f"SIG{name}")) for name in names if hasattr(signal, f"SIG{name}"))


#: Those that are no wish to end a process: faults of its own, writes that fail, job control, reports of the kernel.
_OTHER: Final = _named(
    "KILL", "STOP", "ILL", "TRAP", "ABRT", "IOT", "EMT", "BUS", "FPE", "SEGV", "SYS", "PIPE", "XFSZ"
) | _named("CHLD", "CLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "WINCH", "INFO")
#: Every signal that would end this process without a trace, be it a closed terminal (HUP), Ctrl-\ (QUIT), or what a
#: tool sends to ask for something that we do not know (USR1): all of them ask for a clean stop.
STOP_SIGNALS: Final = frozenset(map(int, signal.valid_signals())) - _OTHER


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

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        # A terminal that closes sends HUP twice, once by its shell: only those of `URGENT` count again.
        if number in URGENT or not self.stop_requests:
            self.stop_requests += 1
        self.wake()

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Sleep until woken or one of the other descriptors can be read; return which of those can."""
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
    """Count stop signals on the pipe while the block runs, those also that came while they were blocked.

    One that was ignored when the process started stays so, as `nohup` wants it, and one that somebody handles, a
    profiler say, stays theirs. Main thread only.
    """
    numbers = [number for number in STOP_SIGNALS if number in URGENT or signal.getsignal(number) is signal.SIG_DFL]
    previous = {number: signal.signal(number, pipe.on_signal) for number in numbers}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
