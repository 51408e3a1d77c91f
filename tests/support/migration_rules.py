"""What a migration may do, so that processes of the release before it work on: expand now, contract a release later.

During an upgrade the schema is the new release's while web, schedulers and workers are still the old one's. Names they
use must stay, with their meaning; rows they write must be taken; rows they read must have what they expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED

#: The newest migration of each app in the last release: what came with it was judged then, and stays as it is.
RELEASED = dict.fromkeys(
    ("access_app", "flow_app", "monitoring_app", "schedules_app", "tasks_app", "workers_app", "workflows_app"),
    "0001_initial",
)

#: Adds something that the release before does not know, and so cannot miss.
_HARMLESS = (migrations.CreateModel, migrations.AddIndex, AddIndexConcurrently, migrations.AlterModelOptions)
_SAID = "expands = True"


def offences(migration: migrations.Migration) -> list[str]:
    """What the migration does that the release before it may not survive, one sentence each."""
    return [text for operation in migration.operations for text in _offences(operation, migration)]


def _offences(operation: Operation, migration: migrations.Migration) -> Iterator[str]:
    name = type(operation).__name__
    if isinstance(operation, migrations.AddField):
        field: Any = operation.field
        if not field.null and field.db_default is NOT_PROVIDED:
            yield f"AddField {operation.name}: inserts of the release before name no value; give it null or db_default"
    elif isinstance(operation, (migrations.RunSQL, migrations.RunPython, migrations.SeparateDatabaseAndState)):
        # Nobody can read SQL for its effect on another release but a person, who says so on the migration.
        if not getattr(migration, "expands", False):
            yield f"{name}: say `{_SAID}` on the migration once you have checked that it only adds"
    elif not isinstance(operation, _HARMLESS):
        yield f"{name}: leave it to the release after the one that stops using what it takes away or tightens"
