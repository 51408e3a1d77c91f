"""The resource ``/bulk-operations``: a dry run, the operation that begins with its token, and how far that is."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.errors import sentence
from access_app.http.fields import read_reason
from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action, Caller
from tasks_app import acting
from tasks_app.acting import OperationOver
from tasks_app.acts import RUNS
from tasks_app.api import operation_inputs, operation_outputs
from tasks_app.api.operation_filters import OperationFilters, rows_of
from tasks_app.executors.registry import executors
from tasks_app.models import BulkOperation
from tasks_app.tickets import Ask


class BulkOperations(ApiViewSet):
    noun = "bulk operation"
    lookup_url_kwarg = "operation_id"
    problems = ((OperationOver, lambda error: Problem(409, "illegal-transition", sentence(error))),)
    actions = {
        "list": Action.BULK_READ,
        "create": Action.BULK_CREATE,
        "retrieve": Action.BULK_READ,
        "stop": Action.BULK_STOP,
        "resume": Action.BULK_RESUME,
    }
    parameters = {"list": OperationFilters}

    def list(self, request: Request) -> Response:
        rows = OperationFilters(request.GET, BulkOperation.objects.all())
        return self.page(rows, Shelf(operation_outputs.operation_items))

    def create(self, request: Request) -> Response:
        asked = operation_inputs.read_operation(self.body())
        if asked.ask.action in RUNS:
            self.caller.require(Action.BULK_RUN)
        if asked.token is None:
            return self.shown(operation_outputs.dry_run_json(try_out(asked.ask, self.caller), self.caller))
        row, made = acting.begin(
            asked.ask,
            asked.token,
            actor=self.caller.name,
            barred=barred_for(self.caller),
            reason=asked.reason,
            rate=asked.rate,
        )
        headers = {"Location": reverse("bulk-operation", args=[row.pk])}
        return self._shown(row, status=202, headers=headers) if made else self._replayed(row)

    def retrieve(self, request: Request, operation_id: str) -> Response:
        """Never 304: counts change without the version, which is that of stops and resumes."""
        return self._shown(acting.operation_of(self.pk(operation_id)))

    @action(detail=True, methods=["post"])
    def stop(self, request: Request, operation_id: str) -> Response:
        pk, versions = self.pk(operation_id), self.versions()
        reason = read_reason(self.optional_body())
        return self._shown(acting.stop(pk, actor=self.caller.name, reason=reason, versions=versions))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, operation_id: str) -> Response:
        pk, versions = self.pk(operation_id), self.versions()
        reason, barred = read_reason(self.optional_body()), barred_for(self.caller)
        return self._shown(acting.resume(pk, actor=self.caller.name, barred=barred, reason=reason, versions=versions))

    def _shown(self, row: BulkOperation, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        return self.shown(operation_outputs.operation_json(row), version=row.version, status=status, headers=headers)

    def _replayed(self, row: BulkOperation) -> Response:
        return self.created(operation_outputs.operation_json(row), version=row.version, replayed=True)


def try_out(ask: Ask, caller: Caller) -> acting.DryRun:
    """A dry run. Raises `Refused` when tasks match whose type the caller may not make run, and the action would."""
    found = acting.try_out(ask, rows_of(ask.filter))
    if ask.action in RUNS:
        for task_type in sorted(found.by_type):
            caller.require(Action.BULK_RUN, task_type)
    return found


def barred_for(caller: Caller) -> set[str]:
    """The types of tasks that a caller may not make run."""
    return {task_type for task_type in executors() if not caller.may(Action.BULK_RUN, task_type)}
