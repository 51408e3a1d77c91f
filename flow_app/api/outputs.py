"""Queues and reasons as JSON: the field names of the contract, in its order."""

from __future__ import annotations

from access_app.http.times import show_instant
from flow_app.models import Queue
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
