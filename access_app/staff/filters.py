"""Filters of the lists, drawn as a bar above them: tabs, choices and fields to type in.

Each adds conditions that an index serves, as far as there is one. None reads the values in use from the table: a
SELECT DISTINCT over a million rows is what made such pages slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from access_app.ids import lowest_id

Kind = Literal["tabs", "select", "text", "datetime-local"]

WINDOWS: Final = {
    "15m": ("last 15 minutes", timedelta(minutes=15)),
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
}


class BadValue(Exception):
    """A value that means nothing; the text goes on after the value."""


class BarFilter(SimpleListFilter, ABC):
    """A filter of the bar; ``kind`` says how it is drawn. Rare ones are shown when asked for or in use."""

    kind: ClassVar[Kind] = "text"
    placeholder: ClassVar[str] = ""
    rare: ClassVar[bool] = False
    #: What is wrong with the value, as a sentence; the list then shows it, and no row.
    problem: str = ""

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[Model], model_admin: ModelAdmin[Any]
    ) -> None:
        given = params.get(str(self.parameter_name), ())
        super().__init__(request, params, model, model_admin)  # takes the key out of params
        if len(given) > 1:
            self.problem = "It is given twice: choose one."

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return []

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        return super().choices(changelist) if self.kind == "tabs" else iter(())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        if self.problem:
            return queryset.none()
        try:
            return self.narrow(queryset, value) if value else queryset
        except BadValue as error:
            self.problem = f"“{value[:100]}” {error}."
            return queryset.none()

    @abstractmethod
    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        """The rows of a value that was chosen. Raises `BadValue`."""


class ChoiceFilter(BarFilter):
    """A filter with a fixed set of values; others are refused."""

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value not in dict(self.lookup_choices):
            raise BadValue(f"is none of {', '.join(value for value, _ in self.lookup_choices)}")
        return self.narrow_to(queryset, value)

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): value})


class CreatedFilter(ChoiceFilter):
    title, parameter_name, kind = "created", "created", "select"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in WINDOWS.items()]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        # Ids carry the time of creation: the primary key serves the range, and no other index is needed.
        return queryset.filter(pk__gte=lowest_id(timezone.now() - WINDOWS[value][1]))


class CreatedAfterFilter(BarFilter):
    title, parameter_name, kind, rare = "created from (UTC)", "after", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(pk__gte=lowest_id(instant_of(value)))


class CreatedBeforeFilter(BarFilter):
    title, parameter_name, kind, rare = "created before (UTC)", "before", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(pk__lt=lowest_id(instant_of(value)))


class EndedFilter(ChoiceFilter):
    """By time of end; BRIN on finished_at when few rows match, the primary key backwards when many do."""

    title, parameter_name, kind = "ended", "ended", "select"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in WINDOWS.items()]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(finished_at__gte=timezone.now() - WINDOWS[value][1])


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def uuid_of(text: str) -> UUID:
    value = as_uuid(text)
    if value is None:
        raise BadValue("is not an id: it has 36 characters, as on its page")
    return value


def instant_of(text: str) -> datetime:
    """What a datetime-local field sends, in UTC."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadValue("is not a date and time: write 2026-11-30T18:00") from None
