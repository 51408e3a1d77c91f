"""Chunks of output, stored and read by their places: once, of whoever owns the attempt, and in one order."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tasks_app import services
from tasks_app.executors.chunks import Chunk
from tasks_app.models import TaskOutput
from tasks_app.starting import Attempt
from tasks_app.task_output import BEGINNING, PAGE, Ask, Cursor, NewChunk, Page, Trim, read_output, store_output
from tests.support.engine import SUCCEEDED, Engine


def chunk(end: int, text: str = "abcd\n", size: int | None = None, line: int = 1) -> Chunk:
    return Chunk(end, len(text) if size is None else size, line, time.monotonic() - 1.5, "stdout", text)


def of(attempt: Attempt, *chunks: Chunk) -> list[NewChunk]:
    return [NewChunk(attempt.task_id, attempt.attempt, attempt.started_at, each) for each in chunks]


def read(task_id: UUID, *, after: Cursor = BEGINNING, attempt: int | None = None, term: str = "") -> Page:
    return read_output([Ask(task_id, after, attempt, term)])[0]


class TestStoreOutput:
    def test_stores_a_chunk_once_however_often_it_is_sent(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker())
        new = of(attempt, chunk(5), chunk(10))
        assert store_output(engine.session, new, []) == 2
        assert store_output(engine.session, [*new, *of(attempt, chunk(15))], []) == 1
        [first, *_] = rows = list(TaskOutput.objects.order_by("seq"))
        assert [row.seq for row in rows] == [5, 10, 15]
        assert 1.4 < (datetime.now(UTC) - first.at).total_seconds() < 30, (
            "by the clock of the database, when it was written"
        )

    def test_deletes_what_has_come_to_lie_between_head_and_tail_of_that_attempt(self, engine: Engine) -> None:
        one, other = engine.running(engine.worker()), engine.running(engine.worker())
        for attempt in (one, other):
            store_output(engine.session, of(attempt, chunk(5), chunk(10), chunk(15)), [])
        store_output(engine.session, of(one, chunk(20)), [Trim(one.task_id, 1, 5, 10), Trim(one.task_id, 2, 0, 99)])
        assert [part.seq for part in read(one.task_id).parts] == [5, 15, 20]
        assert [part.left_out for part in read(one.task_id).parts] == [0, 5, 0]
        assert len(read(other.task_id).parts) == 3

    def test_stores_nothing_of_an_attempt_that_is_not_the_workers(self, engine: Engine) -> None:
        """One that a failover forgot has the number of another; one of a task that is gone has none."""
        attempt = engine.running(engine.worker())
        forgotten = attempt._replace(started_at="2020-01-01 00:00:00+00")
        later, gone = attempt._replace(attempt=2), attempt._replace(task_id=uuid4())
        new = [each for wrong in (forgotten, later, gone) for each in of(wrong, chunk(5))]
        assert store_output(engine.session, new, []) == 0
        assert not TaskOutput.objects.exists()

    def test_keeps_what_an_attempt_that_was_taken_away_has_written_apart(self, engine: Engine) -> None:
        first = engine.worker()
        old = engine.running(first)
        engine.lose(first)
        second = engine.worker()
        engine.assign()
        [new] = engine.start(second)
        store_output(engine.session, [*of(old, chunk(5, "old\n")), *of(new, chunk(4, "new\n"))], [])
        assert [(part.attempt, part.text) for part in read(old.task_id).parts] == [(1, "old\n"), (2, "new\n")]


class TestReadOutput:
    def test_goes_on_behind_a_cursor_over_all_attempts_or_in_one(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker())
        store_output(engine.session, of(attempt, chunk(5), chunk(10)), [])
        TaskOutput.objects.create(
            task_id=attempt.task_id, attempt=2, seq=7, size=3, line=1, at=datetime.now(UTC), stream="log", text="hi\n"
        )
        task_id = attempt.task_id
        assert cursors(read(task_id)) == ["1.5", "1.10", "2.7"]
        assert cursors(read(task_id, after=Cursor(1, 5))) == ["1.10", "2.7"]
        assert cursors(read(task_id, attempt=1)) == ["1.5", "1.10"]
        assert cursors(read(task_id, attempt=2, after=Cursor(1, 5))) == ["2.7"]
        assert cursors(read(task_id, attempt=1, after=Cursor(2, 0))) == []
        assert (read(task_id, after=Cursor(1, 10)).left_out, read(task_id, after=Cursor(1, 10)).next) == (
            4,
            Cursor(2, 7),
        )
        assert cursors(read(task_id, term="HI")) == ["2.7"]

    def test_reads_for_many_in_one_statement(self, engine: Engine) -> None:
        one, other = engine.running(engine.worker()), engine.running(engine.worker())
        store_output(engine.session, [*of(one, *map(chunk, range(5, 500, 5))), *of(other, chunk(5))], [])
        asks = [Ask(other.task_id), Ask(one.task_id), Ask(one.task_id, Cursor(1, 320)), Ask(UUID(int=0))]
        pages = read_output(asks, engine.session)
        assert [len(page.parts) for page in pages] == [1, PAGE, 99 - 64, 0]
        assert [page.is_full for page in pages] == [False, True, False, False]
        assert [page.ended for page in pages] == [False, False, False, True], (
            "of a task that is gone comes nothing more"
        )

    def test_says_that_it_has_ended_once_nothing_more_can_come(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, max_retries=0)
        task_id = attempt.task_id
        assert ended_of(task_id) == [False] * 3
        engine.finish(worker, attempt, SUCCEEDED)
        assert ended_of(task_id) == [True] * 3
        services.retry_task(task_id, actor="test")
        assert ended_of(task_id) == [False, True, False]
        engine.assign()
        engine.start(worker)
        assert ended_of(task_id) == [False, True, False]


def ended_of(task_id: UUID) -> list[bool]:
    """Of all attempts, of the first and of the second."""
    return [read(task_id).ended, read(task_id, attempt=1).ended, read(task_id, attempt=2).ended]


def cursors(page: Page) -> list[str]:
    return [str(part.cursor) for part in page.parts]
