"""The resource ``/freezes``: begin one, see them, thaw. Every change is audited."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.errors import sentence
from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from flow_app import freezes
from flow_app.api import freeze_inputs, freeze_outputs
from flow_app.api.freeze_filters import FreezeFilters
from flow_app.freeze_figures import measure_frozen
from flow_app.freezes import FreezeOver
from flow_app.models import Freeze


class Freezes(ApiViewSet):
    noun = "freeze"
    lookup_url_kwarg = "freeze_id"
    problems = (
        (Freeze.DoesNotExist, lambda error: Problem.not_found("There is no freeze with this id.")),
        (FreezeOver, lambda error: Problem(409, "illegal-transition", sentence(error))),
    )
    parameters = {"list": FreezeFilters}
    actions = {
        "list": Action.FREEZE_READ,
        "create": Action.FREEZE_CREATE,
        "retrieve": Action.FREEZE_READ,
        "destroy": Action.FREEZE_THAW,
    }

    def list(self, request: Request) -> Response:
        return self.page(FreezeFilters(request.GET, Freeze.objects.all()), Shelf(freeze_outputs.freeze_items))

    def create(self, request: Request) -> Response:
        body = self.body()
        idempotency = self.idempotency("POST /freezes", body)
        new = freeze_inputs.read_freeze(body, timezone.now())
        freeze, made = freezes.freeze(new, actor=self.caller.name, idempotency=idempotency)
        at = reverse("freeze", args=[freeze.pk])
        return self.created(_document(freeze), at=at, version=freeze.version, replayed=not made)

    def retrieve(self, request: Request, freeze_id: str) -> Response:
        """Never 304: counts change without the version."""
        return self._shown(Freeze.objects.get(pk=self.pk(freeze_id)))

    def destroy(self, request: Request, freeze_id: str) -> Response:
        pk, versions = self.pk(freeze_id), self.versions()
        reason, rate = freeze_inputs.read_thaw(self.optional_body())
        return self._shown(freezes.thaw(pk, actor=self.caller.name, reason=reason, rate=rate, versions=versions))

    def _shown(self, freeze: Freeze) -> Response:
        return self.shown(_document(freeze), version=freeze.version)


def _document(freeze: Freeze) -> dict[str, object]:
    """A freeze, with what it is about now."""
    affected = measure_frozen(**freeze.names)
    return freeze_outputs.freeze_json(freeze) | {"affected": freeze_outputs.affected_json(affected)}
