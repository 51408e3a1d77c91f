"""What a person or a program may ask of deliveries: one once more, or all of a time, at a rate.

A message that is sent again keeps its id, so that a receiver who has it knows. It is a delivery of its own, with a task
of its own: what became of the first stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from access_app import audit
from access_app.ids import new_task_id, new_task_ids
from access_app.refusals import InvalidInput, NotFound
from access_app.sql import Cursor, now_of, statement
from tasks_app import wakeups
from tasks_app.models import own_correlation_id
from workflows_app.callbacks.delivering import Parcel, store
from workflows_app.callbacks.endpoints import endpoint_of
from workflows_app.callbacks.events import End, Event, Message, Receiver, messages, statuses_of
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint

#: Most messages of one replay.
MOST_REPLAYED: Final = 10_000
#: Most messages a second.
FASTEST: Final = 1000.0
SLOWEST: Final = 0.01


class DeliveryNotFound(NotFound):
    """No delivery has this id."""


class NotDeliverable(Exception):
    """It cannot be sent again now. The text says why, and what to do."""


def delivery_of(delivery_id: UUID) -> Delivery:
    """A delivery with its task and its endpoint. Raises `DeliveryNotFound`."""
    found = Delivery.objects.select_related("task", "endpoint").filter(pk=delivery_id).first()
    if found is None:
        raise DeliveryNotFound(f"there is no delivery {delivery_id}")
    return found


def redeliver(delivery_id: UUID, *, actor: str) -> Delivery:
    """Send the message of a delivery that has ended once more; return the new one.

    Raises `DeliveryNotFound`, `NotDeliverable`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        before = delivery_of(delivery_id)
        parcel = _again(before)
        store(cursor, [parcel], created_by=actor)
        audit.record(actor, "delivery.redelivered", f"delivery:{delivery_id}", detail={"as": str(parcel.id)})
        transaction.on_commit(wakeups.notify_schedulers)
    return delivery_of(parcel.id)


def replay(endpoint_id: UUID, *, since: datetime, until: datetime, rate: float, actor: str) -> int:
    """Tell an endpoint of all ends of a time once more, at most ``rate`` a second; return how many.

    Of ends, not of deliveries: what was not told because it was disabled is told, too. Raises `EndpointNotFound`,
    `NotDeliverable`, and `InvalidInput` for more than `MOST_REPLAYED`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        endpoint = endpoint_of(endpoint_id)
        receiver = _receiver(endpoint)
        ends = find_endings(cursor, receiver, since=since, until=until, most=MOST_REPLAYED + 1)
        found = [each for each in messages(ends, [receiver]) if each.receiver is receiver]
        if len(ends) > MOST_REPLAYED:
            raise InvalidInput({"to": f"there are more than {MOST_REPLAYED:,} ends in this time: choose a shorter one"})
        store(cursor, _spaced(cursor, found, rate), created_by=actor)
        detail = {"from": since.isoformat(), "to": until.isoformat(), "ratePerSecond": rate, "count": len(found)}
        audit.record(actor, "endpoint.replayed", f"endpoint:{endpoint.name}", detail=detail)
        transaction.on_commit(wakeups.notify_schedulers)
    return len(found)


def find_endings(cursor: Cursor, receiver: Receiver, *, since: datetime, until: datetime, most: int) -> list[End]:
    """Ends in a time that an endpoint hears of, or is named for."""
    parameters = {"from": since, "to": until, "name": receiver.name, "most": most}
    parameters |= {"queues": receiver.queues and sorted(receiver.queues), "results": bool(receiver.include)}
    parameters["statuses"] = statuses_of(map(Event, receiver.events))
    cursor.execute(statement("find_endings"), parameters)
    return [End(*row) for row in cursor.fetchall()]


def _again(before: Delivery) -> Parcel:
    """Raises `NotDeliverable`."""
    task, endpoint = before.task, before.endpoint if before.endpoint_id else None
    if task.finished_at is None:
        raise NotDeliverable("it is still on its way: retry it when it has ended, or cancel its task")
    if before.endpoint_id is not None and endpoint is None:
        raise NotDeliverable("its endpoint was deleted")
    body = task.payload.get("body")
    if not isinstance(body, str) or hashlib.sha256(body.encode()).digest() != bytes(before.digest):
        raise NotDeliverable("somebody has changed its body: replay the time of its end instead")
    return Parcel(
        id=new_task_id(),
        source_id=before.source_id,
        event=before.event,
        webhook_id=before.webhook_id,
        body=body,
        url=endpoint.url if endpoint else before.url,
        receiver=_receiver(endpoint) if endpoint else None,
        correlation_id=task.correlation_id or own_correlation_id(task.pk),
        redelivers=before.pk,
    )


def _spaced(cursor: Cursor, found: list[Message], rate: float) -> Iterator[Parcel]:
    now = now_of(cursor)
    cursor.execute("SELECT id FROM deliveries WHERE id = ANY(%s)", [[each.delivery_id for each in found]])
    known = {row[0] for row in cursor.fetchall()}
    ids = new_task_ids(len(found))
    for place, (delivery_id, each) in enumerate(zip(ids, found, strict=True)):
        first = each.delivery_id if each.delivery_id in known else None
        yield Parcel.of(each, id=delivery_id, redelivers=first, at=now + timedelta(seconds=place / rate))


def _receiver(endpoint: WebhookEndpoint) -> Receiver:
    """Raises `NotDeliverable`."""
    if endpoint.disabled is not None:
        raise NotDeliverable(f"the endpoint {endpoint.name} is disabled: enable it first")
    return Receiver(
        id=endpoint.pk,
        name=endpoint.name,
        url=endpoint.url,
        events=frozenset(endpoint.events),
        queues=None if endpoint.queues is None else frozenset(endpoint.queues),
        include=endpoint.include,
        ordered=endpoint.ordered,
    )
