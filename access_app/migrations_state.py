"""Which migrations are missing: what commands, ``/health/ready`` and the doctor ask before anything else."""

from __future__ import annotations

from typing import Final

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

#: Applied in every database that was made before the migrations began anew; its successors hold other tables.
_OF_BEFORE: Final = ("tasks_app", "0002_storage")


class MadeBefore(Exception):
    """The database was made by an earlier commit, and cannot become one of ours. The text says the way out."""

    def __init__(self) -> None:
        super().__init__(
            "this database was made by a commit from before the first release, whose migrations no longer exist:"
            " use a new database (`python manage.py embedded_db stop --remove` deletes the embedded one)"
        )


def refuse_made_before() -> None:
    """Raise `MadeBefore` for a database of an earlier commit, and `django.db.Error`."""
    if _OF_BEFORE in MigrationExecutor(connection).loader.applied_migrations:
        raise MadeBefore


def pending_migrations() -> list[str]:
    """The migrations that this code has and the database has not, in order; those it has beyond ours do not count.

    Raises `MadeBefore` and `django.db.Error`.
    """
    executor = MigrationExecutor(connection)
    if _OF_BEFORE in executor.loader.applied_migrations:
        raise MadeBefore
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _ in plan]
