"""``manage.py embedded_db status|start|stop|url``: the embedded PostgreSQL by hand.

Exit status: 0 done, or running; 1 it failed; 2 another database is configured; 3 (``status`` only) stopped.
"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from access_app.management.base import ProjectCommand
from scheduler_project.embedded.server import EmbeddedError, EmbeddedServer

STOPPED = 3


class Command(ProjectCommand):
    help = "Shows, starts or stops the embedded PostgreSQL; `url` prints its DATABASE_URL alone, running or not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["status", "start", "stop", "url"])
        parser.add_argument("--remove", action="store_true", help="with stop: delete its data too, without asking")

    def handle(self, *args: Any, action: str, remove: bool, **options: Any) -> None:
        if remove and action != "stop":
            raise CommandError("--remove goes with stop only", returncode=2)
        server = self._server()
        try:
            getattr(self, action)(server, remove=remove)
        except EmbeddedError as error:
            raise CommandError(f"embedded PostgreSQL: {error}") from error

    def _server(self) -> EmbeddedServer:
        if choice := settings.DATABASES["default"].get("EMBEDDED"):
            return EmbeddedServer(choice.location, bindir=choice.bindir)
        raise CommandError("DATABASE_URL or DB_HOST names another database: there is no embedded one", returncode=2)

    def status(self, server: EmbeddedServer, **_: Any) -> None:
        if not server.is_running():
            self.stdout.write(f"stopped (data in {server.data_dir}{'' if server.made_by else ', not made yet'})")
            sys.exit(STOPPED)
        self.stdout.write(
            f"running: PostgreSQL {server.made_by}, process {server.postmaster.pid}, data in {server.data_dir}"
        )

    def start(self, server: EmbeddedServer, **_: Any) -> None:
        if not server.start():
            self.stdout.write("already running")

    def stop(self, server: EmbeddedServer, *, remove: bool) -> None:
        stopped = server.is_running()
        if remove:
            server.remove()
        else:
            stopped = server.stop()
        self.stdout.write("stopped" if stopped else "was not running")
        if remove:
            self.stdout.write(f"removed {server.data_dir}")

    def url(self, server: EmbeddedServer, **_: Any) -> None:
        self.stdout.write(server.location.url)
