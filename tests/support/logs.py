"""What is logged in a block, also by loggers that were first used under another configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog.testing
from structlog._config import BoundLoggerLazyProxy


@contextmanager
def capture_logs() -> Iterator[list[Any]]:
    """structlog's, after every module's logger has forgotten the processors it was cached with."""
    for module in list(sys.modules.values()):
        if isinstance(log := getattr(module, "log", None), BoundLoggerLazyProxy):
            vars(log).pop("bind", None)
    with structlog.testing.capture_logs() as lines:
        yield lines
