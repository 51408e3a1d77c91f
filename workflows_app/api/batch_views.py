"""The resource ``/batches``: each method reads its input, makes one call of the domain, and shows what came back.

There is no 304: the version of a batch, its ETag, does not count what becomes of its tasks, and these are shown.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.fields import read_reason
from access_app.http.pagination import Shelf
from access_app.http.viewsets import ApiViewSet
from access_app.idempotency import take_idempotency_key
from access_app.rights import Action
from tasks_app.api import bulk
from workflows_app import batches, selectors
from workflows_app.api import batch_inputs as inputs
from workflows_app.api import batch_outputs as outputs
from workflows_app.api.batch_filters import BatchFilters
from workflows_app.api.errors import PROBLEMS
from workflows_app.batch_table import Batch
from workflows_app.batches import Members
from workflows_app.own_batch import adder_of

_TEMPLATES = ("on_complete", "on_success", "on_failure")


class Batches(ApiViewSet):
    noun = "batch"
    lookup_url_kwarg = "batch_id"
    problems = PROBLEMS
    actions = {
        "list": Action.BATCH_READ,
        "create": Action.BATCH_CREATE,
        "retrieve": Action.BATCH_READ,
        "destroy": Action.BATCH_CANCEL,
        "tasks": Action.BATCH_ADD,
        "close": Action.BATCH_CLOSE,
        "retry": Action.BATCH_RETRY,
    }
    parameters = {"list": BatchFilters}

    def list(self, request: Request) -> Response:
        return self.page(BatchFilters(request.GET, Batch.objects.defer(*_TEMPLATES)), Shelf(outputs.batch_items))

    def create(self, request: Request) -> Response:
        body = self.body(limit=settings.MAX_BULK_BODY)
        idempotency = self.idempotency("POST /batches", body)
        new, items = inputs.read_batch(body)
        self._allow({task.type for task in new.follow_ups.values()})
        checked = bulk.check_members(items, caller=self.caller)
        with transaction.atomic():
            made = batches.create_batch(
                new, _members(checked), created_by=self.caller.name, refs=checked.refs, idempotency=idempotency
            )
            checked.refuse_full(made.stored)
        batch, at = made.batch, reverse("batch", args=[made.batch.pk])
        document = outputs.batch_json(self.caller, batch) | {"refs": made.refs}
        return self.created(document, at=at, version=batch.version, replayed=made.replayed)

    def retrieve(self, request: Request, batch_id: str) -> Response:
        return self._shown(selectors.batch_of(self.pk(batch_id)))

    def destroy(self, request: Request, batch_id: str) -> Response:
        """202, because a scheduler cancels what waits."""
        batch = batches.cancel_batch(self.pk(batch_id), actor=self.caller.name, versions=self.versions())
        return self._shown(batch, status=202)

    @action(detail=True, methods=["post"])
    def tasks(self, request: Request, batch_id: str) -> Response:
        pk = self.pk(batch_id)
        adder, body = adder_of(self.caller, pk), self.body(limit=settings.MAX_BULK_BODY)
        idempotency = self.idempotency(f"POST /batches/{pk}/tasks", body)
        checked = bulk.check_members(inputs.read_more(body), caller=adder.caller, needs=Action.BATCH_ADD)
        document = {"ids": [str(each) for each in checked.ids], "refs": {r: str(i) for r, i in checked.refs.items()}}
        with transaction.atomic():
            if idempotency is not None:
                replay = take_idempotency_key(self.caller.name, idempotency, checked.ids, document)
                if replay is not None:
                    adder.require_running()
                    return self.created(replay.response, replayed=True)
            stored = adder.add(pk, _members(checked), idempotency)
            checked.refuse_full(stored)
        return self.created(document)

    @action(detail=True, methods=["post"])
    def close(self, request: Request, batch_id: str) -> Response:
        pk, versions, reason = self.pk(batch_id), self.versions(), read_reason(self.optional_body())
        return self._shown(batches.close_batch(pk, actor=self.caller.name, reason=reason, versions=versions))

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, batch_id: str) -> Response:
        pk, versions, asked = self.pk(batch_id), self.versions(), inputs.read_retry(self.optional_body())
        batch, again = batches.retry_batch(
            pk,
            actor=self.caller.name,
            allow=self._allow,
            everything=asked.everything,
            reason=asked.reason,
            versions=versions,
        )
        return self.shown(outputs.batch_json(self.caller, batch) | {"retried": again}, version=batch.version)

    def _allow(self, types: Collection[str]) -> None:
        for task_type in sorted(types):
            self.require_type(task_type)

    def _shown(self, batch: Batch, *, status: int = 200) -> Response:
        return self.shown(outputs.batch_json(self.caller, batch), version=batch.version, status=status)


def _members(checked: bulk.Checked) -> Members:
    ids: list[UUID] = checked.ids
    return Members([task.new for task in checked.tasks], [task.text for task in checked.tasks], ids)
