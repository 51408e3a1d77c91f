"""The installation under attack: a PostgreSQL of its own, schedulers and workers as processes, and how to hit them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psutil

from tests.chaos.campaign.bodies import FILE
from tests.chaos.campaign.effects import MARK, EffectLog
from tests.support.cluster import ScratchCluster, scratch_cluster
from tests.support.processes import Program
from tests.support.waiting import eventually

BEAT, LEASE, MARGIN, TICK = 0.5, 4.0, 1.0, 0.2
GRACE: Final = 5
SETTINGS: Final = {
    "WORKER_HEARTBEAT_INTERVAL_MS": f"{BEAT * 1000:.0f}",
    "WORKER_HEARTBEAT_TIMEOUT_MS": f"{LEASE * 1000:.0f}",
    "MONITORING_FAILURE_DETECTION_INTERVAL_MS": f"{TICK * 1000:.0f}",
    "SCHEDULER_POLLING_INTERVAL_MS": "500",
}
_NOT_OURS = ("DB_HOST", "DIRECT_DATABASE_URL", "DEBUG", "PROMETHEUS_MULTIPROC_DIR")
_INCARNATIONS = "SELECT worker_id, pid FROM worker_heartbeats WHERE name = %s AND state = 'ACTIVE'"


@dataclass(slots=True, eq=False)
class Node:
    """A command that is kept running: a scheduler, or the guardian of a worker."""

    name: str
    command: tuple[str, ...]
    program: Program
    #: A fault ended it; any other end is a violation.
    hit: bool = False

    @property
    def pid(self) -> int:
        return self.program.pid


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A living worker process below its guardian."""

    node: Node
    worker_id: UUID
    pid: int

    def descendants(self) -> list[psutil.Process]:
        """The processes of its tasks, and those between."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []


class Installation:
    """Made by `running_installation`, which ends everything it started."""

    def __init__(self, cluster: ScratchCluster, folder: Path) -> None:
        from tasks_app.sessions import Session

        self.cluster = cluster
        self.log = folder / "processes.log"
        self.effects = EffectLog(Path(os.environ[FILE]))
        self.schedulers: list[Node] = []
        self.workers: list[Node] = []
        self.session = Session("oracle")
        #: Which processes ended though nobody asked them to.
        self.unasked: list[str] = []
        self._environment: Mapping[str, str] = {}
        self._frozen: set[int] = set()

    @property
    def nodes(self) -> list[Node]:
        return [*self.schedulers, *self.workers]

    # Its shape

    def arrange(self, *, schedulers: int, workers: int, environment: Mapping[str, str]) -> None:
        """Have this many processes with these settings, and wait until all of them work."""
        if (len(self.schedulers), len(self.workers), self._environment) != (schedulers, workers, environment):
            self.stop()
            self._environment = environment
            self.schedulers = [self._node(f"scheduler-{n}", "runscheduler") for n in range(schedulers)]
            worker = ("runworker", "--concurrency", "32", "--grace", str(GRACE))
            self.workers = [self._node(f"chaos-{n}", *worker, "--name", f"chaos-{n}") for n in range(workers)]
        self.heal()

    def heal(self) -> None:
        """Start again what has ended, as a service manager would, and wait until all work."""
        self.thaw()
        for worker in self.workers:
            eventually(lambda worker=worker: self._works(worker), timeout=60, interval=0.05)  # type: ignore[misc]
        for scheduler in self.schedulers:
            eventually(lambda node=scheduler: self._beats(node), timeout=60, interval=0.05)  # type: ignore[misc]

    def _works(self, worker: Node) -> Incarnation | None:
        """Its incarnation; one that was told to stop may end only now."""
        self.start_missing()
        return self.incarnation(worker)

    def start_missing(self) -> None:
        """Start again what has ended, and do not wait."""
        for node in self.nodes:
            if node.program.status is not None:
                if not node.hit:
                    self.unasked.append(f"{node.name} ended by itself with status {node.program.status}")
                node.program, node.hit = self._program(node.command), False

    def stop(self) -> None:
        self.thaw()
        for node in self.nodes:
            node.program.send(signal.SIGTERM)
        for node in self.nodes:
            node.program.stop(GRACE + 10)

    def incarnation(self, node: Node) -> Incarnation | None:
        """The worker a guardian has now; None while it has none that is registered."""
        for worker_id, pid in self.ask(_INCARNATIONS, node.name):
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).ppid() == node.pid:
                    return Incarnation(node, worker_id, pid)
        return None

    def incarnations(self) -> list[Incarnation]:
        return [found for node in self.workers if (found := self.incarnation(node))]

    # What is done to it

    def kill(self, node: Node) -> None:
        node.hit = True
        node.program.send(signal.SIGKILL)

    def freeze(self, pid: int) -> None:
        self._frozen.add(pid)
        os.kill(pid, signal.SIGSTOP)

    def thaw(self, *pids: int) -> None:
        for pid in pids or tuple(self._frozen):
            self._frozen.discard(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def database_stopped(self) -> Iterator[None]:
        """Without a server while the block runs; it is stopped as by ``pg_ctl stop -m immediate``."""
        pid = self.cluster.server.postmaster.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        try:
            eventually(lambda: self.cluster.server.postmaster.pid is None, timeout=10)
            yield
        finally:
            self.cluster.server.start(announce=False)

    def kill_backend(self, chance: random.Random) -> None:
        """SIGKILL one session of the engine: the server ends all the others and recovers. Returns once it does."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^task_scheduler (?!oracle)' ORDER BY pid"
        pids = self.ask(query)
        os.kill(chance.choice(pids)[0], signal.SIGKILL)
        eventually(self._cut_off, timeout=10)

    # What it says

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of one query; a database that is away is waited for."""
        from access_app.database_faults import DatabaseAway

        end = time.monotonic() + 60
        while True:
            try:
                return self.session.fetch(sql, parameters)
            except DatabaseAway:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def ask_one(self, sql: str, *parameters: Any) -> Any:
        return self.ask(sql, *parameters)[0][0]

    def _cut_off(self) -> bool:
        from access_app.database_faults import DatabaseAway

        try:
            self.session.fetch("SELECT 1")
        except DatabaseAway:
            return True
        return False

    def task_processes(self) -> list[psutil.Process]:
        """Every living process of a SHELL task of the campaign, wherever it has gone: it carries our mark."""
        wanted = f"TASK_CORRELATION_ID={MARK}".encode()
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.NoSuchProcess):
                if wanted in Path(f"/proc/{process.pid}/environ").read_bytes():
                    found.append(process)
        return found

    def _node(self, name: str, *command: str) -> Node:
        return Node(name, command, self._program(command))

    def _program(self, command: tuple[str, ...]) -> Program:
        return Program(["manage.py", *command], os.environ | SETTINGS | dict(self._environment), self.log)

    def _beats(self, scheduler: Node) -> bool:
        fresh = "last_heartbeat_at > now() - interval '2 s'"
        return bool(
            self.ask_one(f"SELECT count(*) FROM scheduler_heartbeats WHERE pid = %s AND {fresh}", scheduler.pid)
        )


@contextmanager
def running_installation() -> Iterator[Installation]:
    """Start the server, set up Django on it; end and remove everything when the block is left."""
    with ExitStack() as stack:
        cluster = stack.enter_context(scratch_cluster())
        folder = Path(tempfile.mkdtemp(prefix="task-scheduler-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.environ[FILE] = str(folder / "effects")
        set_up_django(cluster.url)
        _migrate()
        installation = Installation(cluster, folder)
        stack.callback(installation.session.close)
        stack.callback(installation.stop)
        yield installation


def set_up_django(url: str = "postgresql:///nowhere") -> None:
    """Settings for this process and all it starts."""
    import django

    for name in _NOT_OURS:
        os.environ.pop(name, None)
    bodies = "tests.chaos.campaign.bodies"
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "scheduler_project.settings",
        "SCHEDULER_PROFILE": "test",  # the one that reads no .env
        "LOG_LEVEL": "WARNING",
        "DATABASE_URL": url,
        "TASK_EXECUTORS": f"{bodies}.EffectExecutor,{bodies}.PoisonExecutor",
    }
    django.setup()


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
