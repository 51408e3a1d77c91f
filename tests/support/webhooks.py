"""Endpoints and their messages, for tests; the verifier is the published one of Standard Webhooks."""

from __future__ import annotations

import hashlib
from typing import Any

from standardwebhooks import Webhook

from access_app.ids import new_task_id
from tests.factories import make_task
from tests.support.peers import Peer, Received, response, says
from workflows_app.callbacks import endpoints
from workflows_app.callbacks.endpoints import NewEndpoint
from workflows_app.callbacks.events import Event
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint

EVERY = list(map(str, Event))


def make_endpoint(name: str = "e", *, on: list[str] = EVERY, **fields: Any) -> tuple[WebhookEndpoint, str]:
    """An endpoint that hears of everything, and its secret."""
    new = NewEndpoint(**{"name": name, "url": "https://hooks.example.com/", "events": on} | fields)
    return endpoints.create_endpoint(new, created_by="test")


def make_delivery(endpoint: WebhookEndpoint | None = None, *, status: str = "FAILED", **columns: Any) -> Delivery:
    """A delivery to an endpoint, about the end of a task; none to an endpoint: to a url."""
    body, own = '{"type":"task.failed"}', columns.pop("url", "https://own.example/")
    url = endpoint.url if endpoint else own
    payload = {"url": url, "method": "POST", "headers": {"webhook-id": "msg_1"}, "body": body}
    task = make_task(type="HTTP", queue="callbacks", status=status, attempt=1, payload=payload)
    about = {"source_id": new_task_id(), "event": "task.failed", "webhook_id": "msg_1", "url": url}
    digest = hashlib.sha256(body.encode()).digest()
    return Delivery.objects.create(task=task, endpoint=endpoint, digest=digest, **about | columns)


def receiver(status: int = 200) -> Peer:
    """Somebody on loopback who answers each call so."""
    return Peer(says(response(status)))


def verified(secret: str, received: Received) -> Any:
    """The message, as the published verifier sees it. Raises `WebhookVerificationError`."""
    return verify(secret, received.body, received.headers)


def verify(secret: str, body: bytes, headers: dict[str, str]) -> Any:
    """The same of its parts."""
    return Webhook(secret).verify(body, headers)
