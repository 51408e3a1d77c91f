"""How batches and deliveries are found by Ctrl-K: by id, and batches by name."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.finding import MOST, Asked, Found, finds
from workflows_app.models import Batch, Delivery


@finds(Action.BATCH_READ)
def find_batches(asked: Asked) -> Iterator[Found]:
    """By the whole name: there may be millions. Indexes: batches_named, and the primary key."""
    meant = Q(name=asked.text) if asked.as_id is None else Q(pk=asked.as_id)
    for batch in Batch.objects.filter(meant).only("name", "status").order_by("-created_at")[:MOST]:
        yield Found("Batch", batch.name, display.page_url(batch), f"{batch.status}, {batch.pk}")


@finds(Action.DELIVERY_READ)
def find_deliveries(asked: Asked) -> Iterator[Found]:
    if asked.as_id is not None:
        for delivery in Delivery.objects.filter(pk=asked.as_id):
            yield Found("Delivery", str(delivery), display.page_url(delivery))
