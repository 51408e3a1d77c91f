"""Log lines written by a thread of their own, so that no pool thread waits for a slow reader of stderr.

The queue is bounded: when it is full lines are dropped, counted, and the count becomes a line as soon as there is room.
Nothing is said here about what a line looks like: the handlers of the root logger do that, in that thread.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

#: Lines that may wait: some seconds of a busy worker, a few megabytes.
MOST_WAITING: Final = 10_000
#: Seconds the last lines are given when the process ends.
PATIENCE: Final = 2.0

log = structlog.get_logger(__name__)
_Line = tuple[contextvars.Context, logging.LogRecord]


@contextmanager
def in_background(*, most_waiting: int = MOST_WAITING, patience: float = PATIENCE) -> Iterator[QueueHandler]:
    """Let the root logger's handlers work in a thread of their own until the block ends, and what waits is written.

    Do not fork inside the block: a child has the queue but not the thread.
    """
    root = logging.getLogger()
    handlers = list(root.handlers)
    waiting = QueueHandler(handlers, most_waiting)
    root.handlers[:] = [waiting]
    waiting.start()
    try:
        yield waiting
    finally:
        root.handlers[:] = handlers
        waiting.stop(patience)


class QueueHandler(logging.Handler):
    """Takes records from any thread without ever waiting, and hands them to ``handlers`` in one thread."""

    def __init__(self, handlers: list[logging.Handler], most_waiting: int) -> None:
        super().__init__()
        self.dropped = 0
        self._handlers = handlers
        self._lines: queue.Queue[_Line | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # The context goes along, because ids bound in it become part of the line where it is formatted.
            self._lines.put_nowait((contextvars.copy_context(), record))
        except queue.Full:
            self.dropped += 1

    def stop(self, patience: float) -> None:
        """Write what waits, for at most ``patience`` seconds: a reader that is stuck must not keep the process."""
        deadline = time.monotonic() + patience
        try:
            self._lines.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            context, record = line
            for handler in self._handlers:
                if record.levelno >= handler.level:
                    context.run(handler.handle, record)
            self._report_dropped()

    def _report_dropped(self) -> None:
        if not self.dropped or self._lines.full():
            return
        self.acquire()  # held around every `emit`, so no count is lost
        dropped, self.dropped = self.dropped, 0
        self.release()
        log.warning("log_lines_dropped", lines=dropped)
