"""Ties blocking network work to its `Execution`, so that a stop from outside ends it at once, in every phase.

A socket's time-out is no deadline: it begins anew with each byte a peer drips. Here a stop shuts the socket down under
whoever is blocked on it, names are looked up in threads that can be left behind, and one thread of our own stops work
at its deadline, whether or not the worker's watchdog does so too. What is sent and received is not known here.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from tasks_app.executors.base import Execution, StopReason
from tasks_app.executors.http_failures import Phase

T = TypeVar("T")

#: How often waits that nothing can wake look round, in seconds.
SLICE = 0.05
#: Threads that may hang outside our reach (in ``getaddrinfo``) at once, in the whole process.
MAX_ASIDE = 64


class Stopped(Exception):
    """The attempt was asked to stop; `Execution.stop_reason` says why."""


class Deadlines:
    """One daemon thread, started with the first execution, that stops every watched one at its deadline."""

    def __init__(self) -> None:
        self._watched: set[Execution] = set()
        self._changed = threading.Condition()
        self._rings_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, execution: Execution) -> None:
        with self._changed:
            self._watched.add(execution)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()
            elif execution.deadline < self._rings_at:
                self._changed.notify()

    def discard(self, execution: Execution) -> None:
        with self._changed:
            self._watched.discard(execution)

    def _run(self) -> None:
        while True:
            for execution in self._wait_for_due():
                execution.stop(StopReason.DEADLINE)

    def _wait_for_due(self) -> list[Execution]:
        """Return what is due now; when nothing is, rest until something may be and return an empty list."""
        with self._changed:
            now = time.monotonic()
            due = [execution for execution in self._watched if execution.deadline <= now]
            self._watched.difference_update(due)
            if not due:
                self._rings_at = min((execution.deadline for execution in self._watched), default=math.inf)
                self._changed.wait(None if math.isinf(self._rings_at) else self._rings_at - now)
            return due


_deadlines = Deadlines()
_aside = threading.BoundedSemaphore(MAX_ASIDE)


class Lifeline:
    """What a stop pulls at while an attempt is on the network: a context manager, used by one thread, cut from any."""

    def __init__(self, execution: Execution, *, aside: threading.BoundedSemaphore = _aside) -> None:
        self._execution = execution
        self._aside = aside
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._woken = threading.Event()
        #: What the work is in the middle of, for the message of a time-out.
        self.phase = Phase.LOOK_UP

    def __enter__(self) -> Lifeline:
        _deadlines.add(self._execution)
        self._execution.on_stop(self._cut)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _deadlines.discard(self._execution)
        self._swap(None)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return self._execution.remaining

    def enter(self, phase: Phase) -> None:
        """Note what the work goes on to, unless it was asked to stop: what it does then is the stop's doing."""
        if self._execution.stop_reason is None:
            self.phase = phase

    def check(self) -> None:
        """Raise `Stopped` when the work was asked to stop or has passed its deadline."""
        if self._execution.stop_reason is None and not self._execution.remaining:
            self._execution.stop(StopReason.DEADLINE)
        if self._execution.stop_reason is not None:
            raise Stopped

    def hold(self, sock: socket.socket) -> None:
        """Have a stop shut this connection down, instead of the one held before. Raises `Stopped` when it is too late.

        A duplicate of the descriptor is kept: TLS takes the original over, and once that is closed its number may be
        somebody else's socket.
        """
        self._swap(sock.dup())
        self.check()  # a stop that came before the swap shut nothing down

    def run_aside(self, work: Callable[[], T]) -> T:
        """Do ``work``, which cannot be interrupted, in a thread that a stop leaves behind. Raises `Stopped` then."""
        while not self._aside.acquire(timeout=SLICE):
            self.check()
        future: Future[T] = Future()
        threading.Thread(target=self._settle, args=(future, work), name="http-aside", daemon=True).start()
        while True:
            self._woken.clear()  # before the looks, so that no wake-up is lost
            self.check()
            if future.done():
                return future.result()
            self._woken.wait(self.remaining)

    def _settle(self, future: Future[T], work: Callable[[], T]) -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised again in the waiting thread
            future.set_exception(error)
        finally:
            self._aside.release()
            self._woken.set()

    def _swap(self, sock: socket.socket | None) -> None:
        with self._lock:
            self._socket, sock = sock, self._socket
        if sock is not None:
            sock.close()

    def _cut(self) -> None:
        """Runs in the stopping thread. ``shutdown`` wakes whoever is blocked on the socket; ``close`` would not."""
        self._woken.set()
        with self._lock, suppress(OSError):  # OSError: the connection has ended by itself
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
