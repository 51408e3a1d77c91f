"""``manage.py runall``: web, scheduler and worker in one terminal, on whatever database is configured.

Here and not beside the other process commands, because it owns the embedded database: what it started, it stops. It
owns the web process's socket as well, and opens it before all else: see ``scheduler_project.web.listening``.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from setproctitle import setproctitle

from access_app.management.base import ProjectCommand
from scheduler_project.embedded.server import EmbeddedError, EmbeddedServer
from scheduler_project.web import listening
from workers_app.processes.prctl import hide_environment
from workers_app.processes.supervisor import Child, Supervisor

WORKER_GRACE = 25.0


class Command(ProjectCommand):
    help = "Run web (PORT, 8000), scheduler and worker together; Ctrl-C stops them all."
    runs_on = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-web", action="store_true", help="leave the web process out")
        parser.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (1)")
        parser.add_argument("--schedulers", type=int, default=1, metavar="N", help="scheduler processes (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if min(options["workers"], options["schedulers"]) < 0:
            raise CommandError("--workers and --schedulers must not be negative", returncode=2)
        setproctitle("task-scheduler runall")
        hide_environment()
        listener = None if options["no_web"] else listener_or_exit()
        with embedded_database():
            self.require_migrations(patient=True, wait=options["wait_for_migrations"])
            with Supervisor(children(listener, **options)) as supervisor:
                supervisor.run()


def listener_or_exit() -> socket.socket:
    """The web process's socket. A port that is taken ends the command here: one line, status 2, nothing made."""
    try:
        return listening.open_listener()
    except listening.ListeningError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


def children(listener: socket.socket | None, *, workers: int = 1, schedulers: int = 1, **_: Any) -> list[Child]:
    """The processes of an installation on one host, in the order in which they stop; web only with a listener."""
    script = settings.BASE_DIR / "manage.py"
    manage = [sys.executable, *([str(script)] if script.exists() else ["-m", "scheduler_project"])]  # of a wheel
    config = settings.SCHEDULER
    wanted = []
    if listener is not None:
        shared = listener.fileno()
        wanted = [Child("web", [*manage, "runweb", "--fd", str(shared)], grace=10.0, descriptors=(shared,))]
    if config.worker_enabled:
        wanted += [Child(f"worker {n + 1}", [*manage, "runworker"], grace=WORKER_GRACE + 8) for n in range(workers)]
    if config.scheduler_enabled:
        wanted += [Child(f"scheduler {n + 1}", [*manage, "runscheduler"], grace=10.0) for n in range(schedulers)]
    return wanted


@contextlib.contextmanager
def embedded_database() -> Iterator[None]:
    """Have the embedded server running inside the block, when it is the one chosen; stop it if this started it."""
    choice = settings.DATABASE.embedded
    if choice is None:
        yield
        return
    server = EmbeddedServer(choice.location, bindir=choice.bindir)
    try:
        started = server.start(announce=False)
    except EmbeddedError as error:
        raise CommandError(f"the embedded PostgreSQL does not start: {error}") from error
    try:
        yield
    finally:
        if started:
            server.stop()
