"""The installation under measurement: a durable server, a fresh database for each run, and the engine's processes."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.executors import FOLDER
from tests.support.cluster import ScratchCluster, scratch_cluster
from tests.support.processes import Program

#: A small production server. Nothing that trades durability for speed; the rest is PostgreSQL's defaults.
SERVER = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "min_wal_size": "2GB",
    "max_connections": "500",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "none",  # turned on for the runs that read it
}
DATABASE, TEMPLATE = "bench", "bench_template"
_NOT_OURS = ("DB_HOST", "DIRECT_DATABASE_URL", "DEBUG", "PROMETHEUS_MULTIPROC_DIR", "PG_BINDIR")


@dataclass(frozen=True, slots=True)
class Setting:
    """How many workers run, and with which arguments of ``runworker``. Written ``2x --concurrency 16``."""

    workers: int
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Setting:
        found = re.fullmatch(r"\s*(?:(\d+)\s*x\s*)?(.*?)\s*", text)
        assert found is not None
        return cls(int(found[1] or 1), tuple(found[2].split()))

    @property
    def slots(self) -> int:
        """Tasks executed at once by all of them together."""
        one = self.arguments[self.arguments.index("--concurrency") + 1] if "--concurrency" in self.arguments else "16"
        return self.workers * int(one)

    def __str__(self) -> str:
        text = " ".join(self.arguments)
        return f"{self.workers}x {text}".strip()


class Bench:
    """Made by `running_bench`. Everything it starts ends with it."""

    def __init__(self, cluster: ScratchCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.marks = folder / "marks"
        self.log = folder / "processes.log"
        self.url = url_of(cluster, DATABASE)
        self._admin: psycopg.Connection | None = None
        self._watch: psycopg.Connection | None = None
        self._said = 0
        self._launcher: tuple[str, ...] = ("manage.py",)
        self._launched_in: dict[str, str] = {}

    @property
    def server_pid(self) -> int:
        pid = self.cluster.server.postmaster.pid
        assert pid is not None
        return pid

    @property
    def server_version(self) -> str:
        return str(self.one(self.admin, "SHOW server_version"))

    @staticmethod
    def one(connection: psycopg.Connection, sql: str, parameters: Any = None) -> Any:
        row = connection.execute(sql.encode(), parameters).fetchone()
        return None if row is None else row[0]

    @property
    def admin(self) -> psycopg.Connection:
        """The harness's own connection to the server."""
        if self._admin is None or self._admin.closed:
            self._admin = psycopg.connect(url_of(self.cluster, "postgres"), autocommit=True)
        return self._admin

    @property
    def watch(self) -> psycopg.Connection:
        """The harness's own connection to the measured database; its statements are not counted by the server."""
        if self._watch is None or self._watch.closed:
            options = "-c pg_stat_statements.track=none -c enable_seqscan=off -c log_min_duration_statement=-1"
            self._watch = psycopg.connect(self.url, autocommit=True, options=options, application_name="bench watch")
        return self._watch

    def fresh(self, **settings: str) -> None:
        """An empty database, with settings of its own."""
        self.disconnect()
        shutil.rmtree(self.marks, ignore_errors=True)
        self.marks.mkdir()
        self.admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self.admin.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        for name, value in settings.items():
            self.admin.execute(f"ALTER DATABASE {DATABASE} SET {name.replace('__', '.')} = '{value}'".encode())

    def settle(self) -> None:
        """Statistics, no dead rows, and a checkpoint, so that every run starts from the same place."""
        self.watch.execute("VACUUM ANALYZE")
        self.watch.execute("CHECKPOINT")

    def disconnect(self) -> None:
        """Close every connection of this process to the measured database."""
        from django.db import connections

        from tasks_app import wakeups

        wakeups.sender().close()
        connections.close_all()
        if self._watch is not None:
            self._watch.close()

    def reconnect(self) -> None:
        """Leave connections that a restart of the server has cut; the next use opens others."""
        self.disconnect()
        if self._admin is not None:
            self._admin.close()

    @contextmanager
    def program(self, *arguments: str, **environment: str) -> Iterator[Program]:
        """A command of the project, until the block ends."""
        program = Program(list(arguments), os.environ | environment, self.log)
        try:
            yield program
        except Exception:
            self.tell_log()
            raise
        finally:
            program.stop()
            self.tell_log()

    @contextmanager
    def launched_by(self, launcher: tuple[str, ...], **environment: str) -> Iterator[None]:
        """Start workers and schedulers by another launcher than ``manage.py`` while the block runs."""
        before = self._launcher, self._launched_in
        self._launcher, self._launched_in = launcher, environment
        try:
            yield
        finally:
            self._launcher, self._launched_in = before

    @contextmanager
    def workers(self, setting: Setting, **environment: str) -> Iterator[list[Program]]:
        """The workers of a setting, all of them ACTIVE; what is yielded are their guardians."""
        with ExitStack() as stack:
            command = (*self._launcher, "runworker", "--grace", "2", *setting.arguments)
            environment |= self._launched_in
            programs = [stack.enter_context(self.program(*command, **environment)) for _ in range(setting.workers)]
            active = "SELECT count(*) FROM worker_heartbeats WHERE state = 'ACTIVE'"
            wait_for(lambda: self.one(self.watch, active) >= setting.workers, 30 + 5 * setting.workers, programs)
            yield programs

    @contextmanager
    def scheduler(self, **environment: str) -> Iterator[Program]:
        with self.program(*self._launcher, "runscheduler", **environment | self._launched_in) as program:
            yield program

    def tell_log(self) -> None:
        """Repeat on stderr what the processes wrote (warnings and errors): a run that complains is worth a look."""
        with self.log.open(errors="replace") as log:
            log.seek(self._said)
            text = log.read()
            self._said = log.tell()
        if text.strip():
            sys.stderr.write("".join(f"  | {line}\n" for line in text.strip().splitlines()[-15:]))


def wait_for(done: Any, seconds: float, programs: list[Program], *, interval: float = 0.05) -> None:
    """Wait until ``done()``; raises RuntimeError when a program ends or the time is over."""
    end = time.monotonic() + seconds
    while not done():
        for program in programs:
            program.check()
        if time.monotonic() > end:
            raise RuntimeError(f"not done within {seconds:g} s")
        time.sleep(interval)


def url_of(cluster: ScratchCluster, name: str) -> str:
    return f"{cluster.url.rpartition('/')[0]}/{name}"


@contextmanager
def running_bench() -> Iterator[Bench]:
    """Start the server, set up Django on it, make the template of all databases; remove everything at the end."""
    with ExitStack() as stack:
        cluster = stack.enter_context(scratch_cluster(settings=SERVER))
        folder = Path(tempfile.mkdtemp(prefix="task-scheduler-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "processes.log").touch()
        bench = Bench(cluster, folder)
        for name in _NOT_OURS:
            os.environ.pop(name, None)
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "scheduler_project.settings",
            "SCHEDULER_PROFILE": "test",  # the one that reads no .env
            "LOG_LEVEL": "WARNING",
            "DATABASE_URL": bench.url,
            "TASK_EXECUTORS": "tests.bench.executors.MarkExecutor",
            FOLDER: str(bench.marks),
        }
        _make_template(bench)
        stack.callback(bench.reconnect)
        _recycle_wal(bench)
        yield bench


def _recycle_wal(bench: Bench) -> None:
    """Leave WAL files to write over, as a server has that has run for a while: new ones cost a tenth of the rate."""
    message = "pg_logical_emit_message(false, 'bench', repeat('x', 1000000))"
    bench.admin.execute(f"SELECT count({message}) FROM generate_series(1, 1800)".encode())
    bench.admin.execute("CHECKPOINT")


def _make_template(bench: Bench) -> None:
    import django
    from django.core.management import call_command

    bench.admin.execute(f"CREATE DATABASE {DATABASE}")
    django.setup()
    call_command("migrate", verbosity=0)
    bench.watch.execute("CREATE EXTENSION pg_stat_statements")
    bench.disconnect()
    bench.admin.execute(f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}")
