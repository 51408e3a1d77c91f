"""Whether an attempt is still the one that its task runs: asked with the row held, for what is done by its token.

Whoever ends, recovers or takes back the attempt waits for that transaction, or has come first: then nothing is done.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db import connection

from access_app.sql import statement
from tasks_app.task_tokens import AttemptOver, Fence


class OwnTask(NamedTuple):
    """What is asked about a task that acts by its token."""

    batch_id: UUID | None
    type: str
    created_by: str


def hold_attempt(fence: Fence) -> OwnTask:
    """Keep an attempt from ending until the end of the transaction. Raises `AttemptOver`."""
    with connection.cursor() as cursor:
        cursor.execute(statement("hold_attempt"), fence._asdict())
        row = cursor.fetchone()
    if row is None:
        raise AttemptOver
    return OwnTask._make(row)
