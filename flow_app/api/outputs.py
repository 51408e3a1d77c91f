"""Queues and reasons as JSON: the field names of the contract, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from access_app.http.times import show_instant
from flow_app.models import Queue, Target
from flow_app.rules import shown_rules
from tasks_app.executors.base import JsonObject
from tasks_app.reasons import Reason


def reason_json(reason: Reason) -> JsonObject:
    return {"code": reason.code, "detail": reason.detail, "until": show_instant(reason.until)}


def queue_json(queue: Queue) -> JsonObject:
    return {
        "name": queue.name,
        "paused": queue.is_paused,
        "pausedAt": show_instant(queue.paused_at),
        "pausedUntil": show_instant(queue.paused_until),
        "pauseReason": queue.pause_reason,
        "pausedBy": queue.paused_by,
        **shown_rules(queue),
        "version": queue.version,
    }


def target_items(targets: Sequence[Target]) -> list[JsonObject]:
    return [target_json(target) for target in targets]


def target_json(target: Target) -> JsonObject:
    return {
        "host": target.host,
        "maxConcurrency": target.max_concurrency,
        "respectRetryAfter": target.respect_retry_after,
        "backingOffUntil": show_instant(target.backing_off_until if target.is_backing_off else None),
        "version": target.version,
    }
