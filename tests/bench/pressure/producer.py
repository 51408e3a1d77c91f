"""A producer that goes on whatever happens: what it could not create while the database was away, it creates later."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks

TICK = 0.02
TASK = NewTask(type="BENCH_MARK")
BATCH = 5_000


class Producer(threading.Thread):
    """Creates ``rate`` tasks a second. A batch that was not confirmed is created again, as other tasks."""

    def __init__(self, rate: float) -> None:
        super().__init__(name="producer", daemon=True)
        self.rate = rate
        #: When each accepted task was due to be created, whenever it was.
        self.due: dict[UUID, float] = {}
        #: Batches that were not confirmed: their tasks may exist, too.
        self.unconfirmed = 0
        self._at = time.time()
        self._closed = threading.Event()

    @property
    def late(self) -> float:
        """Seconds by which it lags behind its own schedule, while it has one."""
        return 0.0 if self._closed.is_set() else max(0.0, time.time() - self._at)

    def run(self) -> None:
        self._at, owed = time.time(), 0.0
        while not self._closed.wait(max(0.0, self._at - time.time())):
            dues: list[float] = []
            while self._at <= time.time() and len(dues) < BATCH:  # what is overdue goes in large batches
                owed += self.rate * TICK
                dues += [self._at] * int(owed)
                owed -= int(owed)
                self._at += TICK
            self._create(dues)
        connection.close()

    def burst(self, count: int) -> None:
        """So many more at once, created by the calling thread."""
        connection.close()  # it may be of before a restart
        due = time.time()
        for first in range(0, count, BATCH):
            self._create([due] * min(BATCH, count - first))
        connection.close()

    def close(self) -> None:
        self._closed.set()
        self.join(30)

    def _create(self, dues: Sequence[float]) -> None:
        """One task for each moment."""
        while dues and not self._closed.is_set():
            try:
                ids = create_tasks([TASK] * len(dues), created_by="bench")
            except (DatabaseError, InterfaceError):
                self.unconfirmed += 1
                connection.close()
                self._closed.wait(0.1)
            else:
                self.due.update(zip(ids, dues, strict=True))
                return
