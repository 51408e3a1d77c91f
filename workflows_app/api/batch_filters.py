"""What may be asked of ``GET /batches``."""

from __future__ import annotations

import operator
from functools import reduce
from uuid import UUID

from django.db.models import Q

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import ID, INSTANT, Json
from access_app.http.query import uuid
from tasks_app.api.filters import created_from
from workflows_app.batch_rules import DONE, BatchStatus
from workflows_app.batch_table import DONE_BATCH, OPEN_BATCH, SCHEDULED_BATCH
from workflows_app.new_batches import MAX_NAME

_NAME: Json = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}


def _name(text: str) -> str:
    if not (0 < len(text) <= MAX_NAME and text.isprintable()):
        raise ValueError(f"must be 1 to {MAX_NAME} characters that can be seen, or spaces")
    return text


def _inside(parent_id: UUID) -> Q:
    return Q(parent_id=parent_id, parent_id__isnull=False)


def _made_by(schedule_id: UUID) -> Q:
    return Q(SCHEDULED_BATCH, schedule_id=schedule_id)


class BatchFilters(ListFilters):
    """Creation time is in the id, and so is its index."""

    sorts = {"createdAt": "pk"}
    sort_schema = "BatchSort"

    status = By.any_of("status__in", BatchStatus, "BatchStatus")
    name = By("name", _name, _NAME, "Batches of this name.")
    parent_batch_id = By(_inside, uuid, ID, "Batches that lie in this one.")
    schedule_id = By(_made_by, uuid, ID, "Batches that this schedule has made.")
    created_after = By("id__gte", created_from, INSTANT, "createdAt ≥ this.")
    created_before = By("id__lt", created_from, INSTANT, "createdAt < this.")

    def hint(self) -> Q:
        """Open ones are few beside those that are done, and have an index of their own."""
        statuses = set(self.data.getlist("status"))
        parts = [
            part for part, those in ((OPEN_BATCH, set(BatchStatus) - DONE), (DONE_BATCH, DONE)) if statuses & those
        ]
        return reduce(operator.or_, parts) if len(parts) == 1 else Q()
