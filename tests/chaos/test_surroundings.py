"""What stands between our processes and the world: a pooler before PostgreSQL, and the clock of a worker's host.

Both need a program that is not ours, so they are part of ``make chaos`` alone, and only where it is installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution
from tests.support.proxy import Proxy
from tests.support.stack import Stack, check_every_task, database_url, ended, listeners, query, running_stack
from tests.support.traces import Traces
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos_long
needs_pgbouncer = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="no pgbouncer (apt: pgbouncer)")
FAKETIME = [
    *Path("/usr").glob("lib*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
]
needs_faketime = pytest.mark.skipif(not FAKETIME, reason="no libfaketime (apt: libfaketime)")

SETTINGS = """
[databases]
* = host=127.0.0.1 port={port} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 5
auth_type = any
listen_port = 6432
unix_socket_dir = {folder}
"""


@contextmanager
def pgbouncer(server: Proxy) -> Iterator[str]:
    """A transaction pooler before a server; its URL. It refuses to run as root, and then runs as nobody."""
    with tempfile.TemporaryDirectory(prefix="task-scheduler-test-") as name:
        folder, user = Path(name), None
        (folder / "pgbouncer.ini").write_text(SETTINGS.format(port=server.port, folder=folder))
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody").pw_uid
            os.chown(folder, user, -1)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(["pgbouncer", folder / "pgbouncer.ini"], user=user, stdout=log, stderr=log)
        try:
            url = make_conninfo(server.dsn, host=name, port=6432)
            eventually(lambda: process.poll() is not None or answers(url), timeout=10)
            assert process.poll() is None, (folder / "log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(10)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@needs_pgbouncer
class TestPgBouncer:
    """In transaction mode, where a session keeps nothing: no settings, no prepared statements, no LISTEN."""

    @pytest.mark.parametrize("wakeups", [True, False])
    def test_tasks_end(self, committed_db: None, traces: Traces, tmp_path: Path, *, wakeups: bool) -> None:
        with Proxy(database_url()) as server, pgbouncer(server) as url:
            urls = {"DATABASE_URL": url, "DIRECT_DATABASE_URL": database_url() if wakeups else "off"}
            with running_stack(tmp_path, **traces.environment, **urls) as stack:
                stack.scheduler()
                stack.worker("--concurrency", "20")
                stack.worker("--concurrency", "20")
                for _ in range(10):
                    tasks = [NewTask(type="TRACE", payload={"sleepDurationMs": n}) for n in range(50)]
                    tasks += [NewTask(type="DUMMY", concurrency_key=f"key-{n}") for n in range(20)]
                    services.create_tasks(tasks, created_by="test")
                check_every_task(700, traces)
                assert len(listeners()) == (3 if wakeups else 0)
                assert [stack.stop(process) for process in stack.processes] == [0, 0, 0]
                assert "[error" not in stack.log.read_text()
        assert query("SELECT count(*) FROM tasks WHERE status <> 'SUCCESS' OR attempt <> 1") == [(0,)]


def clock_off_by(hours: str) -> dict[str, str]:
    """What makes a process see another time of day; its monotonic clocks stay, as on a real host."""
    return {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": hours, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
def no_leftovers() -> Iterator[None]:
    """A killed process leaves what libfaketime made for it; the next one with its number would not start."""
    remove_leftovers()
    yield
    remove_leftovers()


def remove_leftovers() -> None:
    for path in Path("/dev/shm").glob("*faketime_s*_*"):
        if not psutil.pid_exists(int(path.name.rpartition("_")[2])):
            path.unlink(missing_ok=True)


@needs_faketime
class TestAClockThatIsAnHourOff:
    def test_changes_no_due_time_and_no_lease(
        self, committed_db: None, no_leftovers: None, traces: Traces, tmp_path: Path
    ) -> None:
        with running_stack(tmp_path, **traces.environment) as stack:
            stack.scheduler(**clock_off_by("-1h"))
            fast = stack.worker("--concurrency", "4", **clock_off_by("+1h"))
            stack.worker("--concurrency", "4", **clock_off_by("-1h"))
            workers = stack.active_workers()
            self.check_due_times(traces)
            self.check_leases(stack, fast, workers)
        assert {round(skew(run.wall, run.began) / 3600) for runs in traces.runs().values() for run in runs} == {-1, 1}

    def check_due_times(self, traces: Traces) -> None:
        now = timezone.now()
        later = services.create_task(
            NewTask(type="TRACE", schedule_at=now + timedelta(minutes=30)), created_by="test"
        ).task
        due = [now + timedelta(seconds=2, milliseconds=100 * n) for n in range(20)]
        services.create_tasks(
            [NewTask(type="TRACE", schedule_at=at, payload={"sleepDurationMs": 300}) for at in due], created_by="test"
        )
        eventually(lambda: ended() == len(due), timeout=20)
        [(earliest, latest)] = query(
            "SELECT min(late), max(late)"
            " FROM (SELECT extract(epoch FROM started_at - due_at)::float8 AS late FROM task_executions) AS each"
        )
        assert 0 <= earliest <= latest < 1
        services.cancel_task(later.pk, actor="test")
        assert TaskExecution.objects.filter(task=later).count() == 0
        check_every_task(len(due) + 1, traces)

    def check_leases(self, stack: Stack, fast: subprocess.Popen[bytes], workers: set[UUID]) -> None:
        """Nobody loses one by the clock alone; who dies is found to be dead in time."""
        lease = 3.0
        tasks = [NewTask(type="TRACE", payload={"sleepDurationMs": int(2500 * lease)}) for _ in range(8)]
        services.create_tasks(tasks, created_by="test")
        eventually(lambda: Task.objects.filter(status="RUNNING").count() == 8, timeout=10)
        began = time.monotonic()
        eventually(lambda: ended() == 21 + 8, timeout=4 * lease)
        assert time.monotonic() - began > 2 * lease
        assert query("SELECT count(*) FROM tasks WHERE attempt > 1") == [(0,)]
        assert stack.active_workers() == workers
        child = stack.worker_pid(fast)
        os.kill(fast.pid, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        eventually(lambda: len(stack.active_workers()) == 1, timeout=lease + 3)


def skew(wall: float, monotonic: float) -> float:
    """How far a wall clock was ahead of this process's at a moment of the clock they share."""
    return (wall - monotonic) - (time.time() - time.monotonic())
