"""``manage.py config show``: every setting, the value that counts, and where it comes from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from access_app.management.base import ProjectCommand
from scheduler_project import environment


class Command(ProjectCommand):
    help = (
        "Show every setting with its value and its source. Passwords and the secret key are masked. Needs no database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="show")
        show = actions.add_parser("show", help="print the settings")
        show.add_argument("--json", action="store_true", help="as a list of objects with name, value and source")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = list(
            environment.shown(os.environ, from_file=settings.FROM_FILE, profile=str(settings.SCHEDULER.profile))
        )
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in shown], indent=2))
            return
        name_width, value_width = max(len(row.name) for row in shown), max(len(row.value) for row in shown)
        for row in shown:
            self.stdout.write(f"{row.name:<{name_width}}  {row.value or '-':<{min(value_width, 60)}}  {row.source}")
        self.stdout.write(f"\nDatabase: {_database()}")


def _database() -> str:
    choice = settings.DATABASE
    if choice.embedded is not None:
        return f"the embedded server in {choice.embedded.location.data_dir}"
    where = (
        f"{choice.params.get('host') or 'local socket'}, database {choice.params.get('dbname') or '(of the service)'}"
    )
    return f"{where} (from {choice.source})"
