"""Endpoints and deliveries as JSON. No secret is in any of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.utils import timezone

from access_app.http.times import show_instant
from access_app.rights import Action, Caller
from tasks_app.executors.base import JsonObject
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint

#: What everybody is shown of a delivery who may do anything with it.
ALWAYS: Final = ("id", "webhookId", "taskId", "redelivers", "status")


def endpoint_json(endpoint: WebhookEndpoint) -> JsonObject:
    return {
        "id": str(endpoint.pk),
        "name": endpoint.name,
        "url": endpoint.url,
        "on": endpoint.events,
        "queues": endpoint.queues,
        "include": endpoint.include,
        "ordered": endpoint.ordered,
        "enabled": endpoint.disabled is None,
        "disabled": endpoint.disabled,
        "disabledAt": show_instant(endpoint.disabled_at),
        "failingSince": show_instant(endpoint.failing_since),
        "previousSecretUntil": show_instant(_still(endpoint.previous_until)),
        "createdBy": endpoint.created_by,
        "createdAt": show_instant(endpoint.created_at),
        "updatedAt": show_instant(endpoint.updated_at),
        "version": endpoint.version,
    }


def endpoint_items(rows: Sequence[WebhookEndpoint]) -> list[JsonObject]:
    return [endpoint_json(row) for row in rows]


def delivery_json(delivery: Delivery) -> JsonObject:
    task, endpoint = delivery.task, delivery.endpoint if delivery.endpoint_id else None
    return {
        "id": str(delivery.pk),
        "webhookId": delivery.webhook_id,
        "type": delivery.event,
        "taskId": str(delivery.source_id),
        "endpointId": str(delivery.endpoint_id) if delivery.endpoint_id else None,
        "endpoint": endpoint.name if endpoint else None,
        "url": delivery.url,
        "redelivers": str(delivery.redelivers) if delivery.redelivers else None,
        "status": task.status,
        "attempt": task.attempt,
        "createdAt": show_instant(task.created_at),
        "nextRunAt": show_instant(task.run_at) if task.finished_at is None else None,
        "finishedAt": show_instant(task.finished_at),
        "links": {"task": f"/tasks/{delivery.source_id}", "attempts": f"/tasks/{delivery.pk}/executions"},
    }


def delivery_for(caller: Caller, delivery: Delivery) -> JsonObject:
    """The same for somebody who sent it once more, and may not read it perhaps."""
    shown = delivery_json(delivery)
    return shown if caller.may(Action.DELIVERY_READ) else {name: shown[name] for name in ALWAYS}


def delivery_items(rows: Sequence[Delivery]) -> list[JsonObject]:
    return [delivery_json(row) for row in rows]


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > timezone.now() else None
