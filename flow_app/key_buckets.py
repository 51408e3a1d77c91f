"""The buckets of concurrency keys whose queue has a rate for each key: what a change of it does to them, and sweeping.

What a bucket is: ``rates.py``. Passes charge them (``locking.charge_key_buckets``), and ``opening.open_keys`` looks at
them when a token comes that something waits for.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection
from django.db.models.functions import Now

from access_app.sql import statement
from flow_app.buckets import rate_of
from flow_app.counting_in import hand_back_assigned
from flow_app.models import Queue
from flow_app.outlook import Outlook
from flow_app.rates import Rate
from tasks_app.sessions import BATCH, Session


class Swept(NamedTuple):
    """The last bucket that was looked at (None: the end), how many were removed, and whether any is to be opened."""

    last_id: int | None
    gone: int
    opens: bool


def follow_key_rate(before: Queue, after: Queue, actor: str) -> None:
    """What a change of ``perKey.rateLimit`` does, in its transaction: it counts what starts from now on.

    What has not started goes back, and is given anew with tokens of its key. Where there was no rate before, each key
    begins with one token.
    """
    old, new = rate_of(before, "key_rate"), rate_of(after, "key_rate")
    if old is None:
        Queue.objects.filter(name=after.name).update(key_rate_since=Now())
    fit_key_buckets(after.name, old, new)
    if new is not None:
        hand_back_assigned(queue=after.name, actor=actor, reason="its queue was given a rate for each key")
        hold_key_tokens(after.name)


def fit_key_buckets(queue: str, before: Rate | None, after: Rate | None) -> None:
    """Have the buckets of the keys of a queue fit its new rate."""
    asked: dict[str, str | int | None] = {
        "queue": queue,
        "old_limit": before.limit if before else None,
        "old_period": before.period if before else None,
        "limit": after.limit if after else None,
        "period": after.period if after else None,
        "burst": after.burst if after else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("fit_key_buckets"), asked)


def hold_key_tokens(queue: str) -> None:
    """Let what is assigned, because its start is under way, hold tokens of a rate that is set right now."""
    with connection.cursor() as cursor:
        cursor.execute(statement("hold_key_tokens"), {"queue": queue})


def sweep_key_buckets(session: Session, *, after: int = 0, limit: int = BATCH) -> Swept:
    """Remove full buckets behind this one. Raises `DatabaseAway`."""
    [swept] = session.rows("sweep_key_buckets", {"after": after, "limit": limit}, of=Swept)
    return swept


class KeyBucketSweeper:
    """Removes full buckets, some each time, and tells its scheduler of those that are to be looked at."""

    def __init__(self, outlook: Outlook) -> None:
        self._after = 0
        self._outlook = outlook

    def sweep(self, session: Session) -> int:
        """Return how many were removed. Raises `DatabaseAway`."""
        found = sweep_key_buckets(session, after=self._after)
        self._after = found.last_id or 0
        self._outlook.awaits_tokens |= found.opens
        return found.gone
