"""What may be asked of the list of freezes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import array, schema
from access_app.http.query import one_of
from flow_app.freeze_table import GOING, FreezeStatus, of_statuses


class FreezeFilters(ListFilters):
    """Newest first. Those that are not over, unless a status is named."""

    sorts = {"createdAt": "pk"}
    sort_schema = "FreezeSort"

    status = By(
        of_statuses,
        one_of(list(FreezeStatus)),
        array(schema("FreezeStatus")),
        "Freezes in any of these; repeat the parameter. OPEN and THAWING if absent.",
        repeated=True,
    )

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().filter_queryset(queryset)
        return rows if "status" in self.form.cleaned_data else rows.filter(GOING)
