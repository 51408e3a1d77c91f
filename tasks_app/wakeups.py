"""Wake-up hints between processes, as NOTIFY. A hint may be lost: everything also works at the poll interval.

Commits that notify queue up behind one lock of the whole database, so no hint is in a transaction that waits for the
disk. That of a pass does not, and has the hints to workers in it. Whoever creates one task on a quiet system sends the
hint in the same trip, in a transaction of its own behind the task's. All others ask one thread per process to send,
after their commit; what is asked for while it sends goes out together.
Listening is ``workers_app/processes/wakeups.py``.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway
from tasks_app.fields import QUEUE_NAME
from tasks_app.sessions import Session

#: Channel of schedulers: there may be something to assign. An empty message says that it may have been due for long,
#: `ENDED` that others wait for a task which has ended, `NEW` that there is only room for more, or new tasks. When
#: these are due at once, and in few pairs of queue and priority, the message is the pairs, as JSON. What a process does
#: not understand it takes for an empty one.
SCHEDULERS = "task_scheduler_due"
NEW = "new"
ENDED = "ended"
#: More pairs are no longer worth a pass of their own (NOTIFY takes less than 8,000 bytes; a pair 110 at most).
MOST_PAIRS = 16
#: Seconds since its last hint after which a process sends the next one with the task that it is about. Sooner, they go
#: through the sender, which puts together what comes at once.
ALONE_AFTER: Final = 0.005
#: A queue and a priority.
Pair = tuple[str, int]
#: Channel of workers: a comma-separated list of worker ids that were given tasks, or * for all of them. An id behind a
#: ! is one whose running tasks are to be looked at: one of them shall stop, or the worker shall drain. One behind a +
#: is to notify schedulers of the next slots that come free, though others are: a task of several waits for them.
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
        self._schedulers: set[str | Pair] = set()
        self._workers: set[str] = set()
        self._stopped = False
        self._asked_at = 0.0
        self._thread: threading.Thread | None = None

    def wake_schedulers(self, *words: str | Pair) -> None:
        with self._asked:
            self._schedulers.update(words)
            self._wake()

    def wake_workers(self, words: Iterable[str]) -> None:
        with self._asked:
            self._workers.update(words)
            self._wake()

    def leaves_to_caller(self) -> bool:
        """Whether the caller may send a hint itself, because none was asked for a moment ago; then it has to."""
        with self._asked:
            now, before = time.monotonic(), self._asked_at
            self._asked_at = now
            return enabled() and now - before >= ALONE_AFTER

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
        self._asked_at = time.monotonic()
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
        messages = [(SCHEDULERS, scheduler_message(schedulers))] if schedulers else []
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


def scheduler_message(words: Collection[str | Pair]) -> str:
    """One message that says as much as all of these words."""
    if plain := [word for word in words if isinstance(word, str)]:
        return min(plain)  # the empty one says most
    return NEW if len(words) > MOST_PAIRS else json.dumps(list(words), separators=(",", ":"))


def pairs_in(message: str) -> set[Pair]:
    """The pairs that a message to schedulers names; none when it is another one, or not to be understood."""
    if not message.startswith("["):
        return set()
    try:
        pairs = {(queue, priority) for queue, priority in json.loads(message)}
        valid = all(
            QUEUE_NAME.fullmatch(queue) and type(priority) is int and abs(priority) <= 100 for queue, priority in pairs
        )
    except (ValueError, TypeError, RecursionError):
        return set()
    return pairs if valid and len(pairs) <= MOST_PAIRS else set()


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


def own_hint(new: Collection[Pair]) -> tuple[str, str] | None:
    """The channel and message of a hint that the caller sends itself, behind its commit; None: `notify_schedulers`."""
    return (SCHEDULERS, scheduler_message(new)) if sender().leaves_to_caller() else None


def notify_schedulers(
    session: Session | None = None, *, ended: bool = False, only_new: bool = False, new: Collection[Pair] = ()
) -> None:
    """Notify schedulers that tasks were added or given back, or that room came free.

    ``only_new``: nothing has come in sight that should have been seen before, so nobody has to look at everything.
    ``ended``: the same, but that somebody has to look at what has ended. ``new``: nor is there anything but new tasks
    of these pairs, all of them due. With a ``session`` of the caller's it is sent at once, and needs no connection of
    its own.
    """
    words: Collection[str | Pair] = new or [ENDED if ended else NEW if only_new else ""]
    if session is None:
        sender().wake_schedulers(*words)
    else:
        _send(session, [(SCHEDULERS, scheduler_message(words))])


def notify_workers(session: Session, worker_ids: Collection[UUID], *, awaited: Collection[UUID] = ()) -> None:
    """Notify workers that tasks were assigned to them, or that their next free slots are awaited.

    In the pipeline and transaction of the caller's session.

    Its commit does not wait for the disk, and passes come one after another: the lock of NOTIFY is held briefly. Raises
    `psycopg.Error`, in time or at the end of the pipeline.
    """
    if enabled() and (worker_ids or awaited):
        words = {*map(str, worker_ids), *(f"+{worker_id}" for worker_id in awaited)}
        hint = [WORKERS, _worker_message(sorted(words))]
        session.connection.execute("SELECT pg_notify(%s, %s)", hint, prepare=session.prepares)


def notify_stops(session: Session, worker_ids: Iterable[UUID]) -> None:
    """Notify workers, over the caller's session, that tasks of theirs are to stop."""
    _send(session, [(WORKERS, _worker_message([f"!{worker_id}" for worker_id in worker_ids]))])


def notify_stop(worker_id: UUID) -> None:
    """Notify a worker that a task of its own is to stop, or that it is to drain."""
    sender().wake_workers([f"!{worker_id}"])
