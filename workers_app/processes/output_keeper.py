"""Stores what running attempts write: a thread and a connection of their own, one statement per round for all of them.

Threads: pool threads open and end, and write in between; this one takes, stores and drops. Nobody waits for it but the
end of an attempt whose output it has, so that whoever sees an end has seen the last line. It waits for `END_WITHIN` at
the longest: a database that takes no output holds up no record.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg
import structlog
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff
from tasks_app.executors.base import Execution
from tasks_app.executors.chunks import LONGEST, Chunk, Chunks, secrets_of
from tasks_app.executors.emitting import Output
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.task_output import NewChunk, Trim, store_output
from workers_app.endings import Ending

log = structlog.get_logger(__name__)

#: Seconds between two rounds.
EVERY: Final = 0.25
#: Seconds that an end waits for its output to be stored.
END_WITHIN: Final = 5.0
#: Bytes that a round stores of attempts that go on, shared among them; and at least of each.
ROUND: Final = 1024 * 1024
SHARE: Final = 4 * 1024
#: Bytes of one statement: more ends at once go with the next.
STATEMENT: Final = 4 * 1024 * 1024
#: Bytes that the attempts of a worker may hold together before they are stored, of each end.
HELD: Final = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Kept:
    """The output of one attempt on its way into the database. ``head_left``: bytes that its stored head may grow by."""

    attempt: Attempt
    execution: Execution
    output: Output
    head_left: int
    chunks: Chunks = field(default_factory=Chunks)
    head_end: int = 0
    tail: deque[Chunk] = field(default_factory=deque)
    tail_size: int = 0
    is_stored: bool = False
    is_over: bool = False
    ending: Ending | None = None
    ended_at: float = 0.0

    @property
    def due_at(self) -> float:
        """When the attempt has run for so long that its output is stored."""
        began = self.execution.deadline - self.execution.timeout.total_seconds()
        return began + settings.SCHEDULER.output_after.total_seconds()

    def take(self, most: int, limit: int) -> tuple[list[Chunk], Trim | None]:
        """What is new, and what is to go for it."""
        if not self.is_stored:
            self.chunks.secrets = secrets_of(self.execution.payload, self.execution.token)
            self.chunks.longest = min(LONGEST, limit // 4)
            self.is_stored = True
        made = self.chunks.add(self.output.take(most), last=self.is_over)
        for chunk in made:
            self._place(chunk)
        gone = self.head_end
        while self.tail_size > limit:
            old = self.tail.popleft()
            self.tail_size -= old.size
            gone = old.seq
        if gone == self.head_end:
            return made, None
        trim = Trim(self.attempt.task_id, self.attempt.attempt, self.head_end, gone)
        return [chunk for chunk in made if not self.head_end < chunk.seq <= gone], trim

    def _place(self, chunk: Chunk) -> None:
        if not self.tail and chunk.size <= self.head_left:
            self.head_left -= chunk.size
            self.head_end = chunk.seq
        else:
            self.head_left = 0
            self.tail.append(chunk)
            self.tail_size += chunk.size


@dataclass(slots=True)
class Round:
    """What one statement stores; sent again as it is until its fate is known."""

    chunks: list[NewChunk] = field(default_factory=list)
    trims: list[Trim] = field(default_factory=list)
    ended: list[Kept] = field(default_factory=list)
    size: int = 0


class OutputKeeper:
    """``put`` takes the endings of attempts, once their output is stored; it must not block.

    ``attempt_of`` says which attempt is behind what runs. It is asked once something is written: what is done for
    every attempt, however short, is to set `keep`.
    """

    def __init__(
        self,
        session: Session,
        slots: int,
        put: Callable[[Ending], None],
        attempt_of: Callable[[Execution], Attempt | None],
    ) -> None:
        self._session = session
        self._put = put
        self._attempt_of = attempt_of
        self._limit: int = settings.SCHEDULER.output_stored
        self._held = max(SHARE, min(self._limit, HELD // slots))
        self._kept: dict[Execution, Kept] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._round = Round()
        self._failures = 0
        self._closing = False
        #: For `Execution.keep` of each attempt.
        self.keep = self._open if self._limit else None

    # Any thread

    def end(self, execution: Execution, ending: Ending) -> None:
        """Hand on the ending of what has written something, behind its output; at once where none is stored."""
        if self._is_awaited(execution, ending):
            self._wake.set()
        else:
            self._put(ending)

    def close(self) -> None:
        """Store what there is, hand on all endings, and end the thread."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _open(self, execution: Execution) -> Output:
        output, attempt = Output(head=self._limit, held=self._held), self._attempt_of(execution)
        if attempt is None:  # it is over
            output.close()
            return output
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="output", daemon=True)
                thread.start()  # which may fail: then nothing waits for it
                self._thread = thread
            self._kept[execution] = Kept(attempt, execution, output, self._limit)
        return output

    def _is_awaited(self, execution: Execution, ending: Ending) -> bool:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(execution)
            if kept is None:
                return False
            kept.output.close()
            if self._closing or (not kept.is_stored and now < kept.due_at):
                del self._kept[execution]
                return False
            kept.is_over, kept.ending, kept.ended_at = True, ending, now
            return True

    # The thread

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(backoff(self._failures) if self._failures else EVERY)
            self._wake.clear()
            self.step()
        self.step()
        self._hand_on(self._all(), now=float("inf"))
        self._session.close()

    def step(self) -> None:
        """Store what is new, and hand on the endings whose output is stored, or has waited for too long. Never raises:
        without this thread, no end that has output would be recorded."""
        try:
            while self._store():
                pass
        except Exception:
            log.exception("output_failed", chunks=len(self._round.chunks))
            self._done_with(self._round)
        if self._failures:
            self._hand_on(self._all(), now=time.monotonic())

    def _store(self) -> bool:
        """Send one statement; whether there is more to send at once."""
        more = False
        if not self._round.chunks and not self._round.ended:
            self._round, more = self._next_round()
        round_ = self._round
        if round_.chunks or round_.trims:
            try:
                store_output(self._session, round_.chunks, round_.trims)
            except DatabaseAway as error:
                self._failures += 1
                if self._failures == 1:
                    log.warning("output_waits", attempts=len(self._kept), error=str(error).strip())
                return False
            except psycopg.Error as error:
                log.warning("output_refused", chunks=len(round_.chunks), error=str(error).strip())
        self._done_with(round_)
        return more

    def _done_with(self, round_: Round) -> None:
        self._failures = 0
        self._round = Round()
        with self._lock:
            for kept in round_.ended:
                self._kept.pop(kept.execution, None)
        self._hand_on(round_.ended, now=float("inf"))

    def _next_round(self) -> tuple[Round, bool]:
        made, now = Round(), time.monotonic()
        due = [kept for kept in self._all() if kept.is_over or (kept.output.waits and now >= kept.due_at)]
        share = max(SHARE, ROUND // max(1, len(due)))
        for number, kept in enumerate(due):
            if made.size > STATEMENT:
                return made, number < len(due)
            chunks, trim = self._taken(kept, 2 * self._limit if kept.is_over else share)
            made.size += sum(chunk.size for chunk in chunks)
            fence = kept.attempt
            made.chunks += [NewChunk(fence.task_id, fence.attempt, fence.started_at, chunk) for chunk in chunks]
            made.trims += [trim] if trim else []
            made.ended += [kept] if kept.is_over else []
        return made, False

    def _taken(self, kept: Kept, most: int) -> tuple[list[Chunk], Trim | None]:
        """Nothing of output that a defect keeps from being cut: neither its end nor others wait for that."""
        try:
            return kept.take(most, self._limit)
        except Exception:
            log.exception("output_lost", task_id=str(kept.attempt.task_id), attempt=kept.attempt.attempt)
            kept.output.close()
            kept.output.take(sys.maxsize)
            return [], None

    def _all(self) -> list[Kept]:
        with self._lock:
            return list(self._kept.values())

    def _hand_on(self, ended: list[Kept], *, now: float) -> None:
        for kept in ended:
            ending = kept.ending
            if ending is not None and now - kept.ended_at >= END_WITHIN:
                kept.ending = None
                self._put(ending)
