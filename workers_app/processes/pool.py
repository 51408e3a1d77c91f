"""A worker's threads. They start as they are needed and stay; a burst of instant tasks needs only a few."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

FIRST_THREADS: Final = 4


class Pool(Generic[Item]):
    """Runs ``work(item)`` in at most ``size`` threads. `submit` and `grow` belong to one thread, the starter.

    `grow` adds threads for items that still wait: called a moment after submitting, it finds none when the items were
    instant, and one thread for each when they block.
    """

    def __init__(self, size: int, work: Callable[[Item], None]) -> None:
        self._size = size
        self._work = work
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._add(min(size, FIRST_THREADS))

    @property
    def backlog(self) -> int:
        """Items no thread has taken yet."""
        return self._items.qsize()

    def submit(self, items: Iterable[Item]) -> None:
        for item in items:
            self._items.put(item)

    def grow(self) -> None:
        self._add(min(self.backlog, self._size - len(self._threads)))

    def close(self) -> None:
        """Let each thread end after what it is doing; does not wait."""
        for _ in self._threads:
            self._items.put(None)

    def _add(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._run, name=f"pool {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._work(item)
