"""Filters of the lists, drawn as a bar above them: tabs, choices and fields to type in.

Each adds conditions that an index serves, as far as there is one. None reads the values in use from the table: a
SELECT DISTINCT over a million rows is what made such pages slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from tasks_app.executors.registry import executors
from tasks_app.ids import lowest_id
from tasks_app.models import ENDED_ROW, OWNED_ROW, UNSUCCESSFUL_ROW, WAITING_ROW
from tasks_app.states import FINAL, ExecutionStatus, TaskStatus

Kind = Literal["tabs", "select", "text", "datetime-local"]
#: Every waiting row, in parts that each have the predicate of one partial index: tasks_due, tasks_suspects and
#: tasks_key_waiting. None of them serves `WAITING_ROW` alone, which makes the planner read the whole table.
WAITING_PARTS: Final = (
    WAITING_ROW & Q(key_blocked=False, crash_count=0),
    WAITING_ROW & Q(key_blocked=False, crash_count__gt=0),
    WAITING_ROW & Q(key_blocked=True, concurrency_key__isnull=False),
)
_WINDOWS: Final = {
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


class TaskStatusFilter(ChoiceFilter):
    title, parameter_name, kind = "status", "status", "tabs"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(status, status.capitalize()) for status in TaskStatus]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Name the predicates of the partial indexes, because the planner does not infer them from a status.

        Of few waiting tasks it then merges the indexes; of many it goes down the primary key, and meets them soon.
        """
        if value == TaskStatus.PENDING:
            return queryset.filter(reduce(or_, WAITING_PARTS))
        if value == TaskStatus.SUCCESS:  # what the primary key, newest first, is full of
            return queryset.filter(ENDED_ROW, status=value)
        return queryset.filter(UNSUCCESSFUL_ROW if value in FINAL else OWNED_ROW, status=value)


class ExecutionStatusFilter(ChoiceFilter):
    title, parameter_name, kind = "status", "status", "tabs"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(status, status.replace("_", " ").capitalize()) for status in ExecutionStatus]


class TypeFilter(ChoiceFilter):
    title, parameter_name, kind = "type", "type", "select"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(executors())]


class QueueFilter(BarFilter):
    title, parameter_name, placeholder = "queue", "queue", "Queue, exactly"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(queue=value)


class WorkerFilter(BarFilter):
    title, parameter_name, placeholder, rare = "held by worker", "worker", "Worker id", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(OWNED_ROW, worker_id=_uuid(value))


class ScheduleFilter(BarFilter):
    title, parameter_name, placeholder, rare = "made by schedule", "schedule", "Schedule id", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(schedule_id=_uuid(value))


class CreatedFilter(ChoiceFilter):
    title, parameter_name, kind = "created", "created", "select"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in _WINDOWS.items()]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        # Ids carry the time of creation: the primary key serves the range, and no other index is needed.
        return queryset.filter(pk__gte=lowest_id(timezone.now() - _WINDOWS[value][1]))


class CreatedAfterFilter(BarFilter):
    title, parameter_name, kind, rare = "created from (UTC)", "after", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(pk__gte=lowest_id(_instant(value)))


class CreatedBeforeFilter(BarFilter):
    title, parameter_name, kind, rare = "created before (UTC)", "before", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(pk__lt=lowest_id(_instant(value)))


class EndedFilter(ChoiceFilter):
    """By time of end; BRIN on finished_at when few rows match, the primary key backwards when many do."""

    title, parameter_name, kind = "ended", "ended", "select"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in _WINDOWS.items()]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(finished_at__gte=timezone.now() - _WINDOWS[value][1])


class ActorFilter(BarFilter):
    title, parameter_name, placeholder = "actor", "actor", "Actor, e.g. user:maria"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(actor=value)


class ActionFilter(BarFilter):
    title, parameter_name, placeholder = "action", "action", "Action, e.g. task.cancelled"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(action=value)


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _uuid(text: str) -> UUID:
    value = as_uuid(text)
    if value is None:
        raise BadValue("is not an id: it has 36 characters, as on its page")
    return value


def _instant(text: str) -> datetime:
    """What a datetime-local field sends, in UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadValue("is not a date and time: write 2026-11-30T18:00") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
