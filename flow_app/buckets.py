"""The buckets of rates in the database: what a change of a rule does to them, and mending them.

What a bucket is: ``rates.py``. Passes charge them (``locking.charge_buckets``), in their own transaction.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from flow_app.models import Bucket, Queue
from flow_app.rates import Bucket as State
from flow_app.rates import Rate, new_bucket
from tasks_app.sessions import Session


def fit_bucket(kind: str, before: Queue, after: Queue) -> None:
    """Have the bucket of a queue fit its new rate; in the transaction that stores the rate, with the pass held.

    ``kind`` is that of ``rated_queues``. What was taken under the rate before stays taken. A rate where there was none
    begins with one token.
    """
    old, new = _rate_of(kind, before), _rate_of(kind, after)
    rows = Bucket.objects.filter(kind=kind, name=after.name)
    if new is None:
        rows.delete()
        return
    now = _now()
    if old and (row := rows.first()):
        rows.update(full_at=State(old, row.full_at).under(new, now).full_at)
        return
    rows.delete()
    Bucket.objects.create(kind=kind, name=after.name, full_at=new_bucket(new, now).full_at)


def _rate_of(kind: str, queue: Queue) -> Rate | None:
    prefix = {"queue": "rate", "thaw": "thaw"}[kind]
    limit, period, burst = (getattr(queue, f"{prefix}_{part}") for part in ("limit", "period", "burst"))
    return None if limit is None else Rate(limit, period, burst)


def end_thaws(session: Session) -> int:
    """End the thaws of queues whose backlog has started; return how many. Raises `DatabaseAway`."""
    return len(session.rows("end_thaws"))


def mend_buckets(session: Session) -> int:
    """Make buckets that are missing, and settle those that a clock which was set back left ahead; return how many.

    Nothing while somebody makes a pass. Raises `DatabaseAway`.
    """
    return int(session.rows("mend_buckets")[0][0])


def _now() -> datetime:
    """The time of this transaction, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
        return now
