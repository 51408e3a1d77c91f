"""What a new or lower limit does to tasks that are owned already: take back, and count what runs.

In the transaction that stores the limit, over Django's connection, with the pass held.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from access_app.sql import statement


def hand_back_assigned(
    *, actor: str, reason: str, queue: str | None = None, key: str | None = None, target: str | None = None
) -> None:
    """Take back what is assigned and has not started: of a queue or one of its keys, or of what calls a target."""
    asked: dict[str, Any] = {"queue": queue, "key": key, "target": target, "worker_id": None, "older_than": None}
    with connection.cursor() as cursor:
        cursor.execute(statement("hand_back_assigned"), asked | {"actor": actor, "reason": reason, "limit": 1_000_000})


def stamp_limited(*, queue: str | None = None, target: str | None = None) -> None:
    """Let what is assigned or running count against the limit of a queue, or of a target."""
    with connection.cursor() as cursor:
        cursor.execute(statement("stamp_limited"), {"queue": queue, "target": target})
