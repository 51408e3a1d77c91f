"""Real schedulers and workers, as processes, on the test database; and what they did, seen from outside.

Effects are logged by the tasks themselves into a file outside the system (`EffectLog`), so that a lie of the database
would show.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from django.conf import settings
from django.db import connection

from tasks_app.sessions import Session
from tests.support.traces import Traces
from tests.support.waiting import eventually
from workers_app import invariants

#: A short lease, so that death is noticed within seconds: the shortest that settings allow with beats of 0.4 s.
FAST = {
    "WORKER_HEARTBEAT_INTERVAL_MS": "400",
    "WORKER_HEARTBEAT_TIMEOUT_MS": "3000",
    "MONITORING_FAILURE_DETECTION_INTERVAL_MS": "200",
    "SCHEDULER_POLLING_INTERVAL_MS": "500",
    "RETRY_BASE_DELAY_MS": "50",
}


@dataclass
class Stack:
    """Processes started by one test. Each is ended when the test ends, whatever happened to it."""

    environment: dict[str, str]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def scheduler(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        return self.start("runscheduler", *arguments, **environment)

    def worker(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is ACTIVE; return its guardian's process."""
        before = self.active_workers()
        process = self.start("runworker", *arguments, **environment)
        eventually(lambda: self.active_workers() - before, timeout=20)
        return process

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        return self.start_by((), *command, **environment)

    def start_by(self, prefix: tuple[str, ...], *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command by way of another, one that runs it on another host say."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, str(settings.BASE_DIR / "manage.py"), *command],
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def active_workers(self) -> set[UUID]:
        return {row[0] for row in query("SELECT worker_id FROM worker_heartbeats WHERE state = 'ACTIVE'")}

    def worker_pid(self, guardian: subprocess.Popen[bytes]) -> int:
        """The worker process below a guardian: the one that leads a session of its own."""
        [child] = [child for child in psutil.Process(guardian.pid).children() if os.getsid(child.pid) == child.pid]
        return child.pid

    def replace_scheduler(self, running: list[subprocess.Popen[bytes]]) -> None:
        """Kill the one of these that has run longest, and start another."""
        running.pop(0).kill()
        running.append(self.scheduler())

    def replace_worker(self, running: list[subprocess.Popen[bytes]], *arguments: str) -> None:
        """The same of a worker, with its guardian."""
        guardian = running.pop(0)
        os.kill(self.worker_pid(guardian), signal.SIGKILL)
        guardian.kill()
        running.append(self.worker(*arguments))

    def assert_all_live(self) -> None:
        """None of the processes started has exited."""
        assert [process.args for process in self.processes if process.poll() is not None] == []

    def stop(self, process: subprocess.Popen[bytes], timeout: float = 30) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def end(self) -> None:
        for process in self.processes:
            try:
                top = psutil.Process(process.pid)
                family = [*top.children(recursive=True), top]
            except psutil.NoSuchProcess:
                continue
            for each in family:
                _signal(each, signal.SIGCONT)
                _signal(each, signal.SIGKILL)
            process.wait(10)


@contextmanager
def running_stack(tmp_path: Path, **environment: str) -> Iterator[Stack]:
    variables = {**os.environ, **FAST, "DATABASE_URL": database_url(), **environment}
    stack = Stack(variables, tmp_path / "stack.log")
    try:
        yield stack
    except BaseException:
        sys.stderr.write(stack.log.read_text(errors="replace")[-6000:] if stack.log.exists() else "")
        raise
    finally:
        stack.end()


def database_url() -> str:
    """The test database as processes find it."""
    name = connection.settings_dict["NAME"]
    url = re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", os.environ["DATABASE_URL"].split("://", 1)[1], count=1)
    return f"postgresql://{url}"


@dataclass(frozen=True)
class EffectLog:
    """A file that SHELL tasks append to: one line ``task attempt`` per execution of a body."""

    path: Path

    def command(self, then: str = "") -> str:
        return f'echo "$TASK_ID $TASK_ATTEMPT" >> {self.path}; {then}'

    def counts(self) -> Counter[str]:
        if not self.path.exists():
            return Counter()
        return Counter(line.split()[0] for line in self.path.read_text().splitlines())


def query(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def ended() -> int:
    return int(query("SELECT count(*) FROM tasks WHERE finished_at IS NOT NULL")[0][0])


def listeners() -> set[int]:
    """The server processes of connections that wait for wake-ups."""
    rows = query(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle'"
        " AND query ~ '^(LISTEN|SELECT pg_try_advisory_lock)'"
    )
    return {row[0] for row in rows}


def unfinished() -> int:
    return int(query("SELECT count(*) FROM tasks WHERE finished_at IS NULL")[0][0])


def drained(timeout: float = 60) -> None:
    eventually(lambda: unfinished() == 0, timeout=timeout, interval=0.05)


def check_every_task(created: int, traces: Traces) -> None:
    """Wait until all tasks have ended; nothing was lost and nothing doubled, by the database's word and by theirs."""
    drained(timeout=120)
    session = Session("oracle")
    assert invariants.violations(session) == {}
    session.close()
    assert query("SELECT count(*) FROM tasks") == [(created,)]
    assert query("SELECT task_id FROM task_executions GROUP BY task_id, attempt HAVING count(*) > 1") == []
    traces.check(row[0] for row in query("SELECT id::text FROM tasks WHERE type = 'TRACE' AND status = 'SUCCESS'"))


def gone(marker: str, timeout: float = 6.0) -> None:
    """Wait until no process has ``marker`` on its command line."""
    eventually(lambda: not processes_with(marker), timeout=timeout)


def processes_with(marker: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if marker in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.info["pid"])
    return found


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
