"""``manage.py runweb``: the web process. Opens the socket, and becomes gunicorn with this project's configuration."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from access_app.management.base import ProjectCommand
from scheduler_project.management.commands.runall import listener_or_exit
from tasks_app import inherited


class Command(ProjectCommand):
    help = "Serve the API and the pages on HOST (127.0.0.1) and PORT (8000; 0: any that is free)."
    runs_on = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fd", type=int, metavar="N", help="serve on this inherited socket instead, which listens")

    def handle(self, *args: Any, **options: Any) -> None:
        descriptor = listener_or_exit().detach() if options["fd"] is None else options["fd"]
        # Without the database it says so to probes, as it does when the database goes away later.
        self.require_migrations(wait=options["wait_for_migrations"], unless_away=True)
        os.set_inheritable(descriptor, True)
        # A fresh interpreter, because how requests are counted must be decided before anything of Django is imported.
        # It finds the project wherever this was called from.
        command = [sys.executable, "-m", "gunicorn", "-c", "python:scheduler_project.serving", "scheduler_project.wsgi"]
        variables = inherited.environment()
        path = [os.fsencode(settings.BASE_DIR), *filter(None, [variables.get(b"PYTHONPATH")])]
        variables[b"PYTHONPATH"] = os.pathsep.encode().join(path)
        sys.stdout.flush()
        os.execve(sys.executable, [*command, "--bind", f"fd://{descriptor}"], variables)  # noqa: S606 - no shell
