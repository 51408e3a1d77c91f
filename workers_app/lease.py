"""A worker's own view of its lease, and the clock it is measured with. Pure but for that clock.

The lease counts from the moment the last accepted beat was *sent*: a scheduler sees that beat later than that, and
waits one whole lease of unchanged beats, so the worker's own lease always ends first.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds on a clock that never goes back and, where there is one, counts the time a machine was suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Thread-safe. Registration is the first beat: the lease counts from when that was sent."""

    def __init__(self, timeout: timedelta, margin: timedelta) -> None:
        self._usable = (timeout - margin).total_seconds()
        self._sent = now()
        self._lock = threading.Lock()
        self._ended = False

    def renew(self, sent: float) -> bool:
        """Count from ``sent``. False, for ever, once the lease has ended: such an incarnation never beats again."""
        with self._lock:
            if not self._ended:
                self._sent = max(self._sent, sent)
            return not self._ended

    @property
    def remaining(self) -> float:
        """Seconds until work must be dropped; 0 once it has ended."""
        with self._lock:
            return 0.0 if self._ended else max(0.0, self._sent + self._usable - now())

    @property
    def running(self) -> bool:
        return self.remaining > 0

    def end(self) -> None:
        """End the lease for good, now."""
        with self._lock:
            self._ended = True
