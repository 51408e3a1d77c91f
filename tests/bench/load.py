"""Load on the API from threads of this process, bounded in count and time. Latencies count from when a call was due."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.bench.client import Connection


@dataclass(frozen=True, slots=True)
class Call:
    """When it was due (``time.time()``), how many seconds until its answer, and the status."""

    due: float
    seconds: float
    status: int


def saturate(port: int, whole_request: bytes, *, threads: int, count: int) -> tuple[float, list[Call]]:
    """``count`` calls as fast as ``threads`` connections can; returns calls a second, and the calls."""
    numbers = itertools.count()
    began = time.time()

    def work(connection: Connection, calls: list[Call]) -> None:
        while next(numbers) < count:
            calls.append(_call(connection, whole_request, time.time()))

    calls = _in_threads(port, threads, work)
    return len(calls) / (time.time() - began), calls


def at_rate(port: int, requests: Sequence[bytes], *, rate: float, count: int, threads: int) -> list[Call]:
    """``count`` calls, one each 1/``rate`` s whatever the answers take; ``requests`` take turns."""
    numbers, began = itertools.count(), time.time()

    def work(connection: Connection, calls: list[Call]) -> None:
        while (number := next(numbers)) < count:
            due = began + number / rate
            time.sleep(max(0.0, due - time.time()))
            calls.append(_call(connection, requests[number % len(requests)], due))

    return _in_threads(port, threads, work)


def _in_threads(port: int, threads: int, work: Callable[[Connection, list[Call]], None]) -> list[Call]:
    calls: list[Call] = []  # list.append is atomic

    def run(_: int) -> None:
        connection = Connection(port)
        try:
            work(connection, calls)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return calls


def _call(connection: Connection, whole_request: bytes, due: float) -> Call:
    status, body = connection.send(whole_request)
    if status // 100 != 2:
        raise RuntimeError(f"answered {status}: {body[:300]!r}")
    return Call(due, time.time() - due, status)


class Background(threading.Thread):
    """Runs ``work`` beside the measurement; `result` waits for what it returned, and raises what it raised."""

    def __init__(self, work: Callable[[], list[Call]]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._calls: list[Call] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._calls = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> list[Call]:
        self.join()
        if self._error is not None:
            raise self._error
        return self._calls
