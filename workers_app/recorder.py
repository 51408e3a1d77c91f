"""Writes how attempts ended: batched, fenced, and never given up.

One thread and one connection. While a statement runs, further endings queue up and go with the next, so the batch grows
with the load by itself. A database that is away is waited for: the endings are kept, the same batch is sent again (the
fence makes that safe), and what the database has taken away meanwhile is kept on its history row as late.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import structlog

from access_app.database_faults import DatabaseAway, backoff
from flow_app.backing_off import back_off_targets
from tasks_app import signals, wakeups
from tasks_app.sessions import Session
from tasks_app.states import ExecutionStatus, TaskStatus
from workers_app.endings import Ending
from workers_app.late_results import keep_late_results

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 500
#: Seconds the first ending of a batch waits for more, when they come fast.
LINGER: Final = 0.0008
#: Errors that lie in a value of the batch: SQLSTATE classes 22 and 23, and what cannot even be encoded.
_REFUSALS: Final = (psycopg.DataError, psycopg.IntegrityError)
_STOP: Final = object()


class Recorder(threading.Thread):
    """``on_recorded`` is called in this thread with every batch whose fate is known, in whatever way.

    ``more_soon`` says whether endings come fast: then the first of a batch waits a moment for the others, because a
    commit costs the same for one as for all. Not once ``no_more`` is set: nothing is left that could end.
    """

    def __init__(
        self,
        session: Session,
        worker_id: UUID,
        on_recorded: Callable[[Sequence[Ending]], None],
        more_soon: Callable[[], bool] = lambda: False,
        no_more: threading.Event | None = None,
    ) -> None:
        super().__init__(name="recorder", daemon=True)
        self.session = session
        self._worker_id = worker_id
        self._on_recorded = on_recorded
        self._more_soon = more_soon
        self._no_more = no_more or threading.Event()
        self._endings: queue.SimpleQueue[Ending | object] = queue.SimpleQueue()
        self._failures = 0
        self.recorded = 0

    def put(self, ending: Ending) -> None:
        """Hand over an ending; thread-safe, never blocks."""
        self._endings.put(ending)

    def close(self) -> None:
        """Record what was handed over, then end the thread."""
        self._endings.put(_STOP)

    def run(self) -> None:
        while batch := self._next_batch():
            self.record(batch)

    def record(self, batch: list[Ending]) -> None:
        """Write a batch until its fate is known, however long the database is away."""
        while True:
            try:
                self._record(batch)
            except DatabaseAway as error:
                self._failures += 1
                if self._failures == 1:
                    log.warning("results_kept", waiting=len(batch), error=str(error).strip())
                time.sleep(backoff(self._failures))
            else:
                self._failures = 0
                self.recorded += len(batch)
                self._on_recorded(batch)
                return

    def _next_batch(self) -> list[Ending]:
        batch: list[Ending] = []
        item = self._endings.get()
        if self._more_soon():
            self._no_more.wait(LINGER)
        while isinstance(item, Ending):
            batch.append(item)
            if len(batch) >= MAX_BATCH or self._endings.empty():
                return batch
            item = self._endings.get()
        if batch:
            self._endings.put(_STOP)
        return batch

    def _record(self, batch: list[Ending]) -> None:
        if busy := [ending.back_off for ending in batch if ending.back_off is not None]:
            # First, so that none of them is assigned again before.
            back_off_targets(self.session, busy, actor=f"worker:{self._worker_id}")
        self._finish(batch)
        if late := [ending for ending in batch if ending.next_status is None]:
            self._keep_late(late)
        records = [ending for ending in batch if ending.next_status]
        signals.attempt_ended.send_robust(type(self), worker_id=self._worker_id, records=records)

    def _finish(self, batch: list[Ending]) -> None:
        try:
            nexts = finish_attempts(self.session, self._worker_id, batch)
        except _REFUSALS as error:
            self._apart(batch, error, self._finish)
            return
        for ending, next_status in zip(batch, nexts, strict=True):
            ending.next_status = next_status

    def _keep_late(self, batch: list[Ending]) -> None:
        try:
            kept = keep_late_results(self.session, self._worker_id, batch)
        except _REFUSALS as error:
            self._apart(batch, error, self._keep_late)
            return
        if kept:
            signals.attempts_late.send_robust(type(self), worker_id=self._worker_id, records=kept)

    def _apart(self, batch: list[Ending], error: psycopg.Error, write: Callable[[list[Ending]], None]) -> None:
        """The database refuses some value: halve the batch until only the culprit is left, and fail that one."""
        if len(batch) > 1:
            half = len(batch) // 2
            write(batch[:half])
            write(batch[half:])
        elif batch[0].refused:
            log.error("result_unrecordable", task_id=str(batch[0].task_id), attempt=batch[0].attempt, error=str(error))
        else:
            batch[0].refuse(f"the database refused the result: {error}")
            write(batch)


class Recorded(NamedTuple):
    """How many endings were recorded, where some took their tasks, whether others wait for one: see the statement."""

    recorded: int
    places: list[int]
    nexts: list[str]
    parents: bool


def finish_attempts(session: Session, worker_id: UUID, batch: Sequence[Ending]) -> list[str | None]:
    """Record the endings whose fence still holds; return for each where that took its task, None when it did not hold.

    One statement, and once more when it finds a history row that is ahead of its task. Schedulers hear of it when
    other tasks wait for one of them.
    """
    places = {text: place for place, text in enumerate({ending.started.started_at: 0 for ending in batch}, 1)}
    parameters = _columns(batch) | {
        "worker_id": worker_id,
        "running": TaskStatus.RUNNING,
        "starts": list(places),
        "start": [places[ending.started.started_at] for ending in batch],
        "statuses": _unless_all([ending.status for ending in batch], ExecutionStatus.SUCCESS),
        "delays": _unless_all([ending.delay for ending in batch], None),
        "begun": _unless_all([ending.begun for ending in batch], True),
    }
    try:
        [done] = session.rows("finish_attempts", parameters | {"again": False}, of=Recorded)
    except psycopg.errors.UniqueViolation:
        [done] = session.rows("finish_attempts", parameters | {"again": True}, of=Recorded)
    if done.parents:
        wakeups.notify_schedulers(session, ended=True)
    nexts: list[str | None] = [TaskStatus.SUCCESS if done.recorded == len(batch) else None] * len(batch)
    for place, status in zip(done.places, done.nexts, strict=True):
        nexts[place - 1] = status
    return nexts


def _columns(batch: Sequence[Ending]) -> dict[str, list[Any] | None]:
    return {
        "ids": [ending.started.task_id for ending in batch],
        "attempts": [ending.started.attempt for ending in batch],
        "error_codes": _unless_all([ending.error_code for ending in batch], None),
        "error_messages": _unless_all([ending.error_message for ending in batch], None),
        "results": _unless_all([ending.result for ending in batch], None),
    }


def _unless_all(values: list[Any], usual: object) -> list[Any] | None:
    """The values of a column; None when all are what the statement takes for granted, which costs it less to read."""
    return None if values.count(usual) == len(values) else values
