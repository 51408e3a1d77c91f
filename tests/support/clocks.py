"""A monotonic clock that a test moves on."""

from __future__ import annotations

import pytest

#: Seconds between two readings: what a test does takes no time of its own, but never none.
BETWEEN = 1e-6


class Clock:
    """``now`` may be moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += BETWEEN
        return self.now


def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put `time.monotonic` on a clock of the test's, for the rest of it."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock.monotonic)
    return clock
