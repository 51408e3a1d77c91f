"""The queues as the overview shows them: what waits, what is held, and how long the oldest has been due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from access_app.staff import display
from flow_app import queues
from flow_app.models import Queue
from flow_app.outlook import Head
from flow_app.queues import MOST_COUNTED, counts
from monitoring_app import selectors

#: Queues are many only by accident; beyond so many the page does not look.
MOST_LOOKED_AT: Final = 200
_MOST_QUEUES: Final = 12


def read_queues(heads: list[Head], owned: set[str]) -> list[dict[str, Any]]:
    """Queues with something waiting, owned or paused: paused ones first, then the fullest."""
    with selectors.bounded(selectors.SURVEY_TIMEOUT):
        ages = ages_by_queue(heads, timezone.now())
        paused = {queue.name: queue for queue in queues.paused(most=MOST_LOOKED_AT)}
        names = sorted(ages.keys() | owned | paused.keys())[:MOST_LOOKED_AT]
        counted = counts(names)
    first = sorted(names, key=lambda name: (name in paused, sum(counted[name])), reverse=True)
    return [_queue_row(name, counted[name], ages.get(name), paused.get(name)) for name in first[:_MOST_QUEUES]]


def ages_by_queue(heads: list[Head], now: datetime) -> dict[str, timedelta]:
    """How long the oldest task of each queue is past its time, paused queues too; negative: it is to come."""
    ages: dict[str, timedelta] = {}
    for head in heads:
        if head.queue is not None:
            age = now - datetime.fromisoformat(head.run_at)
            ages[head.queue] = max(ages.get(head.queue, age), age)
    return ages


def _queue_row(name: str, counted: tuple[int, int], age: timedelta | None, row: Queue | None) -> dict[str, Any]:
    waiting, owned = counted
    paused = row is not None
    return {
        "name": name,
        "tasks": display.query(queue=name),
        "page": display.page_url(row) if row else "",
        "badge": display.badge("PAUSED") if paused else "",
        "paused": paused,
        "held": paused and age is not None and age > timedelta(0),
        "waiting": display.number(waiting, at_most=MOST_COUNTED),
        "owned": display.number(owned),
        "oldest_age": age if age is not None and age > timedelta(0) else None,
        "oldest": display.brief(age) if age is not None and age > timedelta(0) else display.EMPTY,
    }


def oldest_due(oldest: timedelta | None, held: timedelta | None) -> dict[str, str]:
    """The tile: the longest wait where tasks run, else in a paused queue, which is not well either."""
    if oldest is None and held is not None:
        return {
            "oldest_due": display.brief(held),
            "oldest_due_tone": "ts-orange",
            "oldest_due_where": "longest wait, in a paused queue",
        }
    beside = "" if held is None else f"; {display.brief(held)} in a paused queue"
    return {
        "oldest_due": "none" if oldest is None else display.brief(oldest),
        "oldest_due_tone": _tone(oldest),
        "oldest_due_where": f"longest wait past its time{beside}",
    }


def _tone(oldest_due: timedelta | None) -> str:
    """A due task that waits longer than a lease is worth a colour; longer than five minutes, another."""
    if oldest_due is None or oldest_due < settings.SCHEDULER.heartbeat_timeout:
        return "ts-green"
    return "ts-orange" if oldest_due < timedelta(minutes=5) else "ts-red"
