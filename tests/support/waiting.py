"""Waiting for facts, with a deadline. Nothing here sleeps for a fixed time and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 5.0, *, interval: float = 0.01) -> T:
    """Return the first truthy value of ``predicate``; fail when there is none within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so within {timeout:g} s: it was last {value!r}")
        time.sleep(interval)
    return value
