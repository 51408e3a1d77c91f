"""The resource ``/tasks``: each method reads its input, makes one call of the domain, and shows what came back."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http import conditions, pagination
from access_app.http.base import caller_of, content, uuid_or_404
from access_app.http.idempotency import read_idempotency
from access_app.http.parsers import empty_body, json_body
from access_app.rights import Action, Caller
from access_app.versions import Versions
from tasks_app import selectors, services
from tasks_app.api import bulk, inputs, outputs
from tasks_app.api.errors import TaskApiView
from tasks_app.api.filters import TASKS, hint
from tasks_app.executors.base import JsonObject
from tasks_app.models import Task


class TaskList(TaskApiView):
    actions = {"GET": Action.TASK_READ, "POST": Action.TASK_CREATE}
    parameters = {"GET": TASKS.parameters}

    def get(self, request: Request) -> Response:
        listing = TASKS.read(request.GET)
        tasks = pagination.Shelf(Task.objects.defer("payload"), outputs.task_items, hint=hint(request.GET))
        return Response(pagination.page_of(listing, tasks))

    def post(self, request: Request) -> Response:
        caller = caller_of(request)
        body = json_body(request, limit=settings.MAX_BODY)
        idempotency = read_idempotency(request.META.get("HTTP_IDEMPOTENCY_KEY"), "POST /tasks", body)
        task = inputs.read_task(body)
        self.require_type(request, task.new.type)
        created = services.create_task(task.new, created_by=caller.name, idempotency=idempotency)
        if created.replayed:
            return _shown(created.task, caller, headers={"Idempotent-Replayed": "true"})
        return _created(created.task, caller)


class TaskBulk(TaskApiView):
    actions = {"POST": Action.TASK_CREATE}
    parameters = {"POST": frozenset({"atomic"})}

    def post(self, request: Request) -> Response:
        atomic = bulk.read_atomic(request.GET)
        body = json_body(request, limit=settings.MAX_BULK_BODY)
        operation = f"POST /tasks/bulk atomic={atomic}"
        idempotency = read_idempotency(request.META.get("HTTP_IDEMPOTENCY_KEY"), operation, body)
        answer = bulk.create(body, caller=caller_of(request), atomic=atomic, idempotency=idempotency)
        if answer.replayed:
            return Response(answer.document, headers={"Idempotent-Replayed": "true"})
        return Response(answer.document, status=201)


class TaskDetail(TaskApiView):
    actions = {"GET": Action.TASK_READ, "PATCH": Action.TASK_EDIT, "DELETE": Action.TASK_CANCEL}

    def get(self, request: Request, task_id: str) -> Response:
        task = _task(task_id)
        if conditions.is_fresh(request.META.get("HTTP_IF_NONE_MATCH"), task.version):
            return Response(status=304, headers={"ETag": conditions.etag(task.version)})
        return _shown(task, caller_of(request))

    def patch(self, request: Request, task_id: str) -> Response:
        task, caller, versions = _task(task_id), caller_of(request), _versions(request)
        self.require_type(request, task.type)
        changes = inputs.read_changes(json_body(request, limit=settings.MAX_BODY), task.type)
        return _shown(services.edit_task(task.pk, changes, actor=caller.name, versions=versions), caller)

    def delete(self, request: Request, task_id: str) -> Response:
        pk, caller, versions = uuid_or_404(task_id, "task"), caller_of(request), _versions(request)
        task = services.cancel_task(pk, actor=caller.name, versions=versions)
        return _shown(task, caller, status=200 if task.finished_at else 202)


class TaskRetry(TaskApiView):
    actions = {"POST": Action.TASK_RETRY}

    def post(self, request: Request, task_id: str) -> Response:
        task, caller, versions = _task(task_id), caller_of(request), _versions(request)
        self.require_type(request, task.type)
        empty_body(request)
        return _shown(services.retry_task(task.pk, actor=caller.name, versions=versions), caller)


class TaskClone(TaskApiView):
    actions = {"POST": Action.TASK_CLONE}

    def post(self, request: Request, task_id: str) -> Response:
        task, caller = _task(task_id), caller_of(request)
        self.require_type(request, task.type)
        empty_body(request)
        return _created(services.clone_task(task.pk, actor=caller.name), caller)


class TaskExecutions(TaskApiView):
    actions = {"GET": Action.TASK_READ}

    def get(self, request: Request, task_id: str) -> Response:
        executions = _task(task_id).executions.order_by("attempt")
        return content([outputs.execution_json(execution) for execution in executions])


class TaskEvents(TaskApiView):
    actions = {"GET": Action.TASK_READ}

    def get(self, request: Request, task_id: str) -> Response:
        return content([outputs.event_json(event) for event in selectors.timeline(_task(task_id))])


def _task(task_id: str) -> Task:
    return selectors.task_of(uuid_or_404(task_id, "task"))


def _versions(request: Request) -> Versions:
    return conditions.if_match(request.META.get("HTTP_IF_MATCH"))


def _shown(task: Task, caller: Caller, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    document: JsonObject = outputs.task_for(caller, task)
    return Response(document, status=status, headers={"ETag": conditions.etag(task.version), **(headers or {})})


def _created(task: Task, caller: Caller) -> Response:
    return _shown(task, caller, status=201, headers={"Location": reverse("task", args=[task.pk])})
