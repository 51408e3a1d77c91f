"""Lists whose search box takes an id or a whole text, which an index finds at once, however many rows there are."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from access_app.staff.filters import as_uuid

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object


class ExactSearch(AnyAdmin):
    """What an empty box means is all rows."""

    @abstractmethod
    def exactly(self, rows: QuerySet[Any], term: str, as_id: UUID | None) -> QuerySet[Any]:
        """The rows that are meant by a text, which may be an id."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (self.exactly(queryset, term, as_uuid(term)) if term else queryset), False


class TaskIdSearch(ExactSearch):
    """For what happened to tasks: models with a column ``task_id``."""

    search_fields = ("task_id",)
    search_help_text = "Task id"

    def exactly(self, rows: QuerySet[Any], term: str, as_id: UUID | None) -> QuerySet[Any]:
        return rows.none() if as_id is None else rows.filter(task_id=as_id)
