"""What the document says of webhook endpoints and deliveries: paths, and what is sent to others."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    Json,
    ref,
    schema,
)
from access_app.rights import Action
from workflows_app.api.filters import DeliveryFilters, EndpointFilters
from workflows_app.api.schemas_callbacks import SCHEMAS as SCHEMAS
from workflows_app.callbacks.redelivering import MOST_REPLAYED

_IF_MATCH: Final = ref("parameters", "IfMatch")


def _endpoint(description: str, name: str = "WebhookEndpoint", *more: str) -> Json:
    return response(description, schema(name), headers=("ETag", *more))


PATHS: Final[Json] = {
    "/webhook-endpoints": {
        "get": operation(
            "webhooks",
            "listWebhookEndpoints",
            "Who is told of ends",
            {200: response("A page of them.", page_of("WebhookEndpoint"))},
            action=Action.ENDPOINT_READ,
            parameters=parameters_of(EndpointFilters),
        ),
        "post": operation(
            "webhooks",
            "createWebhookEndpoint",
            "Have somebody told",
            {201: _endpoint("The endpoint, and its secret, this once.", "WebhookEndpointWithSecret", "Location")},
            action=Action.ENDPOINT_CREATE,
            problems=(*BODY_PROBLEMS, 409),
            description="Of the ends of tasks that are created from a second later on.",
            requestBody=body(
                schema("NewWebhookEndpoint"),
                examples={
                    "failures": {
                        "value": {
                            "name": "on-call",
                            "url": "https://hooks.example.com/tasks",
                            "on": ["task.failed"],
                            "queues": ["billing"],
                        }
                    }
                },
            ),
        ),
    },
    "/webhook-endpoints/{endpoint_id}": {
        "parameters": [in_path("endpoint_id")],
        "get": operation(
            "webhooks",
            "getWebhookEndpoint",
            "One endpoint",
            {200: _endpoint("The endpoint.")},
            action=Action.ENDPOINT_READ,
            problems=(404,),
        ),
        "patch": operation(
            "webhooks",
            "editWebhookEndpoint",
            "Change an endpoint",
            {200: _endpoint("The endpoint as it is now.")},
            action=Action.ENDPOINT_EDIT,
            problems=(*BODY_PROBLEMS, 404, 409, 412),
            description="What is on its way goes to the new url with its next attempt.",
            parameters=[_IF_MATCH],
            requestBody=body(schema("WebhookEndpointChanges"), examples={"again": {"value": {"enabled": True}}}),
        ),
        "delete": operation(
            "webhooks",
            "deleteWebhookEndpoint",
            "Delete an endpoint",
            {204: response("It is gone. What is on its way to it fails with its next attempt.", None)},
            action=Action.ENDPOINT_DELETE,
            problems=(404, 412),
            parameters=[_IF_MATCH],
        ),
    },
    "/webhook-endpoints/{endpoint_id}/rotate": {
        "parameters": [in_path("endpoint_id")],
        "post": operation(
            "webhooks",
            "rotateWebhookSecret",
            "Give it another secret",
            {200: _endpoint("The endpoint, and its new secret, this once.", "WebhookEndpointWithSecret")},
            action=Action.ENDPOINT_ROTATE,
            problems=(*BODY_PROBLEMS, 404, 412),
            description="Messages have a signature with each of the two secrets until `overlapSeconds` are over.",
            parameters=[_IF_MATCH],
            requestBody=body(
                schema("WebhookRotation"), required=False, examples={"hour": {"value": {"overlapSeconds": 3600}}}
            ),
        ),
    },
    "/webhook-endpoints/{endpoint_id}/replay": {
        "parameters": [in_path("endpoint_id")],
        "post": operation(
            "webhooks",
            "replayWebhookEndpoint",
            "Tell it of a time once more",
            {202: response("So many messages are on their way.", schema("WebhookReplayed"))},
            action=Action.ENDPOINT_REPLAY,
            problems=(*BODY_PROBLEMS, 404, 409),
            description=f"Of all ends that it hears of, {MOST_REPLAYED:,} at most, also those that it was not told of "
            "because it was disabled. The ids of the messages are what they were.",
            requestBody=body(
                schema("WebhookReplay"),
                examples={"night": {"value": {"from": "2030-01-31T00:00:00Z", "to": "2030-01-31T06:00:00Z"}}},
            ),
        ),
    },
    "/deliveries": {
        "get": operation(
            "webhooks",
            "listDeliveries",
            "What was sent to whom",
            {200: response("A page of them.", page_of("Delivery"))},
            action=Action.DELIVERY_READ,
            parameters=parameters_of(DeliveryFilters),
        )
    },
    "/deliveries/{delivery_id}": {
        "parameters": [in_path("delivery_id")],
        "get": operation(
            "webhooks",
            "getDelivery",
            "One delivery",
            {200: response("The delivery.", schema("Delivery"))},
            action=Action.DELIVERY_READ,
            problems=(404,),
        ),
    },
    "/deliveries/{delivery_id}/redeliver": {
        "parameters": [in_path("delivery_id")],
        "post": operation(
            "webhooks",
            "redeliver",
            "Send a message once more",
            {201: response("The new delivery, of the same message.", schema("Delivery"), headers=("Location",))},
            action=Action.DELIVERY_REDELIVER,
            problems=(400, 404, 409, 413, 415),
            description="Of a delivery that has ended, however.",
        ),
    },
}
_SIGNED: Final = [
    {"name": name, "in": "header", "required": required, "schema": {"type": "string"}, "description": text}
    for name, required, text in (
        ("webhook-id", True, "The id of the message. Who has seen it has nothing to do."),
        ("webhook-timestamp", True, "Of the attempt, in seconds since 1970."),
        ("webhook-signature", False, "`v1,` and an HMAC-SHA256 for each secret; absent for a task's own `url`."),
    )
]
WEBHOOKS: Final[Json] = {
    "taskEnded": {
        "post": {
            "operationId": "taskEnded",
            "security": [],
            "tags": ["webhooks"],
            "summary": "A task has ended",
            "description": "Sent as Standard Webhooks describes it. What is not answered with 2xx is tried again for "
            "three days; 410 disables the endpoint.",
            "parameters": _SIGNED,
            "requestBody": body(schema("WebhookMessage")),
            "responses": {"2XX": {"description": "It has arrived."}, "410": {"description": "Nothing more is wanted."}},
        }
    }
}
TAGS: Final = {"webhooks": "Who is told of the ends of tasks, and what was delivered."}
