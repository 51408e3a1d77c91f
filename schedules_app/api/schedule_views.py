"""The resource ``/schedules``: each method reads its input, makes one call of the domain, and shows what came back.

There is no 304: the version of a schedule, its ETag, counts what people change, and its next time moves without them.
"""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.fields import read_reason
from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.refusals import inside
from access_app.rights import Action
from flow_app.api.outputs import reason_json
from schedules_app import guards, manual_runs, selectors, services
from schedules_app.api import filters, inputs, outputs
from schedules_app.api.errors import PROBLEMS
from schedules_app.batch_templates import maker
from schedules_app.manual_runs import CreatedBatch
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.services import ScheduleNotFound
from tasks_app.api.outputs import task_for


class Schedules(ApiViewSet):
    noun = "schedule"
    lookup_url_kwarg = "schedule_id"
    problems = PROBLEMS
    actions = {
        "list": Action.SCHEDULE_READ,
        "create": Action.SCHEDULE_CREATE,
        "simulate": Action.SCHEDULE_READ,  # stores nothing
        "retrieve": Action.SCHEDULE_READ,
        "partial_update": Action.SCHEDULE_EDIT,
        "destroy": Action.SCHEDULE_DELETE,
        "pause": Action.SCHEDULE_PAUSE,
        "resume": Action.SCHEDULE_RESUME,
        "trigger": Action.SCHEDULE_TRIGGER,
        "backfill": Action.SCHEDULE_BACKFILL,
        "clone": Action.SCHEDULE_CLONE,
        "fires": Action.SCHEDULE_READ,
        "preview": Action.SCHEDULE_READ,
        "why": Action.SCHEDULE_READ,
    }
    parameters = {
        "list": filters.ScheduleFilters,
        "fires": filters.FireFilters,
        "preview": filters.PreviewQuery,
    }

    def list(self, request: Request) -> Response:
        schedules = filters.ScheduleFilters(request.GET, Schedule.objects.defer("task", "batch", "callback"))
        return self.page(schedules, Shelf(outputs.schedule_items))

    def create(self, request: Request) -> Response:
        body = self.body()
        idempotency = self.idempotency("POST /schedules", body)
        new = inputs.read_schedule(body, now=timezone.now())
        guards.require_types(self.caller, Action.SCHEDULE_CREATE, new)
        guards.require_results(self.caller, new)
        made = services.create_schedule(new, created_by=self.caller.name, idempotency=idempotency)
        return self._created(made.schedule, replayed=made.replayed)

    @action(detail=False, methods=["post"])
    def simulate(self, request: Request) -> Response:
        new, window = inputs.read_simulation(self.body(), now=timezone.now())
        try:
            slots = selectors.simulate(new, **window)
        except InvalidSchedule as error:
            raise Problem.invalid(inside("schedule", error.problems)) from None
        return self.shown(outputs.simulation_json(slots))

    def retrieve(self, request: Request, schedule_id: str) -> Response:
        return self._shown(self._schedule(schedule_id))

    def partial_update(self, request: Request, schedule_id: str) -> Response:
        schedule, versions = self._schedule(schedule_id), self.versions()
        changes = inputs.read_changes(self.body(), services.definition_of(schedule), now=timezone.now())
        allowed = guards.schedule_change(self.caller, changes)
        return self._shown(services.edit_schedule(schedule.pk, allowed, actor=self.caller.name, versions=versions))

    def destroy(self, request: Request, schedule_id: str) -> Response:
        services.delete_schedule(self.pk(schedule_id), actor=self.caller.name, versions=self.versions())
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, schedule_id: str) -> Response:
        pk, versions = self.pk(schedule_id), self.versions()
        reason = read_reason(self.optional_body())
        return self._shown(services.pause_schedule(pk, actor=self.caller.name, reason=reason, versions=versions))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, schedule_id: str) -> Response:
        pk, versions = self.pk(schedule_id), self.versions()
        reason, guard = read_reason(self.optional_body()), guards.may_run(self.caller, Action.SCHEDULE_RESUME)
        resumed = services.resume_schedule(pk, actor=self.caller.name, reason=reason, versions=versions, guard=guard)
        return self._shown(resumed)

    @action(detail=True, methods=["post"])
    def trigger(self, request: Request, schedule_id: str) -> Response:
        """Returns the task, or the batch."""
        pk = self.pk(schedule_id)
        self.empty_body()
        idempotency = self.idempotency(f"POST /schedules/{pk}/trigger", {})
        guard = guards.may_run(self.caller, Action.SCHEDULE_TRIGGER)
        made = manual_runs.trigger_schedule(pk, actor=self.caller.name, idempotency=idempotency, guard=guard)
        if isinstance(made, CreatedBatch):
            document, at = maker().shown(self.caller, made.id), reverse("batch", args=[made.id])
        else:
            document, at = task_for(self.caller, made.task), reverse("task", args=[made.task.pk])
        return self.created(document, at=at, version=document["version"], replayed=made.replayed)

    @action(detail=True, methods=["post"])
    def backfill(self, request: Request, schedule_id: str) -> Response:
        pk, body = self.pk(schedule_id), self.body()
        idempotency = self.idempotency(f"POST /schedules/{pk}/backfill", body)
        wanted = inputs.read_backfill(body) | {"idempotency": idempotency}
        guard = guards.may_run(self.caller, Action.SCHEDULE_BACKFILL)
        done = manual_runs.backfill_schedule(pk, actor=self.caller.name, guard=guard, **wanted)
        document = outputs.backfill_json(done)
        if done.made or done.replayed:
            return self.created(document, replayed=done.replayed)
        return self.shown(document)

    @action(detail=True, methods=["post"])
    def clone(self, request: Request, schedule_id: str) -> Response:
        pk, name = self.pk(schedule_id), inputs.read_clone(self.body())
        guard = guards.may_run(self.caller, Action.SCHEDULE_CLONE)
        return self._created(services.clone_schedule(pk, name=name, actor=self.caller.name, guard=guard))

    @action(detail=True)
    def fires(self, request: Request, schedule_id: str) -> Response:
        """The ledger, also of a schedule that was deleted."""
        pk = self.pk(schedule_id)
        rows = selectors.fires(pk)
        if not (Schedule.objects.filter(pk=pk).exists() or rows.exists()):
            raise ScheduleNotFound(f"there is no schedule {pk}")
        return self.page(filters.FireFilters(request.GET, rows), Shelf(outputs.fire_items, part=str(pk)))

    @action(detail=True)
    def preview(self, request: Request, schedule_id: str) -> Response:
        schedule, count = self._schedule(schedule_id), self.query()["count"]
        return self.shown(outputs.preview_json(selectors.preview(schedule, count=count)))

    @action(detail=True)
    def why(self, request: Request, schedule_id: str) -> Response:
        reasons = selectors.why(self._schedule(schedule_id))
        return self.shown({"reasons": [reason_json(reason) for reason in reasons]})

    def _schedule(self, schedule_id: str) -> Schedule:
        schedule = Schedule.objects.filter(pk=self.pk(schedule_id)).first()
        if schedule is None:
            raise ScheduleNotFound(f"there is no schedule {schedule_id}")
        return schedule

    def _shown(self, schedule: Schedule) -> Response:
        return self.shown(outputs.schedule_for(self.caller, schedule), version=schedule.version)

    def _created(self, schedule: Schedule, *, replayed: bool = False) -> Response:
        document, at = outputs.schedule_for(self.caller, schedule), reverse("schedule", args=[schedule.pk])
        return self.created(document, at=at, version=schedule.version, replayed=replayed)
