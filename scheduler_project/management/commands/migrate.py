"""``manage.py migrate``: Django's, one at a time. Several hosts of a new release may all run it when they start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DatabaseError, connections

from access_app.migrations_state import MadeBefore, refuse_made_before

#: Known to all who migrate this database; the number has no meaning.
LOCK: Final = 7_203_331_842_906_117
LOOK_EVERY: Final = 0.2


class Command(migrate.Command):
    help = "Applies migrations. One that runs at the same time elsewhere is waited for."

    def get_version(self) -> str:
        version: str = settings.VERSION
        return version

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with self._alone(options["database"], verbose=options["verbosity"] > 0):
                refuse_made_before()
                super().handle(*args, **options)
        except MadeBefore as error:
            raise CommandError(str(error), returncode=2) from error
        except DatabaseError as error:
            raise CommandError(f"the database cannot be migrated: {str(error).strip()}") from error

    @contextmanager
    def _alone(self, alias: str, *, verbose: bool) -> Iterator[None]:
        """Hold the lock in a transaction of a connection of its own, which a transaction pooler keeps together.

        Asked for again and again rather than waited for: a statement that waits has a snapshot, and an index that the
        other one builds concurrently would wait for that snapshot to end.
        """
        keeper = connections[alias].copy()
        try:
            keeper.set_autocommit(False)
            with keeper.cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                said = False
                while not self._taken(cursor):
                    if verbose and not said:
                        self.stderr.write("Another migrate is running: waiting for it.", lambda text: text)
                    said = True
                    time.sleep(LOOK_EVERY)
            yield
        finally:
            keeper.close()

    def _taken(self, cursor: Any) -> bool:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])
