"""The resource ``/schedules``: each method reads its input, makes one call of the domain, and shows what came back.

There is no 304: the version of a schedule, its ETag, counts what people change, and its next time moves without them.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from schedules_app import manual_runs, selectors, services
from schedules_app.api import filters, inputs, outputs
from schedules_app.api.errors import ScheduleApiView
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule
from schedules_app.services import ScheduleNotFound
from tasks_app.access import Scope
from tasks_app.api import conditions, pagination
from tasks_app.api.authentication import Caller
from tasks_app.api.base import caller_of, uuid_or_404
from tasks_app.api.inputs import read_idempotency, read_reason
from tasks_app.api.outputs import current_task_json, reason_json
from tasks_app.api.pagination import Shelf
from tasks_app.api.parsers import empty_body, json_body, optional_json_body
from tasks_app.api.permissions import require_type_scope
from tasks_app.api.problems import Problem
from tasks_app.services import Idempotency
from tasks_app.transitions import Versions

READ = (Scope.TASKS_READ,)
WRITE = (Scope.TASKS_WRITE,)
_REPLAYED = {"Idempotent-Replayed": "true"}


class ScheduleList(ScheduleApiView):
    scopes = {"GET": READ, "POST": WRITE}
    parameters = {"GET": filters.SCHEDULES.parameters}

    def get(self, request: Request) -> Response:
        listing = filters.SCHEDULES.read(request.GET)
        return Response(pagination.page_of(listing, Shelf(Schedule.objects.defer("task"), outputs.schedule_items)))

    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = json_body(request, limit=settings.MAX_BODY)
        idempotency = _idempotency(request, "POST /schedules", body)
        new = inputs.read_schedule(body, now=timezone.now())
        require_type_scope(caller, new.task.type)
        created = services.create_schedule(new, created_by=caller.name, idempotency=idempotency)
        if created.replayed:
            return _shown(created.schedule, headers=_REPLAYED)
        return _created(created.schedule)


class ScheduleDetail(ScheduleApiView):
    scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    def get(self, request: Request, schedule_id: str) -> Response:
        return _shown(_schedule(schedule_id))

    def patch(self, request: Request, schedule_id: str) -> Response:
        schedule, caller, versions = _schedule(schedule_id), caller_of(request), _versions(request)
        body = json_body(request, limit=settings.MAX_BODY)
        changes = inputs.read_changes(body, services.definition_of(schedule), now=timezone.now())
        allowed = _allowed(changes, caller)
        return _shown(services.edit_schedule(schedule.pk, allowed, actor=caller.name, versions=versions))

    def delete(self, request: Request, schedule_id: str) -> Response:
        pk, versions = uuid_or_404(schedule_id, "schedule"), _versions(request)
        services.delete_schedule(pk, actor=caller_of(request).name, versions=versions)
        return Response(status=204)


class SchedulePause(ScheduleApiView):
    scopes = {"POST": WRITE}

    def post(self, request: Request, schedule_id: str) -> Response:
        pk, caller, versions = uuid_or_404(schedule_id, "schedule"), caller_of(request), _versions(request)
        reason = read_reason(optional_json_body(request, limit=settings.MAX_BODY))
        return _shown(services.pause_schedule(pk, actor=caller.name, reason=reason, versions=versions))


class ScheduleResume(ScheduleApiView):
    scopes = {"POST": WRITE}

    def post(self, request: Request, schedule_id: str) -> Response:
        schedule, caller, versions = _runnable(request, schedule_id), caller_of(request), _versions(request)
        reason = read_reason(optional_json_body(request, limit=settings.MAX_BODY))
        return _shown(services.resume_schedule(schedule.pk, actor=caller.name, reason=reason, versions=versions))


class ScheduleTrigger(ScheduleApiView):
    """Answers the task."""

    scopes = {"POST": WRITE}

    def post(self, request: Request, schedule_id: str) -> Response:
        schedule = _runnable(request, schedule_id)
        empty_body(request)
        idempotency = _idempotency(request, f"POST /schedules/{schedule.pk}/trigger", {})
        made = manual_runs.trigger_schedule(schedule.pk, actor=caller_of(request).name, idempotency=idempotency)
        headers = {"ETag": conditions.etag(made.task.version)}
        headers |= _REPLAYED if made.replayed else {"Location": reverse("task", args=[made.task.pk])}
        return Response(current_task_json(made.task), status=200 if made.replayed else 201, headers=headers)


class ScheduleBackfill(ScheduleApiView):
    scopes = {"POST": WRITE}

    def post(self, request: Request, schedule_id: str) -> Response:
        schedule = _runnable(request, schedule_id)
        body = json_body(request, limit=settings.MAX_BODY)
        idempotency = _idempotency(request, f"POST /schedules/{schedule.pk}/backfill", body)
        wanted = inputs.read_backfill(body) | {"idempotency": idempotency}
        done = manual_runs.backfill_schedule(schedule.pk, actor=caller_of(request).name, **wanted)
        if done.replayed:
            return Response(outputs.backfill_json(done), headers=_REPLAYED)
        return Response(outputs.backfill_json(done), status=201 if done.tasks else 200)


class ScheduleClone(ScheduleApiView):
    scopes = {"POST": WRITE}

    def post(self, request: Request, schedule_id: str) -> Response:
        schedule = _runnable(request, schedule_id)
        name = inputs.read_clone(json_body(request, limit=settings.MAX_BODY))
        return _created(services.clone_schedule(schedule.pk, name=name, actor=caller_of(request).name))


class ScheduleFires(ScheduleApiView):
    """The ledger, also of a schedule that was deleted."""

    scopes = {"GET": READ}
    parameters = {"GET": filters.FIRES.parameters}

    def get(self, request: Request, schedule_id: str) -> Response:
        pk = uuid_or_404(schedule_id, "schedule")
        rows = selectors.fires(pk)
        if not (Schedule.objects.filter(pk=pk).exists() or rows.exists()):
            raise ScheduleNotFound(f"there is no schedule {pk}")
        listing = filters.FIRES.read(request.GET)
        return Response(pagination.page_of(listing, Shelf(rows, outputs.fire_items, part=str(pk))))


class SchedulePreview(ScheduleApiView):
    scopes = {"GET": READ}
    parameters = {"GET": frozenset({"count"})}

    def get(self, request: Request, schedule_id: str) -> Response:
        schedule, count = _schedule(schedule_id), filters.read_count(request.GET)
        return Response(outputs.preview_json(selectors.preview(schedule, count=count)))


class ScheduleWhy(ScheduleApiView):
    scopes = {"GET": READ}

    def get(self, request: Request, schedule_id: str) -> Response:
        return Response({"reasons": [reason_json(reason) for reason in selectors.why(_schedule(schedule_id))]})


class ScheduleSimulation(ScheduleApiView):
    """Stores nothing, so that it needs the scope of a reader alone."""

    scopes = {"POST": READ}

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


def _runnable(request: Request, schedule_id: str) -> Schedule:
    """The schedule, if the caller may have its tasks run."""
    schedule = _schedule(schedule_id)
    require_type_scope(caller_of(request), schedule.task["type"])
    return schedule


def _allowed(changes: Callable[[NewSchedule], NewSchedule], caller: Caller) -> Callable[[NewSchedule], NewSchedule]:
    """The changes, for who may have run what the schedule runs, before and after; looked at under its lock."""

    def change(before: NewSchedule) -> NewSchedule:
        after = changes(before)
        require_type_scope(caller, before.task.type)
        require_type_scope(caller, after.task.type)
        return after

    return change


def _idempotency(request: Request, operation: str, body: object) -> Idempotency | None:
    return read_idempotency(request.META.get("HTTP_IDEMPOTENCY_KEY"), operation, body)


def _versions(request: Request) -> Versions:
    return conditions.if_match(request.META.get("HTTP_IF_MATCH"))


def _shown(schedule: Schedule, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    tag = {"ETag": conditions.etag(schedule.version)}
    return Response(outputs.schedule_json(schedule), status=status, headers=tag | (headers or {}))


def _created(schedule: Schedule) -> Response:
    return _shown(schedule, status=201, headers={"Location": reverse("schedule", args=[schedule.pk])})
