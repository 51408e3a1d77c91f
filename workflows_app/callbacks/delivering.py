"""Messages become deliveries: HTTP tasks, with a row each beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from access_app.sql import Copying, Cursor
from tasks_app.edges import COLUMNS as EDGE_COLUMNS
from tasks_app.edges import add_edges
from tasks_app.executors.http_payload import host_of
from tasks_app.fields import NewTask
from tasks_app.inserting import COLUMNS, store_tasks, task_row
from tasks_app.new_tasks import json_text
from tasks_app.states import Gate, RunIf
from workflows_app.callbacks.events import LANES, QUEUE, RETRY_DELAYS, TIMEOUT, Message, Receiver

#: By this header a worker sees that a task may be a delivery, to be signed.
ID_HEADER: Final = "webhook-id"
_MILLISECOND: Final = timedelta(milliseconds=1)
_RETRY: Final = {"backoff": "schedule", "delaysMs": [delay // _MILLISECOND for delay in RETRY_DELAYS]}
_COLUMNS: Final = (*COLUMNS, *EDGE_COLUMNS, "notifies")
_INSERT: Final = (
    "INSERT INTO deliveries (id, endpoint_id, source_id, redelivers, event, webhook_id, url, digest)"
    " SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[],"
    " %s::bytea[])"
)
#: Of ordered endpoints: what the next delivery waits for.
_HOLD: Final = "SELECT id, last_delivery FROM webhook_endpoints WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
_KEEP: Final = (
    "UPDATE webhook_endpoints e SET last_delivery = l.delivery"
    " FROM unnest(%s::uuid[], %s::uuid[]) AS l(endpoint, delivery) WHERE e.id = l.endpoint"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A delivery to be made: under which id, of which message, to whom. ``at``: not before then."""

    id: UUID
    source_id: UUID
    event: str
    webhook_id: str
    body: str
    url: str
    receiver: Receiver | None
    correlation_id: str
    redelivers: UUID | None = None
    at: datetime | None = None

    @classmethod
    def of(cls, message: Message, **given: Any) -> Parcel:
        """A message as it is delivered first, but for what is given."""
        end = message.end
        first: dict[str, Any] = {
            "id": message.delivery_id,
            "url": message.url,
            "receiver": message.receiver,
            "body": message.body,
        }
        about = {"source_id": end.id, "event": str(end.event), "webhook_id": message.webhook_id}
        return cls(**first | about | {"correlation_id": end.correlation_id} | given)

    @property
    def lane(self) -> str:
        """One of the concurrency keys of its receiver. Raises ValueError for what is no URL."""
        host = host_of(self.url)
        return f"webhook:{self.receiver.id if self.receiver else host[:150]}:{self.id.int % LANES}"


def deliver(cursor: Copying, messages: Iterable[Message]) -> None:
    """Make the deliveries of messages that have none, in the caller's transaction."""
    made = {message.delivery_id: message for message in messages}
    if not made:
        return
    cursor.execute("SELECT id FROM deliveries WHERE id = ANY(%s)", [list(made)])
    known = {row[0] for row in cursor.fetchall()}
    store(cursor, [Parcel.of(message) for key, message in made.items() if key not in known])


def store(cursor: Copying, parcels: Iterable[Parcel], *, created_by: str = QUEUE) -> list[UUID]:
    """Make deliveries in the caller's transaction; those of ordered endpoints wait for each other. Returns their ids.

    What cannot be called any more is logged, and stops no other.
    """
    tasks: dict[UUID, tuple[Parcel, NewTask, str]] = {}
    for parcel in parcels:
        try:
            tasks[parcel.id] = (parcel, *_task(parcel))
        except ValueError as error:
            log.warning("delivery_not_made", task_id=str(parcel.source_id), reason=str(error))
    if not tasks:
        return []
    cursor.execute("SELECT clock_timestamp()")
    [(now,)] = cursor.fetchall()
    waits = _chain(cursor, [parcel for parcel, _, _ in tasks.values()])
    made = (
        (*task_row(key, new, text, created_by, now=now), *_marks(waits=key in waits))
        for key, (_, new, text) in tasks.items()
    )
    store_tasks(cursor, _COLUMNS, made)
    rows = [_row(parcel) for parcel, _, _ in tasks.values()]
    cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
    if waits:
        add_edges(cursor, {key: _after(before) for key, before in waits.items()})
    return list(tasks)


def _chain(cursor: Cursor, parcels: Iterable[Parcel]) -> Mapping[UUID, UUID]:
    """Which deliveries wait for which: of an ordered endpoint each for the one before it, if that has not ended."""
    ordered = [(parcel.id, parcel.receiver.id) for parcel in parcels if parcel.receiver and parcel.receiver.ordered]
    if not ordered:
        return {}
    cursor.execute(_HOLD, [sorted({endpoint for _, endpoint in ordered})])
    last: dict[UUID, UUID | None] = dict(cursor.fetchall())
    waits: dict[UUID, UUID] = {}
    for delivery, endpoint in ordered:
        if (before := last.get(endpoint)) is not None:
            waits[delivery] = before
        last[endpoint] = delivery
    cursor.execute(_KEEP, [list(last), list(last.values())])
    there = {delivery for delivery, _ in ordered}
    there |= _open(cursor, set(waits.values()) - there)
    return {delivery: before for delivery, before in waits.items() if before in there}


def _open(cursor: Cursor, ids: set[UUID]) -> set[UUID]:
    """Those that have not ended. They are held until the edges are there, so that their end is seen."""
    if not ids:
        return set()
    cursor.execute(
        "SELECT id FROM tasks WHERE id = ANY(%s) AND finished_at IS NULL ORDER BY id FOR NO KEY UPDATE", [sorted(ids)]
    )
    return {row[0] for row in cursor.fetchall()}


def _after(before: UUID) -> NewTask:
    return NewTask(type="HTTP", depends_on=[str(before)], run_if=RunIf.ALL_DONE)


def _marks(*, waits: bool) -> tuple[int, bool, bool]:
    """Gate and marks: how a delivery ends is looked at, too."""
    return Gate.DEPENDENCY if waits else Gate.OPEN, True, True


def _task(parcel: Parcel) -> tuple[NewTask, str]:
    """The HTTP task, and its payload as JSON text. Raises ValueError."""
    headers = {ID_HEADER: parcel.webhook_id, "content-type": "application/json"}
    payload = {"url": parcel.url, "method": "POST", "headers": headers, "body": parcel.body}
    new = NewTask(
        type="HTTP",
        payload=payload,
        queue=QUEUE,
        schedule_at=parcel.at,
        max_retries=len(RETRY_DELAYS),
        timeout_ms=TIMEOUT // _MILLISECOND,
        concurrency_key=parcel.lane,
        correlation_id=parcel.correlation_id,
        retry=_RETRY,
    )
    return new, json_text(payload)


def _row(parcel: Parcel) -> tuple[Any, ...]:
    digest = hashlib.sha256(parcel.body.encode()).digest()
    endpoint = parcel.receiver.id if parcel.receiver else None
    about = (parcel.event, parcel.webhook_id, parcel.url, digest)
    return (parcel.id, endpoint, parcel.source_id, parcel.redelivers, *about)
