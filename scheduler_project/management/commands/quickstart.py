"""``manage.py quickstart``, for ``make run`` and ``make demo``: from an empty checkout to three tasks that really ran.

Migrates, creates an administrator and an API key on the first start (and prints both, once), starts web, scheduler and
worker, submits an HTTP, a SHELL and a DUMMY task and prints their results; then serves until Ctrl-C, or, with --demo,
stops and exits with 0 when all three succeeded.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from setproctitle import setproctitle

from scheduler_project.management.commands.runall import children, embedded_database
from tasks_app import access, keys, selectors, services
from tasks_app.api.outputs import task_json
from tasks_app.management.base import ProjectCommand
from tasks_app.models import ApiKey, Task
from tasks_app.new_tasks import NewTask
from workers_app.processes.prctl import hide_environment
from workers_app.processes.supervisor import Supervisor

#: Seconds the web process may take to answer, and the samples to end.
READY_WITHIN = 60.0
SAMPLES_WITHIN = 60.0


class Command(ProjectCommand):
    help = "Start everything on an empty checkout, and show three tasks that really ran."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="stop after the samples; exit 0 when all succeeded")

    def handle(self, *args: Any, **options: Any) -> None:
        setproctitle("task-scheduler quickstart")
        hide_environment()
        base = f"http://127.0.0.1:{os.environ.get('PORT') or '8000'}"
        with embedded_database():
            call_command("migrate", interactive=False, verbosity=0)
            first = self._first_start()
            with Supervisor(children()) as supervisor:
                self._wait_for_web(supervisor, base)
                failed = self._run_samples(supervisor, base, first)
                if not options["demo"] and not supervisor.stopping:
                    self._say_where(base, first)
                    supervisor.run()
        if options["demo"] and failed:
            raise CommandError(f"{failed} of 3 samples did not succeed")

    def _first_start(self) -> tuple[str, str] | None:
        """Create an administrator and a key when there are none; answer the password and the key's secret."""
        users = get_user_model()
        if users.objects.exists() or ApiKey.objects.exists():
            return None
        password = secrets.token_urlsafe(12)
        users.objects.create_superuser("admin", password=password)
        _, secret = keys.create_key("quickstart", list(access.Scope), actor="quickstart")
        return password, secret

    def _wait_for_web(self, supervisor: Supervisor, base: str) -> None:
        end = time.monotonic() + READY_WITHIN
        while not supervisor.stopping:
            try:
                with urllib.request.urlopen(f"{base}/health/ready", timeout=2):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError) as error:
                if time.monotonic() > end:
                    raise CommandError(f"{base} does not answer: {error}") from error
            supervisor.step(0.2)

    def _run_samples(self, supervisor: Supervisor, base: str, first: tuple[str, str] | None) -> int:
        """Submit one task of each type, wait for them, print them; answer how many did not succeed."""
        samples = [
            NewTask(type="HTTP", payload={"url": f"{base}/health/live"}),
            NewTask(type="SHELL", payload={"command": "echo hello from $(uname -s), attempt $TASK_ATTEMPT"}),
            NewTask(type="DUMMY", payload={"sleepDurationMs": 200}),
        ]
        ids = [self._submit(base, new, first) for new in samples]
        end = time.monotonic() + SAMPLES_WITHIN
        while Task.objects.filter(pk__in=ids, finished_at__isnull=True).exists():
            if supervisor.stopping or time.monotonic() > end:
                break
            supervisor.step(0.1)
        tasks = Task.objects.in_bulk(ids)
        for task_id in ids:
            self._print_task(tasks[task_id])
        return sum(task.status != "SUCCESS" for task in tasks.values())

    def _submit(self, base: str, new: NewTask, first: tuple[str, str] | None) -> UUID:
        """Over REST while the key is known (the first start), otherwise through the service it ends in."""
        if first is None:
            return services.create_task(new, created_by="quickstart").task.pk
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{base}/tasks",
            data=json.dumps({"type": new.type, "payload": new.payload}).encode(),
            headers={"Authorization": f"Bearer {first[1]}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return UUID(json.load(answer)["id"])

    def _print_task(self, task: Task) -> None:
        body = task_json(task, selectors.latest_executions([task.pk]).get(task.pk))
        shown = {name: body[name] for name in ("id", "type", "status", "attempt", "result", "error")}
        self.stdout.write(json.dumps(shown, indent=2))

    def _say_where(self, base: str, first: tuple[str, str] | None) -> None:
        lines = ["", f"Serving on {base} · dashboard {base}/admin/ · API docs {base}/docs · Ctrl-C stops everything"]
        if first is not None:
            password, secret = first
            lines += [
                "",
                "First start: these are shown once.",
                f"  admin user     admin / {password}",
                f"  API key        {secret}",
                "",
                "Try it:",
                f"  curl -s {base}/tasks -H 'Authorization: Bearer {secret}' \\",
                "    -H 'Content-Type: application/json' \\",
                """    -d '{"type": "SHELL", "payload": {"command": "date"}}'""",
            ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()
