"""Wake-up hints between processes, as NOTIFY. A hint may be lost: everything also works at the poll interval.

Sending happens after commit and never inside the transaction that made the work, because commits that notify queue up
behind one lock of the whole database. One thread per process sends; what is asked for while it sends goes out together.
Listening is ``workers_app/processes/wakeups.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway
from tasks_app.sessions import Session

#: Channel of schedulers: there may be something to assign. An empty message says that it may have been due for long,
#: `NEW` that there is only room for more, or new tasks.
SCHEDULERS = "task_scheduler_due"
NEW = "new"
#: Channel of workers: a comma-separated list of worker ids that were given tasks, or * for all of them. An id behind a
#: ! is one whose running tasks are to be looked at: one of them shall stop, or the worker shall drain.
WORKERS = "task_scheduler_workers"
#: Room for this many ids in one message (NOTIFY takes less than 8,000 bytes).
MOST_IDS = 200

log = structlog.get_logger(__name__)

#: Of the poll interval, for each of the two who look: a fifth is left for what they do.
SHARE_WITHOUT_WAKE_UPS: Final = 0.4


def enabled() -> bool:
    """Whether wake-ups are used at all (``DIRECT_DATABASE_URL=off`` turns them off)."""
    return settings.DATABASE.direct_conninfo is not None


def longest_rest() -> timedelta:
    """How long a scheduler may rest with nothing due. Without wake-ups a worker looks as often too.

    A task then waits for two looks one after the other, the scheduler's and its worker's. Together they must take no
    longer than the poll interval, the statements between them included.
    """
    interval: timedelta = settings.SCHEDULER.polling_interval
    return interval if enabled() else interval * SHARE_WITHOUT_WAKE_UPS


class Sender:
    """Sends wake-ups from a thread of its own, coalesced. Thread-safe; asking costs microseconds and never fails."""

    def __init__(self) -> None:
        self._asked = threading.Condition()
        self._schedulers: set[str] = set()
        self._workers: set[str] = set()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def wake_schedulers(self, word: str) -> None:
        with self._asked:
            self._schedulers.add(word)
            self._wake()

    def wake_workers(self, words: Iterable[str]) -> None:
        with self._asked:
            self._workers.update(words)
            self._wake()

    def close(self) -> None:
        """Send what was asked for and end the thread; the next thing asked for starts another."""
        with self._asked:
            thread, self._thread = self._thread, None
            self._stopped = True
            self._asked.notify()
        if thread is not None:
            thread.join(timeout=2)
        self._stopped = False

    def _wake(self) -> None:
        if not enabled():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wake-up sender", daemon=True)
            self._thread.start()
        self._asked.notify()

    def _run(self) -> None:
        session = Session("wake-ups")
        while messages := self._next():
            _send(session, messages)
        session.close()

    def _next(self) -> list[tuple[str, str]]:
        with self._asked:
            while not (self._schedulers or self._workers or self._stopped):
                self._asked.wait()
            schedulers, workers = self._schedulers, sorted(self._workers)
            self._schedulers, self._workers = set(), set()
        messages = [(SCHEDULERS, min(schedulers))] if schedulers else []  # the empty one says more
        return messages + [(WORKERS, ids) for ids in [_worker_message(workers)] if ids]


def _send(session: Session, messages: list[tuple[str, str]]) -> None:
    """Send now; a hint may be lost, whatever the reason."""
    if not enabled():
        return
    channels, texts = map(list, zip(*messages, strict=True))
    try:
        session.fetch(
            "SELECT pg_notify(channel, message) FROM unnest(%s::text[], %s::text[]) AS m(channel, message)",
            [channels, texts],
        )
    except (DatabaseAway, psycopg.Error) as error:
        log.debug("wakeup_not_sent", error=str(error))


def _worker_message(worker_ids: list[str]) -> str:
    return "*" if len(worker_ids) > MOST_IDS else ",".join(worker_ids)


_sender: tuple[int, Sender] | None = None
_sender_lock = threading.Lock()


def sender() -> Sender:
    """This process's sender; a forked child gets one of its own."""
    global _sender
    with _sender_lock:
        if _sender is None or _sender[0] != os.getpid():
            _sender = (os.getpid(), Sender())
        return _sender[1]


def notify_schedulers(session: Session | None = None, *, only_new: bool = False) -> None:
    """Notify schedulers that tasks were added or given back, or that room came free.

    ``only_new``: nothing has come in sight that should have been seen before, so nobody has to look at everything. With
    a ``session`` of the caller's it is sent at once, and needs no connection of its own.
    """
    word = NEW if only_new else ""
    if session is None:
        sender().wake_schedulers(word)
    else:
        _send(session, [(SCHEDULERS, word)])


def notify_workers(session: Session, worker_ids: Iterable[UUID]) -> None:
    """Notify workers that tasks were assigned to them."""
    _send(session, [(WORKERS, _worker_message(sorted(map(str, worker_ids))))])


def notify_stops(session: Session, worker_ids: Iterable[UUID]) -> None:
    """Notify workers, over the caller's session, that tasks of theirs are to stop."""
    _send(session, [(WORKERS, _worker_message([f"!{worker_id}" for worker_id in worker_ids]))])


def notify_stop(worker_id: UUID) -> None:
    """Notify a worker that a task of its own is to stop, or that it is to drain."""
    sender().wake_workers([f"!{worker_id}"])
