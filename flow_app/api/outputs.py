"""Queues and reasons as JSON: the field names of the contract, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from access_app.http.pagination import COUNTED, numbered
from access_app.http.times import show_instant
from flow_app.figures import Figures
from flow_app.models import Queue, QueueKey, Target
from flow_app.queue_keys import columns_of, shown_key
from flow_app.rules import RESUME_RATE, RULES, shown_rules
from flow_app.targets import RATE
from tasks_app.executors.base import JsonObject
from tasks_app.reasons import Reason


def reason_json(reason: Reason) -> JsonObject:
    return {
        "code": reason.code,
        "detail": reason.detail,
        "until": show_instant(reason.until),
        "links": dict(reason.links),
    }


def key_json(row: QueueKey) -> JsonObject:
    return {"queue": row.queue, "key": row.key, **shown_key(columns_of(row)), "version": row.version}


def key_items(rows: Sequence[QueueKey]) -> list[JsonObject]:
    return [key_json(row) for row in rows]


def queue_json(queue: Queue, figures: Figures) -> JsonObject:
    return {
        "name": queue.name,
        "paused": queue.is_paused,
        "pausedAt": show_instant(queue.paused_at),
        "pausedUntil": show_instant(queue.paused_until),
        "pauseReason": queue.pause_reason,
        "pausedBy": queue.paused_by,
        "frozen": queue.is_frozen,
        "frozenUntil": show_instant(queue.frozen_until if queue.is_frozen else None),
        **shown_rules(queue, [*RULES, RESUME_RATE]),
        "version": queue.version,
        **figures_json(figures),
    }


def queue_page(content: list[JsonObject], *, page: int, size: int, total: int) -> JsonObject:
    """A page by its number. Of more than `COUNTED` queues the total is how many were looked at."""
    return numbered(content, page=page, size=size, total=total, estimated=total > COUNTED)


def figures_json(figures: Figures) -> JsonObject:
    oldest = figures.oldest_due_seconds
    return {
        "waiting": figures.waiting,
        "due": figures.due,
        "waitingAtLeast": figures.at_least,
        "oldestDueSeconds": None if oldest is None else round(oldest, 3),
        "scheduled": figures.scheduled,
        "running": figures.running,
        "gates": figures.gates,
        "inPerMinute": figures.in_per_minute,
        "outPerMinute": figures.out_per_minute,
        "ratesSampled": figures.sampled,
        "timeToDrainSeconds": figures.time_to_drain_seconds,
    }


def target_items(targets: Sequence[Target]) -> list[JsonObject]:
    return [target_json(target) for target in targets]


def target_json(target: Target) -> JsonObject:
    return {
        "host": target.host,
        "maxConcurrency": target.max_concurrency,
        "rateLimit": RATE.shown(target),
        "respectRetryAfter": target.respect_retry_after,
        "backingOffUntil": show_instant(target.backing_off_until if target.is_backing_off else None),
        "version": target.version,
    }
