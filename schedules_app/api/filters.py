"""What may be asked of the lists of schedules, of calendars, and of a schedule's ledger."""

from __future__ import annotations

from typing import Final

from django.db.models import Q

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import INSTANT, NAME, Json, integer
from access_app.http.query import Parameter, Query, flag, instant, matching, whole
from schedules_app.firing_rules import FireState
from schedules_app.selectors import MAX_PREVIEW, reaching
from tasks_app.fields import QUEUE_NAME

DEFAULT_PREVIEW: Final = 20
_NAME: Final = matching(QUEUE_NAME, "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -")
_BOOLEAN: Final[Json] = {"type": "boolean"}
_PAUSED: Final = Q(paused_at__isnull=False, resumed_at__isnull=True)


class ScheduleFilters(ListFilters):
    sorts = {"name": "name", "createdAt": "pk"}
    descending = False
    sort_schema = "ScheduleSort"

    name = By("name", _NAME, NAME, "The schedule of this name.")
    enabled = By("enabled", flag, _BOOLEAN, "Those that are, or are not.")
    paused = By(lambda paused: _PAUSED if paused else ~_PAUSED, flag, _BOOLEAN, "Those that are, or are not.")
    calendar = By(lambda name: Q(calendars__contains=[name]), _NAME, NAME, "Those that name this calendar.")


class FireFilters(ListFilters):
    """Of one schedule's ledger."""

    sorts = {"slot": "slot"}
    sort_schema = "FireSort"

    state = By.any_of("state__in", FireState, "FireState")
    from_ = By(reaching, instant, INSTANT, "Slots from this time on.")
    to = By("slot__lt", instant, INSTANT, "Slots before this time.")


class CalendarFilters(ListFilters):
    sorts = {"name": "pk"}
    descending = False
    sort_schema = "CalendarSort"


class PreviewQuery(Query):
    """How far a preview looks."""

    count = Parameter(
        whole(1, MAX_PREVIEW), integer(1, MAX_PREVIEW, default=DEFAULT_PREVIEW), "How many.", default=DEFAULT_PREVIEW
    )
