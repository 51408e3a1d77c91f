"""Filters of the lists of schedules and of slots; the rules of filters are in ``access_app/staff/filters.py``."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from access_app.staff.filters import BarFilter, ChoiceFilter
from schedules_app.firing_rules import FireState
from schedules_app.selectors import OVERDUE

_STATES = ("active", "paused", "disabled", "ended", "overdue", "put_off")


class StateFilter(ChoiceFilter):
    title, parameter_name, kind = "state", "state", "tabs"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(state, state.replace("_", " ").capitalize()) for state in _STATES]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        paused = Q(paused_at__isnull=False, resumed_at__isnull=True)
        if value == "overdue":  # schedules_due serves this, not the order by name
            return queryset.filter(next_fire_at__lt=timezone.now() - OVERDUE)
        if value == "put_off":
            return queryset.filter(put_offs__gt=0)
        if value == "active":
            return queryset.exclude(paused).filter(next_fire_at__isnull=False)
        if value == "paused":
            return queryset.filter(paused)
        return queryset.filter(next_fire_at__isnull=True, enabled=value == "ended")


class CalendarFilter(BarFilter):
    title, parameter_name, placeholder, rare = "blackout calendar", "calendar", "Calendar, exactly", True

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(calendars__contains=[value])


class FireStateFilter(ChoiceFilter):
    title, parameter_name, kind = "state", "state", "tabs"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(state, state.replace("_", " ").capitalize()) for state in FireState]
