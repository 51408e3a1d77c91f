"""Schemas of webhook endpoints, of deliveries, and of the messages themselves."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import pages, sort_set
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    Json,
    array,
    closed_set,
    integer,
    nullable,
    obj,
    open_obj,
    or_null,
    schema,
)
from workflows_app.api.endpoint_inputs import RATE
from workflows_app.api.filters import DeliveryFilters, EndpointFilters
from workflows_app.api.outputs import ALWAYS
from workflows_app.callbacks.endpoints import LONGEST_OVERLAP, MOST_QUEUES, OVERLAP
from workflows_app.callbacks.events import MOST_OF_A_RESULT, Disabled, Event
from workflows_app.callbacks.redelivering import FASTEST, SLOWEST

_SETTINGS: Final[Json] = {
    "name": NAME,
    "url": {"type": "string", "format": "uri", "description": "http or https; judged as the URL of an HTTP task."},
    "on": array(
        schema("WebhookEvent"), description="What it hears of; empty: only of tasks that name it in `callback`."
    ),
    "queues": {
        "type": ["array", "null"],
        "items": NAME,
        "minItems": 1,
        "maxItems": MOST_QUEUES,
        "description": "Of whose tasks; null: of all.",
    },
    "include": or_null("Include"),
    "ordered": {"type": "boolean", "description": "The next delivery only after the one before it has ended."},
    "enabled": {"type": "boolean", "description": "true lets a disabled endpoint be called again."},
}
_ENDPOINT: Final[Json] = {
    "id": ID,
    **_SETTINGS,
    "disabled": or_null("WebhookDisabled"),
    "disabledAt": INSTANT_OR_NULL,
    "failingSince": INSTANT_OR_NULL | {"description": "null: the last delivery that ended has arrived."},
    "previousSecretUntil": INSTANT_OR_NULL | {"description": "Until then the secret before signs, too."},
    "createdBy": {"type": "string"},
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
    "version": {"type": "integer", "minimum": 1},
}
_SECRET: Final[Json] = {
    "secret": {
        "type": "string",
        "pattern": "^whsec_[A-Za-z0-9+/]{43}=$",
        "description": "Shown this once.",
    }
}
_DELIVERY: Final[Json] = {
    "id": ID | {"description": "Also of the HTTP task that brings it."},
    "webhookId": {"type": "string", "description": "The id of the message: the same however often it is sent."},
    "type": schema("WebhookEvent"),
    "taskId": ID | {"description": "The task whose end it is about."},
    "endpointId": ID | {"type": ["string", "null"]},
    "endpoint": nullable("string", description="Its name; null: deleted, or the url of the task's own callback."),
    "url": {"type": "string"},
    "redelivers": ID | {"type": ["string", "null"], "description": "The delivery that it repeats."},
    "status": schema("TaskStatus"),
    "attempt": COUNT,
    "createdAt": INSTANT,
    "nextRunAt": INSTANT_OR_NULL,
    "finishedAt": INSTANT_OR_NULL,
    "links": schema("DeliveryLinks"),
}
_TOLD_TASK: Final[Json] = {
    "id": ID,
    "type": {"type": "string"},
    "queue": NAME,
    "status": schema("TaskStatus"),
    "attempt": COUNT,
    "correlationId": {"type": "string"},
    "finishedAt": INSTANT,
    "errorCode": nullable("string"),
    "result": {"description": f"With `include: result` only; null beyond {MOST_OF_A_RESULT:,} bytes."},
    "resultLeftOut": {"type": "boolean", "description": "It was too large."},
}
SCHEMAS: Final[Json] = {
    "WebhookEvent": closed_set(Event, "What a message is about. Of task.failed: quarantined ones, too."),
    "WebhookDisabled": closed_set(
        Disabled, "Why nothing is delivered: it answered 410, nothing has arrived for five days, or somebody said so."
    ),
    "NewWebhookEndpoint": obj(_SETTINGS, required=["name", "url", "on"]),
    "WebhookEndpointChanges": obj(_SETTINGS, required=[]),
    "WebhookEndpoint": obj(_ENDPOINT),
    "WebhookEndpointWithSecret": obj(_ENDPOINT | _SECRET),
    "WebhookRotation": obj(
        {
            "overlapSeconds": integer(0, int(LONGEST_OVERLAP.total_seconds()))
            | {"default": int(OVERLAP.total_seconds()), "description": "So long the secret before signs, too."}
        },
        required=[],
    ),
    "WebhookReplay": obj(
        {
            "from": INSTANT,
            "to": INSTANT | {"description": "Absent: now."},
            "ratePerSecond": {"type": "number", "minimum": SLOWEST, "maximum": FASTEST, "default": RATE},
        },
        required=["from"],
    ),
    "WebhookReplayed": obj({"count": COUNT}),
    **pages("WebhookEndpoint"),
    "WebhookEndpointSort": sort_set(EndpointFilters),
    "Delivery": obj(
        _DELIVERY,
        required=ALWAYS,
        description="No more than its ids and its status for a caller that may not read deliveries.",
    ),
    "DeliveryLinks": obj({"task": {"type": "string"}, "attempts": {"type": "string"}}),
    **pages("Delivery"),
    "DeliverySort": sort_set(DeliveryFilters),
    "WebhookData": open_obj(
        {"task": schema("WebhookTask"), "links": schema("WebhookLinks")}, required=["task", "links"]
    ),
    "WebhookTask": open_obj(_TOLD_TASK, required=[name for name in _TOLD_TASK if "result" not in name]),
    "WebhookLinks": obj({"task": {"type": "string"}}),
    "WebhookMessage": obj(
        {
            "type": schema("WebhookEvent"),
            "timestamp": INSTANT | {"description": "When the task ended."},
            "data": schema("WebhookData"),
        }
    ),
}
