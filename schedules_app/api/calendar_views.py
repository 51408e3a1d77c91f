"""The resource ``/calendars``: blackout calendars by name."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http import conditions, pagination
from access_app.http.base import caller_of
from access_app.http.pagination import Shelf
from access_app.http.parsers import json_body
from access_app.http.problems import Problem
from access_app.rights import Action
from schedules_app import calendar_services, guards
from schedules_app.api import filters, inputs, outputs
from schedules_app.api.errors import ScheduleApiView
from schedules_app.models import BlackoutCalendar
from tasks_app.new_tasks import QUEUE_NAME


class CalendarList(ScheduleApiView):
    actions = {"GET": Action.CALENDAR_READ, "POST": Action.CALENDAR_CREATE}
    parameters = {"GET": filters.CALENDARS.parameters}

    def get(self, request: Request) -> Response:
        listing = filters.CALENDARS.read(request.GET)
        return Response(pagination.page_of(listing, Shelf(BlackoutCalendar.objects.all(), outputs.calendar_items)))

    def post(self, request: Request) -> Response:
        new = inputs.read_calendar(json_body(request, limit=settings.MAX_BODY))
        calendar = calendar_services.create_calendar(new, created_by=caller_of(request).name)
        return _shown(calendar, status=201, headers={"Location": reverse("calendar", args=[calendar.pk])})


class CalendarDetail(ScheduleApiView):
    actions = {
        "GET": Action.CALENDAR_READ,
        "PATCH": Action.CALENDAR_EDIT,
        "DELETE": Action.CALENDAR_DELETE,
    }

    def get(self, request: Request, name: str) -> Response:
        calendar = _calendar(name)
        if conditions.is_fresh(request.META.get("HTTP_IF_NONE_MATCH"), calendar.version):
            return Response(status=304, headers={"ETag": conditions.etag(calendar.version)})
        return _shown(calendar)

    def patch(self, request: Request, name: str) -> Response:
        calendar, versions = _calendar(name), conditions.if_match(request.META.get("HTTP_IF_MATCH"))
        changes, caller = inputs.read_calendar_changes(json_body(request, limit=settings.MAX_BODY)), caller_of(request)
        allowed = guards.calendar_change(caller, changes)
        return _shown(calendar_services.edit_calendar(calendar.pk, allowed, actor=caller.name, versions=versions))

    def delete(self, request: Request, name: str) -> Response:
        calendar, versions = _calendar(name), conditions.if_match(request.META.get("HTTP_IF_MATCH"))
        calendar_services.delete_calendar(calendar.pk, actor=caller_of(request).name, versions=versions)
        return Response(status=204)


def _calendar(name: str) -> BlackoutCalendar:
    # A name that none can have is not asked for: the database takes no NUL.
    calendar = BlackoutCalendar.objects.filter(pk=name).first() if QUEUE_NAME.fullmatch(name) else None
    if calendar is None:
        raise Problem.not_found("There is no calendar of this name.")
    return calendar


def _shown(calendar: BlackoutCalendar, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    tag = {"ETag": conditions.etag(calendar.version)}
    return Response(outputs.calendar_json(calendar), status=status, headers=tag | (headers or {}))
