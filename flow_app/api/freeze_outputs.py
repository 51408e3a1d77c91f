"""Freezes as JSON: the field names of the contract, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from access_app.http.times import show_instant
from flow_app.freeze_figures import Affected
from flow_app.models import Freeze
from flow_app.rules import RESUME_RATE
from tasks_app.executors.base import JsonObject


def freeze_json(freeze: Freeze) -> JsonObject:
    return {
        "id": str(freeze.pk),
        "status": str(freeze.status),
        "queues": freeze.queues,
        "targets": freeze.targets,
        "types": freeze.types,
        "reason": freeze.reason,
        "until": show_instant(freeze.until),
        "createdBy": freeze.created_by,
        "createdAt": show_instant(freeze.created_at),
        "thawedAt": show_instant(freeze.thawed_at),
        "thawedBy": freeze.thawed_by or None,
        "resumeRate": RESUME_RATE.shown(freeze),
        "endedAt": show_instant(freeze.ended_at),
        "version": freeze.version,
    }


def freeze_items(freezes: Sequence[Freeze]) -> list[JsonObject]:
    return [freeze_json(freeze) for freeze in freezes]


def affected_json(affected: Affected) -> JsonObject:
    return {"byStatus": affected.by_status, "byQueue": affected.by_queue, "atLeast": affected.at_least}
