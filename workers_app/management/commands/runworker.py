"""``manage.py runworker``: execute tasks. Two processes: the guardian (this one) and the worker, its child.

With ``--processes N`` this one only supervises N such pairs, because a worker's threads share one interpreter.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from setproctitle import setproctitle

from access_app.management.base import ProjectCommand
from access_app.texts import problem_of_line
from tasks_app.executors import shell_sandbox
from tasks_app.executors.shell import ShellExecutor
from tasks_app.fields import QUEUE_NAME
from tasks_app.labels import problem_of_label
from workers_app.background_logs import in_background
from workers_app.heartbeats import Registration
from workers_app.processes.guardian import Guardian
from workers_app.processes.guardian_link import GuardianLink
from workers_app.processes.prctl import hide_environment
from workers_app.processes.supervisor import Child, Supervisor
from workers_app.processes.worker import Worker, WorkerOptions

#: Seconds beyond its grace that a worker may need until it is gone.
STOPPING_TAKES = 8
#: Of names and labels, which people read in one line of a table.
LONGEST_NAME = 100


class Command(ProjectCommand):
    help = (
        "Execute tasks. Stops cleanly on Ctrl-C, SIGTERM and whatever else asks for an end: running tasks get --grace "
        "seconds, the rest is given back."
    )
    runs_on = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency", type=_number(1, 10_000), default=16, metavar="N", help="tasks executed at once (16)"
        )
        parser.add_argument(
            "--processes",
            type=_number(1, 100),
            default=1,
            metavar="N",
            help="start this many workers, each with --concurrency slots; for tasks that compute, one per core (1)",
        )
        parser.add_argument(
            "--queues", type=_queues, default=None, metavar="a,b", help="serve only these queues (default: all)"
        )
        parser.add_argument(
            "--labels", type=_labels, default={}, metavar="k=v,…", help="shown with the worker, for people"
        )
        parser.add_argument("--name", type=_name, default=None, help="a name for people (default: the host's)")
        parser.add_argument(
            "--prefetch",
            type=_number(0, 100_000),
            default=None,
            metavar="N",
            help="most tasks assigned beyond the free slots; how many adapts to the speed (4 x concurrency)",
        )
        parser.add_argument(
            "--grace", type=_number(0, 86_400), default=25, metavar="SECONDS", help="time to stop in (25)"
        )
        parser.add_argument(
            "--burst", action="store_true", help="exit when nothing is due, assigned or running for this worker"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SCHEDULER.worker_enabled:
            self.stderr.write("WORKER_ENABLED is false: no worker started")
            return
        if why := _sandbox_problem():
            self.stderr.write(f"SHELL_SANDBOX: {settings.SCHEDULER.shell_sandbox} cannot be used here: {why}")
            sys.exit(2)
        several = options["processes"] > 1
        # Before hiding: it looks for its room beside the environment.
        setproctitle("task-scheduler supervisor" if several else "task-scheduler guardian")
        hide_environment()
        self.require_migrations(patient=True, wait=options["wait_for_migrations"])
        if several:
            sys.exit(_supervise(options))
        guardian = Guardian(lambda worker_id, link: _work(worker_id, link, options), grace=_grace(options))
        sys.exit(guardian.run())


def _sandbox_problem() -> str | None:
    """Why SHELL tasks could not be confined here as they should: then this worker must not run any."""
    with closing(ShellExecutor()) as executor:
        return shell_sandbox.problem(settings.SCHEDULER, executor)


def _supervise(options: dict[str, Any]) -> int:
    """Run this very command, for one worker each, as many times as asked; return the exit status."""
    command = [sys.executable, *sys.orig_argv[1:], "--processes", "1"]
    grace = options["grace"] + STOPPING_TAKES
    names = [f"worker {number}" for number in range(1, options["processes"] + 1)]
    with Supervisor([Child(name, command, grace=grace, may_finish=options["burst"]) for name in names]) as supervisor:
        supervisor.run()
    return 0 if supervisor.clean else 1


def _work(worker_id: UUID, link: GuardianLink, options: dict[str, Any]) -> int:
    """The worker process, from its start to its exit status."""
    setproctitle(f"task-scheduler worker {options['name'] or socket.gethostname()}")
    registration = Registration(
        worker_id=worker_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        name=options["name"] or socket.gethostname(),
        slots=options["concurrency"],
        queues=options["queues"],
        labels=options["labels"],
        version=settings.VERSION,
    )
    prefetch = 4 * options["concurrency"] if options["prefetch"] is None else options["prefetch"]
    worker = Worker(
        WorkerOptions(registration=registration, prefetch=prefetch, grace=_grace(options), burst=options["burst"]), link
    )
    with in_background():
        worker.run()
    return worker.exit_status


def _grace(options: dict[str, Any]) -> timedelta:
    return timedelta(seconds=options["grace"])


def _number(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
        return number

    return parse


def _queues(text: str) -> list[str] | None:
    names = sorted({name.strip() for name in text.split(",") if name.strip()})
    if bad := [name for name in names if not QUEUE_NAME.fullmatch(name)]:
        raise argparse.ArgumentTypeError(f"{bad[0]!r} is no queue name (1 to 100 of A-Z a-z 0-9 . _ : -)")
    return names or None


def _name(text: str) -> str:
    if problem := problem_of_line(text, LONGEST_NAME):
        raise argparse.ArgumentTypeError(problem)
    return text


def _labels(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not name.strip() or not equals for name, equals, _ in pairs):
        raise argparse.ArgumentTypeError("must look like zone=a,gpu=yes")
    return {_label(name.strip()): _label(value.strip()) for name, _, value in pairs}


def _label(text: str) -> str:
    if problem := problem_of_label(text):
        raise argparse.ArgumentTypeError(problem)
    return text
