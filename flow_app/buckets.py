"""The buckets of rates in the database: what a change of a rule does to them, and mending them.

What a bucket is: ``rates.py``. Passes charge them (``locking.charge_buckets``), in their own transaction.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from access_app.sql import database_now, statement
from flow_app.models import Bucket
from flow_app.rates import Bucket as State
from flow_app.rates import Rate, new_bucket
from tasks_app.sessions import Session


def fit_bucket(kind: str, name: str, before: Rate | None, after: Rate | None) -> None:
    """Have the bucket of a queue or target fit its new rate.

    In the transaction that stores the rate, with the pass held. ``kind`` is that of ``rated_queues`` or
    ``rated_targets``. What was taken under the rate before stays taken. A rate where there was none begins with one
    token. What is assigned without a token has been taken back already; what could not be, because its start is under
    way, holds one.
    """
    rows = Bucket.objects.filter(kind=kind, name=name)
    if after is None:
        rows.delete()
        return
    now = database_now()
    if before and (row := rows.first()):
        rows.update(full_at=State(before, row.full_at).under(after, now).full_at)
    else:
        rows.delete()
        Bucket.objects.create(kind=kind, name=name, full_at=new_bucket(after, now).full_at)
    hold_tokens(kind, name)


def hold_tokens(kind: str, name: str) -> None:
    """Let what is assigned under a rate that is set right now hold tokens of it."""
    of_target = kind == "target"
    asked = {"kind": kind, "name": name, "queue": None if of_target else name, "target": name if of_target else None}
    with connection.cursor() as cursor:
        cursor.execute(statement("hold_tokens"), asked)


def rate_of(row: Any, prefix: str = "rate") -> Rate | None:
    """The rate in the columns of this prefix."""
    limit, period, burst = (getattr(row, f"{prefix}_{part}") for part in ("limit", "period", "burst"))
    return None if limit is None else Rate(limit, period, burst)


def end_thaws(session: Session) -> int:
    """End the thaws of queues whose backlog has started; return how many. Raises `DatabaseAway`."""
    return len(session.rows("end_thaws"))


def mend_buckets(session: Session) -> int:
    """Make buckets that are missing, and settle those that a clock which was set back left ahead; return how many.

    Nothing while somebody makes a pass. Raises `DatabaseAway`.
    """
    return int(session.rows("mend_buckets")[0][0])
