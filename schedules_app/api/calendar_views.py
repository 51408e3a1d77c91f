"""The resource ``/calendars``: blackout calendars by name."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from schedules_app import calendar_services, guards
from schedules_app.api import filters, inputs, outputs
from schedules_app.api.errors import PROBLEMS
from schedules_app.models import BlackoutCalendar
from tasks_app.fields import QUEUE_NAME


class Calendars(ApiViewSet):
    lookup_url_kwarg = "name"
    problems = PROBLEMS
    actions = {
        "list": Action.CALENDAR_READ,
        "create": Action.CALENDAR_CREATE,
        "retrieve": Action.CALENDAR_READ,
        "partial_update": Action.CALENDAR_EDIT,
        "destroy": Action.CALENDAR_DELETE,
    }
    parameters = {"list": filters.CalendarFilters}

    def list(self, request: Request) -> Response:
        calendars = filters.CalendarFilters(request.GET, BlackoutCalendar.objects.all())
        return self.page(calendars, Shelf(outputs.calendar_items))

    def create(self, request: Request) -> Response:
        new = inputs.read_calendar(self.body())
        calendar = calendar_services.create_calendar(new, created_by=self.caller.name)
        at = reverse("calendar", args=[calendar.pk])
        return self.created(outputs.calendar_json(calendar), at=at, version=calendar.version)

    def retrieve(self, request: Request, name: str) -> Response:
        calendar = _calendar(name)
        return self.unchanged(calendar.version) or self._shown(calendar)

    def partial_update(self, request: Request, name: str) -> Response:
        calendar, versions = _calendar(name), self.versions()
        changes = guards.calendar_change(self.caller, inputs.read_calendar_changes(self.body()))
        edited = calendar_services.edit_calendar(calendar.pk, changes, actor=self.caller.name, versions=versions)
        return self._shown(edited)

    def destroy(self, request: Request, name: str) -> Response:
        calendar, versions = _calendar(name), self.versions()
        calendar_services.delete_calendar(calendar.pk, actor=self.caller.name, versions=versions)
        return Response(status=204)

    def _shown(self, calendar: BlackoutCalendar) -> Response:
        return self.shown(outputs.calendar_json(calendar), version=calendar.version)


def _calendar(name: str) -> BlackoutCalendar:
    # A name that none can have is not asked for: the database takes no NUL.
    calendar = BlackoutCalendar.objects.filter(pk=name).first() if QUEUE_NAME.fullmatch(name) else None
    if calendar is None:
        raise Problem.not_found("There is no calendar of this name.")
    return calendar
