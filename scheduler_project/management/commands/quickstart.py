"""``manage.py quickstart``, for ``make run`` and ``make demo``: from an empty checkout to three tasks that really ran.

Opens the port, migrates, creates an administrator and an API key on the first start (and prints both, once), starts
web, scheduler and worker, submits an HTTP, a SHELL and a DUMMY task and prints their results; then serves until Ctrl-C,
or, with --demo, stops and exits with 0 when all three succeeded.

The key is sent to nobody but our own web process: the socket it listens on was opened here, and no proxy of the
environment is asked the way.
"""

from __future__ import annotations

import json as jsonlib
import secrets
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from setproctitle import setproctitle

from access_app import keys
from access_app import rights as access
from access_app.management.base import ProjectCommand
from scheduler_project.accounts.trail import acting_as
from scheduler_project.management.commands.runall import children, embedded_database, listener_or_exit
from scheduler_project.web.listening import url_of
from tasks_app import selectors, services
from tasks_app.api.outputs import task_json
from tasks_app.fields import NewTask
from tasks_app.models import Task
from workers_app.processes.prctl import hide_environment
from workers_app.processes.supervisor import Supervisor

#: Seconds the web process may take to come up, and the samples to end.
READY_WITHIN = 60.0
SAMPLES_WITHIN = 60.0


class Command(ProjectCommand):
    help = "Start everything on an empty checkout, and show three tasks that really ran."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="stop after the samples; exit 0 when all succeeded")

    def handle(self, *args: Any, **options: Any) -> None:
        setproctitle("task-scheduler quickstart")
        hide_environment()
        listener = listener_or_exit()
        base = url_of(listener)
        with embedded_database():
            call_command("migrate", interactive=False, verbosity=0)
            secret = self._first_start(base)
            with Supervisor(children(listener)) as supervisor:
                self._wait_for_web(supervisor, base)
                failed = self._run_samples(supervisor, base, secret)
                if not options["demo"] and not supervisor.stopping:
                    self._say(
                        f"\nServing on {base} · dashboard {base}/admin/ · API docs {base}/docs",
                        "Ctrl-C stops everything.",
                    )
                    supervisor.run()
        if options["demo"] and failed:
            raise CommandError(f"{failed} of 3 samples did not succeed")

    def _first_start(self, base: str) -> str | None:
        """Create and print an administrator and a key when there are none; return the key's secret.

        Printed before they are committed: whatever ends this process, none exist that nobody has seen.
        """
        users = get_user_model()
        if users.objects.exists() or keys.any_key():
            return None
        password = secrets.token_urlsafe(12)
        with transaction.atomic(), acting_as(lambda: "quickstart"):
            users.objects.create_superuser("admin", password=password)
            _, secret = keys.create_key("quickstart", list(access.Scope), actor="quickstart")
            self._say(
                "First start: these are shown once.",
                f"  admin user     admin / {password}",
                f"  API key        {secret}",
                "",
                "Try it, once it serves:",
                f"  curl -s {base}/tasks -H 'Authorization: Bearer {secret}' \\",
                "    -H 'Content-Type: application/json' \\",
                """    -d '{"type": "SHELL", "payload": {"command": "date"}}'""",
                "",
            )
        return secret

    def _wait_for_web(self, supervisor: Supervisor, base: str) -> None:
        end, problem = time.monotonic() + READY_WITHIN, ""
        while not supervisor.stopping:
            try:
                status, _ = _ask(base, "GET", "/health/ready", seconds=2)
                problem = f"returns {status}"
                if status == HTTPStatus.OK:
                    return
            except (OSError, HTTPException) as error:
                problem = f"does not respond: {error or type(error).__name__}"
            if time.monotonic() > end:
                raise CommandError(f"{base}/health/ready {problem}")
            supervisor.step(0.2)

    def _run_samples(self, supervisor: Supervisor, base: str, secret: str | None) -> int:
        """Submit one task of each type, wait for them, print them; return how many did not succeed."""
        samples = [
            NewTask(type="HTTP", payload={"url": f"{base}/health/live"}),
            NewTask(type="SHELL", payload={"command": "echo hello from $(uname -s), attempt $TASK_ATTEMPT"}),
            NewTask(type="DUMMY", payload={"sleepDurationMs": 200}),
        ]
        ids = [self._submit(base, new, secret) for new in samples]
        end = time.monotonic() + SAMPLES_WITHIN
        tasks = selectors.tasks_of(ids)
        while any(task.finished_at is None for task in tasks.values()):
            if supervisor.stopping or time.monotonic() > end:
                break
            supervisor.step(0.1)
            tasks = selectors.tasks_of(ids)
        for task_id in ids:
            self._print_task(tasks[task_id])
        return sum(task.status != "SUCCESS" for task in tasks.values())

    def _submit(self, base: str, new: NewTask, secret: str | None) -> UUID:
        """Over REST while the key is known (the first start), otherwise through the service it ends in."""
        if secret is None:
            return services.create_task(new, created_by="quickstart").task.pk
        status, response = _ask(base, "POST", "/tasks", secret=secret, json={"type": new.type, "payload": new.payload})
        if status != HTTPStatus.CREATED:
            raise CommandError(f"POST {base}/tasks returned {status}: {response.decode(errors='replace')[:500]}")
        return UUID(jsonlib.loads(response)["id"])

    def _print_task(self, task: Task) -> None:
        body = task_json(task, selectors.latest_executions([task.pk]).get(task.pk))
        shown = {name: body[name] for name in ("id", "type", "status", "attempt", "result", "error")}
        self.stdout.write(jsonlib.dumps(shown, indent=2))

    def _say(self, *lines: str) -> None:
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _ask(
    base: str, method: str, path: str, *, secret: str | None = None, json: Any = None, seconds: float = 30
) -> tuple[int, bytes]:
    """Status and body of a response. No redirects and no proxies: what is asked goes where it is addressed."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    connection = HTTPConnection(urlsplit(base).netloc, timeout=seconds)
    try:
        connection.request(method, path, None if json is None else jsonlib.dumps(json), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
