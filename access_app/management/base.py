"""What the project's commands share: their version, and what they do about a database that is not migrated.

A command calls `require_migrations` first. Those that run for long wait for a database that is away, and, when asked
to, for migrations; the others end with one line and status 2, or 1 for a database that is away.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import connection

from access_app.database_faults import backoff, explained, kind_of, short
from access_app.migrations_state import MadeBefore, pending_migrations

log = structlog.get_logger(__name__)

#: Seconds between two looks at whether the migrations have come.
LOOK_EVERY = 0.5
ADVICE = "run `python manage.py migrate`"


class ProjectCommand(BaseCommand):
    """A command of ours. ``runs_on``: it waits for its database, and takes ``--wait-for-migrations``."""

    requires_system_checks: list[str] = []
    requires_migrations_checks = False  # Django's warns, and goes on
    runs_on: ClassVar[bool] = False

    def get_version(self) -> str:
        return settings.VERSION

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.runs_on:
            parser.add_argument(
                "--wait-for-migrations",
                action="store_true",
                help="wait until somebody has run `migrate` instead of ending with status 2",
            )
        return parser

    def require_migrations(
        self, *, patient: bool = False, wait: bool = False, unless_away: bool = False, **_: Any
    ) -> None:
        """Return when all migrations are applied; leaves no connection open, so that the caller may fork.

        ``patient``: wait for a database that is away; ``unless_away``: return then. ``wait``: wait for migrations
        too. Raises `CommandError` with status 2 when migrations are missing and 1 when the database is away; ends the
        process with 0 on SIGTERM or SIGINT while it waits.
        """
        try:
            with _ending_on_signals():
                _await_migrations(patient=patient, wait=wait, unless_away=unless_away)
        finally:
            if not connection.in_atomic_block:  # somebody calls a command from within a transaction of their own
                connection.close()


def _await_migrations(*, patient: bool, wait: bool, unless_away: bool) -> None:
    failures, logged = 0, False
    while True:
        try:
            pending = pending_migrations()
        except MadeBefore as error:
            raise CommandError(str(error), returncode=2) from error
        except DatabaseError as error:
            connection.close()
            if unless_away:
                return
            if not patient:
                raise CommandError(explained(error)) from error
            failures += 1
            if failures == 1:
                log.warning("database_away", kind=kind_of(error), error=short(error))
            time.sleep(backoff(failures))
            continue
        if not pending:
            return
        if not wait:
            raise CommandError(f"{len(pending)} migrations are not applied: {ADVICE}", returncode=2)
        if not logged:
            log.info("waiting_for_migrations", pending=len(pending), advice=ADVICE)
        logged = True
        time.sleep(LOOK_EVERY)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """End the process with 0 on SIGTERM and SIGINT: there is nothing in hand yet that a handler could disturb."""

    def end(*_: Any) -> NoReturn:
        raise SystemExit(0)

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
