"""What attempts have written while they ran: head and tail of each, in chunks that workers store and anybody reads.

Cut and masked by `executors.chunks`. A chunk is written once and never changed; those between head and tail are deleted
as the tail moves on, and all of them with their task. Readers go by a cursor: an attempt, and a place in its output.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, models

from access_app.sql import statement
from tasks_app.executors.chunks import Chunk
from tasks_app.sessions import Session
from tasks_app.states import TaskStatus

#: Chunks of one page.
PAGE: Final = 64
MAX_ATTEMPT: Final = 2**31 - 1
_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,17})", re.ASCII)


class TaskOutput(models.Model):
    """A chunk: whole lines of one stream, unless a line was too long."""

    pk = models.CompositePrimaryKey("task_id", "attempt", "seq")
    task_id = models.UUIDField()
    at = models.DateTimeField(help_text="When its first line was written, by the clock of the database.")
    seq = models.BigIntegerField(help_text="The place of its end: bytes the attempt had written up to there.")
    line = models.BigIntegerField(help_text="The number of its first line in the output of the attempt.")
    attempt = models.IntegerField()
    size = models.IntegerField(help_text="Its bytes as they were written, before anything was masked.")
    stream = models.TextField(help_text="stdout, stderr, or what the executor calls it.")
    text = models.TextField()

    class Meta:
        db_table = "task_output"

    def __str__(self) -> str:
        return f"{self.task_id} {self.attempt}.{self.seq}"


class Cursor(NamedTuple):
    """A place up to which somebody has read; written ``attempt.seq``."""

    attempt: int = 0
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.attempt}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises ValueError with one sentence."""
        found = _CURSOR.fullmatch(text)
        if found is None or int(found[1]) > MAX_ATTEMPT:
            raise ValueError("must be a cursor as a page gave it: attempt.seq, like 1.4096")
        return cls(int(found[1]), int(found[2]))


BEGINNING: Final = Cursor()


class NewChunk(NamedTuple):
    """A chunk of an attempt, known by its fence."""

    task_id: UUID
    attempt: int
    started_at: str
    chunk: Chunk


class Trim(NamedTuple):
    """Places of an attempt between which chunks are deleted: behind ``after``, up to ``upto``."""

    task_id: UUID
    attempt: int
    after: int
    upto: int


class Ask(NamedTuple):
    """What somebody wants to read: behind a cursor, of all attempts or of one, all chunks or those with a ``term``."""

    task_id: UUID
    after: Cursor = BEGINNING
    attempt: int | None = None
    term: str = ""


class Row(NamedTuple):
    """A chunk, or the lack of one, and how its task stands; the columns of read_output.sql."""

    place: int
    status: str | None
    latest: int | None
    is_final: bool | None
    attempt: int | None
    seq: int | None
    size: int | None
    line: int | None
    at: datetime | None
    stream: str | None
    text: str | None


class Part(NamedTuple):
    """A chunk as it is read. ``left_out``: bytes between the one before and this one."""

    attempt: int
    seq: int
    size: int
    line: int
    at: datetime
    stream: str
    text: str
    left_out: int

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.attempt, self.seq)


class Page(NamedTuple):
    """Chunks behind a cursor. ``ended``: there is nothing more, and nothing more will come of what was asked for."""

    parts: list[Part]
    next: Cursor
    ended: bool
    is_full: bool
    status: str | None

    @property
    def left_out(self) -> int:
        return sum(part.left_out for part in self.parts)


def store_output(session: Session, chunks: Sequence[NewChunk], trims: Sequence[Trim]) -> int:
    """Store chunks, and delete others; return how many were new. May be repeated. Raises `DatabaseAway`.

    Nothing is stored of a task that is gone, or of an attempt that another database would have to know of.
    """
    now = time.monotonic()
    parameters = {
        "ids": [new.task_id for new in chunks],
        "attempts": [new.attempt for new in chunks],
        "starts": [new.started_at for new in chunks],
        "ages": [now - new.chunk.at for new in chunks],
        "seqs": [new.chunk.seq for new in chunks],
        "sizes": [new.chunk.size for new in chunks],
        "lines": [new.chunk.line for new in chunks],
        "streams": [new.chunk.stream for new in chunks],
        "texts": [new.chunk.text for new in chunks],
        "trim_ids": [trim.task_id for trim in trims],
        "trim_attempts": [trim.attempt for trim in trims],
        "trim_afters": [trim.after for trim in trims],
        "trim_uptos": [trim.upto for trim in trims],
    }
    [(stored,)] = session.rows("store_output", parameters)
    return int(stored)


def read_output(asks: Sequence[Ask], session: Session | None = None) -> list[Page]:
    """The next page of each; how its task stands is seen with it, so that nothing comes behind an end.

    Over a session, or Django's connection. Raises `DatabaseAway` there, and Django's errors here.
    """
    parameters: dict[str, Any] = {
        "ids": [ask.task_id for ask in asks],
        "attempts": [max(ask.after.attempt, ask.attempt or 0) for ask in asks],
        "seqs": [ask.after.seq if ask.after.attempt >= (ask.attempt or 0) else 0 for ask in asks],
        "uptos": [MAX_ATTEMPT if ask.attempt is None else ask.attempt for ask in asks],
        "terms": [ask.term for ask in asks],
        "limit": PAGE,
    }
    if session is not None:
        rows = session.rows("read_output", parameters, of=Row)
    else:
        with connection.cursor() as cursor:
            cursor.execute(statement("read_output"), parameters)
            rows = [Row(*row) for row in cursor.fetchall()]
    of: list[list[Row]] = [[] for _ in asks]
    for row in rows:
        of[row.place - 1].append(row)
    return [page_of(ask, found) for ask, found in zip(asks, of, strict=True)]


def page_of(ask: Ask, rows: Sequence[Row]) -> Page:
    """What the rows of one mean: what was left out between them, and whether more can come."""
    at, parts = ask.after, []
    for row in rows:
        if row.seq is None or row.attempt is None or row.size is None or row.line is None or row.at is None:
            continue
        before = at.seq if at.attempt == row.attempt else 0
        left_out = 0 if ask.term else max(0, row.seq - row.size - before)
        part = Part(row.attempt, row.seq, row.size, row.line, row.at, str(row.stream), str(row.text), left_out)
        parts.append(part)
        at = part.cursor
    is_full = len(parts) >= PAGE
    return Page(parts, at, not is_full and _is_over(rows[0], ask.attempt), is_full, rows[0].status)


def _is_over(row: Row, attempt: int | None) -> bool:
    """Whether an attempt has ended, or all of them; those of a task that is gone have."""
    if row.is_final or row.status is None or row.latest is None:
        return True
    if attempt is None:
        return False
    return attempt < row.latest or (attempt == row.latest and row.status != TaskStatus.RUNNING)


def attempts_with_output(task_id: UUID) -> list[int]:
    """The numbers of attempts of which something is stored, in order."""
    rows = TaskOutput.objects.filter(task_id=task_id).order_by("attempt")
    return list(rows.values_list("attempt", flat=True).distinct())
