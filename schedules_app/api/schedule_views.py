"""The resource ``/schedules``: each method reads its input, makes one call of the domain, and shows what came back.

There is no 304: the version of a schedule, its ETag, counts what people change, and its next time moves without them.
"""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http import conditions, pagination
from access_app.http.base import caller_of, uuid_or_404
from access_app.http.fields import read_reason
from access_app.http.idempotency import read_idempotency
from access_app.http.pagination import Shelf
from access_app.http.parsers import empty_body, json_body, optional_json_body
from access_app.http.problems import Problem
from access_app.idempotency import Idempotency
from access_app.rights import Action, Caller
from access_app.versions import Versions
from flow_app.api.outputs import reason_json
from schedules_app import guards, manual_runs, selectors, services
from schedules_app.api import filters, inputs, outputs
from schedules_app.api.errors import ScheduleApiView
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.services import ScheduleNotFound
from tasks_app.api.outputs import task_for

_REPLAYED = {"Idempotent-Replayed": "true"}


class ScheduleList(ScheduleApiView):
    actions = {"GET": Action.SCHEDULE_READ, "POST": Action.SCHEDULE_CREATE}
    parameters = {"GET": filters.SCHEDULES.parameters}

    def get(self, request: Request) -> Response:
        listing = filters.SCHEDULES.read(request.GET)
        return Response(pagination.page_of(listing, Shelf(Schedule.objects.defer("task"), outputs.schedule_items)))

    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = json_body(request, limit=settings.MAX_BODY)
        idempotency = _idempotency(request, "POST /schedules", body)
        new = inputs.read_schedule(body, now=timezone.now())
        self.require_type(request, new.task.type)
        created = services.create_schedule(new, created_by=caller.name, idempotency=idempotency)
        if created.replayed:
            return _shown(created.schedule, caller, headers=_REPLAYED)
        return _created(created.schedule, caller)


class ScheduleDetail(ScheduleApiView):
    actions = {
        "GET": Action.SCHEDULE_READ,
        "PATCH": Action.SCHEDULE_EDIT,
        "DELETE": Action.SCHEDULE_DELETE,
    }

    def get(self, request: Request, schedule_id: str) -> Response:
        return _shown(_schedule(schedule_id), caller_of(request))

    def patch(self, request: Request, schedule_id: str) -> Response:
        schedule, caller, versions = _schedule(schedule_id), caller_of(request), _versions(request)
        body = json_body(request, limit=settings.MAX_BODY)
        changes = inputs.read_changes(body, services.definition_of(schedule), now=timezone.now())
        allowed = guards.schedule_change(caller, changes)
        return _shown(services.edit_schedule(schedule.pk, allowed, actor=caller.name, versions=versions), caller)

    def delete(self, request: Request, schedule_id: str) -> Response:
        pk, versions = uuid_or_404(schedule_id, "schedule"), _versions(request)
        services.delete_schedule(pk, actor=caller_of(request).name, versions=versions)
        return Response(status=204)


class SchedulePause(ScheduleApiView):
    actions = {"POST": Action.SCHEDULE_PAUSE}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller, versions = uuid_or_404(schedule_id, "schedule"), caller_of(request), _versions(request)
        reason = read_reason(optional_json_body(request, limit=settings.MAX_BODY))
        paused = services.pause_schedule(pk, actor=caller.name, reason=reason, versions=versions)
        return _shown(paused, caller)


class ScheduleResume(ScheduleApiView):
    actions = {"POST": Action.SCHEDULE_RESUME}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller, versions = uuid_or_404(schedule_id, "schedule"), caller_of(request), _versions(request)
        reason = read_reason(optional_json_body(request, limit=settings.MAX_BODY))
        guard = guards.may_run(caller, Action.SCHEDULE_RESUME)
        resumed = services.resume_schedule(pk, actor=caller.name, reason=reason, versions=versions, guard=guard)
        return _shown(resumed, caller)


class ScheduleTrigger(ScheduleApiView):
    """Answers the task."""

    actions = {"POST": Action.SCHEDULE_TRIGGER}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller = uuid_or_404(schedule_id, "schedule"), caller_of(request)
        empty_body(request)
        idempotency = _idempotency(request, f"POST /schedules/{pk}/trigger", {})
        guard = guards.may_run(caller, Action.SCHEDULE_TRIGGER)
        made = manual_runs.trigger_schedule(pk, actor=caller.name, idempotency=idempotency, guard=guard)
        headers = {"ETag": conditions.etag(made.task.version)}
        headers |= _REPLAYED if made.replayed else {"Location": reverse("task", args=[made.task.pk])}
        return Response(task_for(caller, made.task), status=200 if made.replayed else 201, headers=headers)


class ScheduleBackfill(ScheduleApiView):
    actions = {"POST": Action.SCHEDULE_BACKFILL}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller = uuid_or_404(schedule_id, "schedule"), caller_of(request)
        body = json_body(request, limit=settings.MAX_BODY)
        idempotency = _idempotency(request, f"POST /schedules/{pk}/backfill", body)
        wanted = inputs.read_backfill(body) | {"idempotency": idempotency}
        guard = guards.may_run(caller, Action.SCHEDULE_BACKFILL)
        done = manual_runs.backfill_schedule(pk, actor=caller.name, guard=guard, **wanted)
        if done.replayed:
            return Response(outputs.backfill_json(done), headers=_REPLAYED)
        return Response(outputs.backfill_json(done), status=201 if done.tasks else 200)


class ScheduleClone(ScheduleApiView):
    actions = {"POST": Action.SCHEDULE_CLONE}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller = uuid_or_404(schedule_id, "schedule"), caller_of(request)
        name = inputs.read_clone(json_body(request, limit=settings.MAX_BODY))
        guard = guards.may_run(caller, Action.SCHEDULE_CLONE)
        return _created(services.clone_schedule(pk, name=name, actor=caller.name, guard=guard), caller)


class ScheduleFires(ScheduleApiView):
    """The ledger, also of a schedule that was deleted."""

    actions = {"GET": Action.SCHEDULE_READ}
    parameters = {"GET": filters.FIRES.parameters}

    def get(self, request: Request, schedule_id: str) -> Response:
        pk = uuid_or_404(schedule_id, "schedule")
        rows = selectors.fires(pk)
        if not (Schedule.objects.filter(pk=pk).exists() or rows.exists()):
            raise ScheduleNotFound(f"there is no schedule {pk}")
        listing = filters.FIRES.read(request.GET)
        return Response(pagination.page_of(listing, Shelf(rows, outputs.fire_items, part=str(pk))))


class SchedulePreview(ScheduleApiView):
    actions = {"GET": Action.SCHEDULE_READ}
    parameters = {"GET": frozenset({"count"})}

    def get(self, request: Request, schedule_id: str) -> Response:
        schedule, count = _schedule(schedule_id), filters.read_count(request.GET)
        return Response(outputs.preview_json(selectors.preview(schedule, count=count)))


class ScheduleWhy(ScheduleApiView):
    actions = {"GET": Action.SCHEDULE_READ}

    def get(self, request: Request, schedule_id: str) -> Response:
        return Response({"reasons": [reason_json(reason) for reason in selectors.why(_schedule(schedule_id))]})


class ScheduleSimulation(ScheduleApiView):
    """Stores nothing, so that it needs the scope of a reader alone."""

    actions = {"POST": Action.SCHEDULE_READ}

    def post(self, request: Request) -> Response:
        new, window = inputs.read_simulation(json_body(request, limit=settings.MAX_BODY), now=timezone.now())
        try:
            slots = selectors.simulate(new, **window)
        except InvalidSchedule as error:
            raise Problem.invalid(inputs.inside("schedule", error.problems)) from None
        return Response(outputs.simulation_json(slots))


def _schedule(schedule_id: str) -> Schedule:
    schedule = Schedule.objects.filter(pk=uuid_or_404(schedule_id, "schedule")).first()
    if schedule is None:
        raise ScheduleNotFound(f"there is no schedule {schedule_id}")
    return schedule


def _idempotency(request: Request, operation: str, body: object) -> Idempotency | None:
    return read_idempotency(request.META.get("HTTP_IDEMPOTENCY_KEY"), operation, body)


def _versions(request: Request) -> Versions:
    return conditions.if_match(request.META.get("HTTP_IF_MATCH"))


def _shown(schedule: Schedule, caller: Caller, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    tag = {"ETag": conditions.etag(schedule.version)}
    return Response(outputs.schedule_for(caller, schedule), status=status, headers=tag | (headers or {}))


def _created(schedule: Schedule, caller: Caller) -> Response:
    return _shown(schedule, caller, status=201, headers={"Location": reverse("schedule", args=[schedule.pk])})
