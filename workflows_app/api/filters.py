"""What may be asked of the lists of endpoints and of deliveries."""

from __future__ import annotations

from typing import Final

from django.db.models import Q

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import ID, NAME
from access_app.http.query import matching, uuid
from tasks_app.callbacks import ENDPOINT_NAME
from tasks_app.states import TaskStatus
from workflows_app.callbacks.tables import status_hint

_NAME: Final = matching(ENDPOINT_NAME, "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -")


class EndpointFilters(ListFilters):
    sorts = {"name": "name"}
    descending = False
    sort_schema = "WebhookEndpointSort"

    name = By("name", _NAME, NAME, "The endpoint of this name.")


class DeliveryFilters(ListFilters):
    """Creation time is in the id, and so is its index."""

    sorts = {"createdAt": "pk"}
    sort_schema = "DeliverySort"

    endpoint = By("endpoint_id", uuid, ID, "Those to this endpoint.")
    task_id = By("source_id", uuid, ID, "Those about the end of this task.")
    status = By.any_of("task__status__in", TaskStatus, "TaskStatus")

    def hint(self) -> Q:
        """What failed is rare, and so is what has not ended: tasks have indexes of both."""
        return status_hint(self.data.getlist("status"))
