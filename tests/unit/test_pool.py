"""A worker's threads: as few as the work needs, never more than its slots."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.waiting import eventually
from workers_app.processes.pool import FIRST_THREADS, Pool


class Work:
    """Items that block until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.done: list[int] = []
        self.threads: set[int] = set()

    def __call__(self, item: int) -> None:
        self.threads.add(threading.get_ident())
        self.begun.release()
        assert self.go.wait(10)
        self.done.append(item)


@contextmanager
def pool_of(size: int, work: Work) -> Iterator[Pool[int]]:
    pool = Pool(size, work)
    try:
        yield pool
    finally:
        work.go.set()
        pool.close()
        for thread in pool._threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in pool._threads)


class TestPool:
    def test_runs_everything_it_was_given(self) -> None:
        work = Work()
        work.go.set()
        with pool_of(3, work) as pool:
            pool.submit(range(100))
            eventually(lambda: len(work.done) == 100)
        assert sorted(work.done) == list(range(100))

    def test_begins_with_few_threads(self) -> None:
        with pool_of(64, Work()) as pool:
            assert len(pool._threads) == FIRST_THREADS

    def test_grows_by_what_still_waits_up_to_its_size(self) -> None:
        work = Work()
        with pool_of(8, work) as pool:
            pool.submit(range(20))
            for _ in range(FIRST_THREADS):
                assert work.begun.acquire(timeout=5)
            eventually(lambda: pool.backlog == 20 - FIRST_THREADS)
            pool.grow()
            for _ in range(8 - FIRST_THREADS):
                assert work.begun.acquire(timeout=5)
            pool.grow()
            assert len(pool._threads) == 8
            assert pool.backlog == 12
        assert len(work.threads) == 8
        assert sorted(work.done) == list(range(20))

    def test_does_not_grow_when_nothing_waits(self) -> None:
        with pool_of(8, Work()) as pool:
            pool.grow()
            assert len(pool._threads) == FIRST_THREADS

    def test_of_one_has_one_thread(self) -> None:
        work = Work()
        with pool_of(1, work) as pool:
            pool.submit(range(3))
            assert work.begun.acquire(timeout=5)
            pool.grow()
            assert len(pool._threads) == 1
        assert work.done == [0, 1, 2]
