"""The resource ``/tasks``: each method reads its input, makes one call of the domain, and shows what came back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import Shelf
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from tasks_app import deciding, edges, progress, selectors, services
from tasks_app.api import bulk, inputs, outputs
from tasks_app.api.errors import PROBLEMS
from tasks_app.api.filters import BulkQuery, ExportedTasks, TaskFilters
from tasks_app.api.output import OutputQuery, respond
from tasks_app.api.own import fence_of, held_for
from tasks_app.meeting import Created
from tasks_app.models import Task
from tasks_app.new_tasks import further_actions, takes_results
from tasks_app.used_inputs import inputs_of


class Tasks(ApiViewSet):
    noun = "task"
    lookup_url_kwarg = "task_id"
    problems = PROBLEMS
    actions = {
        "list": Action.TASK_READ,
        "export": Action.TASK_READ,
        "create": Action.TASK_CREATE,
        "bulk": Action.TASK_CREATE,
        "retrieve": Action.TASK_READ,
        "partial_update": Action.TASK_EDIT,
        "destroy": Action.TASK_CANCEL,
        "retry": Action.TASK_RETRY,
        "clone": Action.TASK_CLONE,
        "approve": Action.TASK_APPROVE,
        "reject": Action.TASK_REJECT,
        "executions": Action.TASK_READ,
        "events": Action.TASK_READ,
        "dependencies": Action.TASK_READ,
        "output": Action.TASK_READ,
        "inputs": Action.TASK_INPUTS,
        "progress": Action.TASK_READ,
        "report": Action.TASK_PROGRESS,
    }
    parameters = {"list": TaskFilters, "export": ExportedTasks, "bulk": BulkQuery, "output": OutputQuery}

    def list(self, request: Request) -> Response:
        return self.page(TaskFilters(request.GET, Task.objects.defer("payload")), Shelf(outputs.task_items))

    @action(detail=False)
    def export(self, request: Request) -> HttpResponseBase:
        filters = ExportedTasks(request.GET, Task.objects.defer("payload"))
        return self.exported(filters, Shelf(outputs.task_items), name="tasks", columns=outputs.item_columns())

    def create(self, request: Request) -> Response:
        body = self.body()
        idempotency = self.idempotency("POST /tasks", body)
        task = inputs.read_task(body)
        self.require_type(task.new.type)
        for further in further_actions(task.new, task.text):
            self.caller.require(further, task.new.type)
        made = services.create_task(task.new, created_by=self.caller.name, idempotency=idempotency)
        return self._created(made)

    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        atomic = self.query()["atomic"]
        body = self.body(limit=settings.MAX_BULK_BODY)
        idempotency = self.idempotency(f"POST /tasks/bulk atomic={atomic}", body)
        result = bulk.create(body, caller=self.caller, atomic=atomic, idempotency=idempotency)
        existing = "" if result.document["created"] else "returned"
        return self.created(result.document, replayed=result.replayed, existing=existing)

    def retrieve(self, request: Request, task_id: str) -> Response:
        task = self._task(task_id)
        return self.unchanged(task.version) or self._shown(task)

    def partial_update(self, request: Request, task_id: str) -> Response:
        task, versions = self._task(task_id), self.versions()
        self.require_type(task.type)
        changes = inputs.read_changes(self.body(), task.type)
        if takes_results(task.type, changes.get("payload")):
            self.caller.require(Action.TASK_READ, task.type)
        return self._shown(services.edit_task(task.pk, changes, actor=self.caller.name, versions=versions))

    def destroy(self, request: Request, task_id: str) -> Response:
        task = services.cancel_task(self.pk(task_id), actor=self.caller.name, versions=self.versions())
        return self._shown(task, status=200 if task.finished_at else 202)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, task_id: str) -> Response:
        task, versions = self._task(task_id), self.versions()
        self.require_type(task.type)
        below = inputs.read_retry(self.optional_body())
        allow = self._allow if below else None
        task = services.retry_task(task.pk, actor=self.caller.name, versions=versions, dependents=allow)
        return self._shown(task)

    @action(detail=True, methods=["post"])
    def clone(self, request: Request, task_id: str) -> Response:
        task = self._task(task_id)
        self.require_type(task.type)
        self.empty_body()
        return self._created(Created(services.clone_task(task.pk, actor=self.caller.name)))

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, task_id: str) -> Response:
        return self._shown(deciding.approve_task(self.pk(task_id), **self._decision()))

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, task_id: str) -> Response:
        return self._shown(deciding.reject_task(self.pk(task_id), **self._decision()))

    @action(detail=True)
    def executions(self, request: Request, task_id: str) -> Response:
        executions = self._task(task_id).executions.order_by("attempt")
        return self.listed([outputs.execution_json(execution) for execution in executions])

    @action(detail=True)
    def events(self, request: Request, task_id: str) -> Response:
        return self.listed([outputs.event_json(event) for event in selectors.timeline(self._task(task_id))])

    @action(detail=True)
    def dependencies(self, request: Request, task_id: str) -> Response:
        task = self._task(task_id)
        return Response(outputs.dependencies_json(edges.join_of(task.pk), edges.edges_of(task.pk)))

    @action(detail=True)
    def output(self, request: Request, task_id: str) -> HttpResponseBase:
        asked = self.query()
        found = respond(request._request, self._task(task_id).pk, asked)
        return found if isinstance(found, HttpResponseBase) else Response(found)

    @action(detail=True)
    def inputs(self, request: Request, task_id: str) -> Response:
        with held_for(self.caller, self.pk(task_id)):
            attempt, used = inputs_of(self._task(task_id).pk)
        return Response({"attempt": attempt, "content": used})

    @action(detail=True)
    def progress(self, request: Request, task_id: str) -> Response:
        return Response(outputs.progress_json(progress.progress_of(self._task(task_id).pk)))

    @progress.mapping.put
    def report(self, request: Request, task_id: str) -> Response:
        pk = self.pk(task_id)
        fence = fence_of(self.caller, pk)
        report = inputs.read_report(self.body())
        if fence is None:
            selectors.task_of(pk)
        return Response(outputs.progress_json(progress.report_progress(pk, report, fence=fence)))

    def _decision(self) -> dict[str, Any]:
        reason = inputs.read_reason(self.optional_body())
        return {"caller": self.caller, "reason": reason, "versions": self.versions()}

    def _allow(self, types: Collection[str]) -> None:
        for task_type in sorted(types):
            self.require_type(task_type)

    def _task(self, task_id: str) -> Task:
        return selectors.task_of(self.pk(task_id))

    def _shown(self, task: Task, *, status: int = 200) -> Response:
        return self.shown(outputs.task_for(self.caller, task), version=task.version, status=status)

    def _created(self, made: Created) -> Response:
        task = made.task
        document, at = outputs.task_for(self.caller, task), reverse("task", args=[task.pk])
        return self.created(document, at=at, version=task.version, replayed=made.replayed, existing=made.existing)
