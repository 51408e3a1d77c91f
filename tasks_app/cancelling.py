"""Cancelling many tasks in one statement, in the transaction of what they make way for, or of a bulk operation."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from access_app.sql import Cursor, statement


def cancel_tasks(cursor: Cursor, cancels: Sequence[tuple[UUID, str]], *, reason: str) -> list[UUID]:
    """Cancel tasks, each for an actor; what has ended is left alone. Return the workers that run some of them."""
    ids, actors = zip(*cancels, strict=True)
    cursor.execute(statement("cancel_tasks"), {"ids": list(ids), "actors": list(actors), "reason": reason})
    return [worker_id for (worker_id,) in cursor.fetchall()]
