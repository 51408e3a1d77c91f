"""Filters of the lists of tasks and attempts; the kinds of filters are in ``access_app/staff/filters.py``.

Each adds conditions that an index serves, as far as there is one. None reads the values in use from the table: a
SELECT DISTINCT over a million rows is what made such pages slow.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from access_app.approvers import approvers_of
from access_app.staff.base import person_of
from access_app.staff.filters import BadValue, BarFilter, ChoiceFilter, instant_of, uuid_of
from tasks_app.executors.registry import executors
from tasks_app.failures import failed_so
from tasks_app.fingerprints import FINGERPRINT
from tasks_app.models import APPROVAL_ROW, ENDED_ROW, OWNED_ROW, RETRYING_ROW, UNSUCCESSFUL_ROW, WAITING_PARTS, in_batch
from tasks_app.states import FINAL, ExecutionStatus, Gate, TaskStatus


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
        return queryset.filter(OWNED_ROW, worker_id=uuid_of(value))


class ScheduleFilter(BarFilter):
    title, parameter_name, placeholder, rare = "made by schedule", "schedule", "Schedule id", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(schedule_id=uuid_of(value))


class BatchFilter(BarFilter):
    title, parameter_name, placeholder, rare = "in batch", "batch", "Batch id", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(in_batch(uuid_of(value)))


class FailureFilter(BarFilter):
    title, parameter_name, placeholder, rare = "failed as group", "failure", "Fingerprint of a group", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not FINGERPRINT.fullmatch(value):
            raise BadValue("is no fingerprint: it has 16 characters, as on the page of a group of failures")
        return queryset.filter(failed_so(value))


class RetryingFilter(ChoiceFilter):
    title, parameter_name, kind, rare = "retrying", "retrying", "select", True

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("yes", "Failed, and wait for another attempt")]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(RETRYING_ROW)


class EndedAfterFilter(BarFilter):
    title, parameter_name, kind, rare = "ended from (UTC)", "ended_after", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(finished_at__gte=instant_of(value))


class EndedBeforeFilter(BarFilter):
    title, parameter_name, kind, rare = "ended before (UTC)", "ended_before", "datetime-local", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(finished_at__lt=instant_of(value))


class ApprovalFilter(ChoiceFilter):
    title, parameter_name, kind, rare = "approval", "approval", "select", True

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("waiting", "Waiting for one"), ("mine", "Waiting for mine")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        self._request = request
        return super().queryset(request, queryset)

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        waiting = queryset.filter(APPROVAL_ROW, gate=Gate.APPROVAL)
        if value == "waiting":
            return waiting
        person = person_of(self._request)
        mine = waiting.filter(approval__of__in=approvers_of(person))
        return mine.exclude(~Q(approval__allowRequester=True), created_by=person.name)
