"""Lists of what happened to tasks: the search box takes the id of a task, which an index serves, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest

from access_app.staff.filters import as_uuid

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object


class TaskIdSearch(AnyAdmin):
    """For models with a column ``task_id``."""

    search_fields = ("task_id",)
    search_help_text = "Task id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        task_id = as_uuid(term)
        return (queryset.none() if task_id is None else queryset.filter(task_id=task_id)), False
