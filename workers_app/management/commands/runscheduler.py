"""``manage.py runscheduler``: assign due tasks to live workers, notice dead ones, keep house."""

from __future__ import annotations

import gc
import json
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from setproctitle import setproctitle

from access_app.database_faults import DatabaseAway, explained
from access_app.management.base import ProjectCommand
from workers_app.processes.prctl import hide_environment
from workers_app.processes.scheduler import Scheduler
from workers_app.stop_signals import stop_on_signals

#: So many more objects than are freed are made before a collection looks at them: some passes of 1,000 tasks.
YOUNG: Final = 50_000


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
            _collect_rarely()
            scheduler.run()

    def _once(self, scheduler: Scheduler) -> None:
        try:
            with stop_on_signals(scheduler.pipe):
                self.stdout.write(json.dumps(scheduler.once()))
        except DatabaseAway as error:
            raise CommandError(explained(error)) from error


def _collect_rarely() -> None:
    """Look for garbage after `YOUNG` new objects, and not after some hundred.

    A pass makes thousands that go with it, and hardly a cycle: to look for these among all that is loaded took a sixth
    of a busy scheduler's processor time, and a third where each task had a key.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
