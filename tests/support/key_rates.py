"""Rates of keys for tests: one that has been for long, time that passed, tokens there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import F

from flow_app.models import KeyBucket, Queue
from flow_app.queues import edit_queue
from tasks_app.models import Task
from tests.support.engine import Engine


def rate(limit: int = 10, period: int = 86_400, burst: int = 0, *, most: int = 9, queue: str = "default") -> Queue:
    """A rate for each key, which has been for long. ``most``: as many of a key may run at once."""
    rule = {"limit": limit, "periodSeconds": period, "burst": burst}
    edit_queue(queue, {"perKey": {"rateLimit": rule, "maxConcurrency": most}}, actor="test")
    Queue.objects.update(key_rate_since=datetime.now(UTC) - timedelta(days=9))
    return Queue.objects.get(name=queue)


def let_pass(seconds: float) -> None:
    """As if so much time had passed for buckets, and for what has started."""
    started = Task.objects.exclude(started_at=None)
    started.update(started_at=F("started_at") - timedelta(seconds=seconds))
    for bucket in KeyBucket.objects.all():
        at = bucket.opens_at and bucket.opens_at - timedelta(seconds=seconds)
        full_at = bucket.full_at - timedelta(seconds=seconds)
        KeyBucket.objects.filter(pk=bucket.pk).update(full_at=full_at, opens_at=at)


def tokens(engine: Engine, key: str = "k", queue: str = "default") -> int:
    [(count,)] = engine.session.fetch("SELECT tokens FROM rated_key(%s, %s)", [queue, key])
    return int(count)
