"""Which migrations are missing: what commands, ``/health/ready`` and the doctor ask before anything else."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def pending_migrations() -> list[str]:
    """The migrations that this code has and the database has not, in order; those it has beyond ours do not count.

    Raises `django.db.Error`.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _ in plan]
