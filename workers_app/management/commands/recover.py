"""``manage.py recover``: system recovery, with its report as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError

from access_app.database_faults import DatabaseAway, explained
from access_app.management.base import ProjectCommand
from workers_app.recovery import recover_system
from workers_app.stop_signals import SelfPipe, stop_on_signals


class Command(ProjectCommand):
    help = (
        "Take back the tasks of dead workers, watch suspicious ones for one lease, check the invariants, and print the"
        " report as JSON. Safe to repeat and to run in parallel. Exit status 1 when an invariant is broken."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.require_migrations()
        pipe = SelfPipe()
        try:
            with stop_on_signals(pipe):
                report = recover_system(actor="manage.py recover", pipe=pipe)
        except DatabaseAway as error:
            raise CommandError(explained(error)) from error
        self.stdout.write(json.dumps(report.to_json(), indent=2))
        if report.invariants:
            raise CommandError("an invariant is broken; see the report")
