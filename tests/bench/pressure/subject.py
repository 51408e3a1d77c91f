"""What is put under pressure: two workers, a scheduler, a producer; kept running, killed, and asked what came of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import psycopg

from tests.bench.bench import Bench
from tests.bench.pressure.figures import Counters, Totals
from tests.bench.pressure.producer import Producer
from tests.support.processes import Program, family

#: Tasks a second, in a fiftieth of a second each.
RATE = 500
WORKERS, SLOTS = 2, 100
LOOK_EVERY = 0.1
AWAY = 60.0
# The predicates of tasks_owned, tasks_due and tasks_suspects.
_OPEN = """
SELECT count(*) FROM (
  (SELECT FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL LIMIT %(most)s)
  UNION ALL (SELECT FROM tasks
              WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
              LIMIT %(most)s)
  UNION ALL (SELECT FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0
             LIMIT %(most)s)) AS open"""
_COUNTERS = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8,
       (SELECT xact_commit::float8 FROM pg_stat_database WHERE datname = current_database()),
       sum(n_tup_upd + n_tup_del)::float8, sum(n_dead_tup)::float8
  FROM pg_stat_user_tables"""
_ENDED = "SELECT id, extract(epoch FROM finished_at)::float8 FROM tasks WHERE finished_at >= to_timestamp(%s)"
_ACTIVE = "SELECT count(*) FROM worker_heartbeats WHERE state = 'ACTIVE' AND last_heartbeat_at > now() - interval '5 s'"
_INCARNATION = "SELECT pid FROM worker_heartbeats WHERE name = %s AND state = 'ACTIVE'"
#: Everybody's but the harness's own.
_SESSIONS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND application_name !~ '^bench '
 ORDER BY random()"""


class Subject:
    """Made by `under_pressure`, which ends everything it started."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self.bench = bench
        self.producer = Producer(RATE)
        #: Tasks a second that are worked off when there are enough; measured by the burst.
        self.capacity: float | None = None
        self._stack = stack
        self._watch: psycopg.Connection | None = None
        self._workers = {f"pressure-{n}": self._worker(f"pressure-{n}") for n in range(WORKERS)}
        self._scheduler = stack.enter_context(bench.scheduler())
        self.totals = Totals(self.counters())

    # What it says

    def ask(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Rows of one query; a database that is away is waited for."""
        end = time.monotonic() + AWAY
        while True:
            try:
                return self._connection().execute(sql.encode(), parameters).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(LOOK_EVERY)

    def counters(self) -> Counters:
        return Counters(*self.ask(_COUNTERS)[0])

    def depth(self, most: int) -> int:
        """How many tasks are unfinished, or more than ``most``."""
        return int(self.ask(_OPEN, {"most": most + 1})[0][0])

    def lives(self, since: float) -> list[tuple[float, float]]:
        """When each accepted task was due and had ended, of those that have ended since."""
        due = self.producer.due
        return [(due[task_id], ended) for task_id, ended in self.ask(_ENDED, [since]) if task_id in due]

    # What is done to it

    def rest_until(self, end: float) -> None:
        """Look on; whatever ended by itself is an error."""
        while (left := end - time.time()) > 0:
            for program in (*self._workers.values(), self._scheduler):
                program.check()
            time.sleep(min(left, LOOK_EVERY))

    def wait_until_whole(self) -> None:
        """Until every worker is there."""
        end = time.time() + AWAY
        while self.ask(_ACTIVE)[0][0] < WORKERS:
            self.rest_until(time.time() + LOOK_EVERY)
            if time.time() >= end:
                raise RuntimeError(f"not all of {WORKERS} workers are there after {AWAY:g} s")

    def wait_until_calm(self, normal: int, seconds: float) -> None:
        """Until no more than ``normal`` tasks are unfinished and the producer is on time. Raises RuntimeError."""
        end = time.time() + seconds
        while self.producer.late > LOOK_EVERY or self.depth(normal) > normal:
            self.rest_until(min(end, time.time() + LOOK_EVERY))
            if time.time() >= end:
                raise RuntimeError(f"more than {normal} tasks are unfinished after {seconds:g} s")

    def kill_worker(self, number: int, *, guardian: bool) -> None:
        """SIGKILL a worker; with its guardian, as if its host had gone, another one is started in its place."""
        name = f"pressure-{number}"
        if guardian:
            for member in family(self._workers[name].pid):
                with suppress(psutil.Error):
                    member.kill()
            self._workers[name] = self._worker(name)
        else:
            for (pid,) in self.ask(_INCARNATION, [name]):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def terminate_session(self) -> None:
        """End one session of the engine or the producer, as an administrator would."""
        self.ask(f"SELECT pg_terminate_backend(pid) FROM ({_SESSIONS} LIMIT 1) AS victim")

    def kill_session(self) -> None:
        """SIGKILL the process of one session: the server ends all others and recovers, and forgets its statistics."""
        self.totals.add(self.counters())
        for (pid,) in self.ask(f"{_SESSIONS} LIMIT 1"):
            os.kill(pid, signal.SIGKILL)

    def _worker(self, name: str) -> Program:
        command = ("manage.py", "runworker", "--grace", "2", "--name", name, "--concurrency", str(SLOTS))
        return self._stack.enter_context(self.bench.program(*command))

    def _connection(self) -> psycopg.Connection:
        if self._watch is None or self._watch.closed:
            options = "-c enable_seqscan=off -c jit=off"
            name = "bench pressure"
            self._watch = psycopg.connect(self.bench.url, autocommit=True, options=options, application_name=name)
            self._stack.callback(self._watch.close)
        return self._watch


@contextmanager
def under_pressure(bench: Bench) -> Iterator[Subject]:
    with ExitStack() as stack:
        subject = Subject(bench, stack)
        stack.callback(subject.producer.close)
        subject.producer.start()
        yield subject
