"""``manage.py runscheduler``: assign due tasks to live workers, notice dead ones, keep house."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from setproctitle import setproctitle

from access_app.database_faults import DatabaseAway, explained
from access_app.management.base import ProjectCommand
from workers_app.processes.prctl import hide_environment
from workers_app.processes.scheduler import Scheduler
from workers_app.stop_signals import stop_on_signals


class Command(ProjectCommand):
    help = (
        "Assign due tasks to live workers. Any number may run at once, on any host; stops cleanly on SIGTERM or Ctrl-C."
    )
    runs_on = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do one round of everything due, report, and exit")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SCHEDULER.scheduler_enabled:
            self.stderr.write("SCHEDULER_ENABLED is false: no scheduler started")
            return
        setproctitle("task-scheduler scheduler")
        hide_environment()
        self.require_migrations(patient=not options["once"], wait=options["wait_for_migrations"])
        scheduler = Scheduler()
        if options["once"]:
            self._once(scheduler)
        else:
            scheduler.run()

    def _once(self, scheduler: Scheduler) -> None:
        try:
            with stop_on_signals(scheduler.pipe):
                self.stdout.write(json.dumps(scheduler.once()))
        except DatabaseAway as error:
            raise CommandError(explained(error)) from error
