"""What a new or lower limit, a pause or a freeze does to tasks that are owned already: take back, and count what runs.

In the transaction that stores the limit, over Django's connection, with the pass held.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
import structlog
from django.db import OperationalError, connection, transaction

from access_app.sql import statement

log = structlog.get_logger(__name__)

#: Milliseconds that a freeze waits for each start that is under way: a session that holds a task must not keep it up.
WAITS: Final = 2000


def hand_back_assigned(
    *,
    actor: str,
    reason: str,
    queue: str | None = None,
    key: str | None = None,
    target: str | None = None,
    frozen: bool = False,
) -> None:
    """Take back what is assigned and has not started: of a queue or one of its keys, what calls a target, is frozen."""
    asked: dict[str, Any] = {"queue": queue, "key": key, "target": target, "frozen": frozen}
    asked |= {"worker_id": None, "older_than": None}
    with connection.cursor() as cursor:
        cursor.execute(statement("hand_back_assigned"), asked | {"actor": actor, "reason": reason, "limit": 1_000_000})


def stamp_limited(*, queue: str | None = None, target: str | None = None) -> None:
    """Let what is assigned or running count against the limit of a queue, or of a target."""
    with connection.cursor() as cursor:
        cursor.execute(statement("stamp_limited"), {"queue": queue, "target": target})


def lock_frozen() -> None:
    """Wait until the starts of frozen tasks that are under way are over, unless somebody holds one longer than `WAITS`.

    Then those that nobody holds are locked by whoever takes them back, and schedulers take back the others
    (``thawing.Sweeper``).
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(WAITS)])
            cursor.execute(statement("lock_frozen"))
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise
        log.warning("starts_not_waited_for", milliseconds=WAITS)
