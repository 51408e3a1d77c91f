"""What may be asked of the list of freezes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import array, schema
from access_app.http.query import one_of
from flow_app.freeze_table import FreezeStatus

_GOING: Final = Q(ended_at__isnull=True)
_HOLDS: Final = Q(thawed_at__isnull=True) & (Q(until__isnull=True) | Q(until__gt=Now()))
_ROWS: Final = {
    FreezeStatus.OPEN: _GOING & _HOLDS,
    FreezeStatus.THAWING: _GOING & (Q(thawed_at__isnull=False) | Q(until__lte=Now())),
    FreezeStatus.ENDED: Q(ended_at__isnull=False),
}


def of_statuses(statuses: Iterable[FreezeStatus]) -> Q:
    """The rows of any of these, by the clock of the database."""
    return reduce(or_, (_ROWS[each] for each in statuses))


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
        return rows if "status" in self.form.cleaned_data else rows.filter(_GOING)
