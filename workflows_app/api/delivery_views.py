"""The resource ``/deliveries``: what was sent to whom, and how that ended."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import Shelf
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from workflows_app.api import outputs
from workflows_app.api.errors import PROBLEMS
from workflows_app.api.filters import DeliveryFilters
from workflows_app.callbacks import redelivering
from workflows_app.callbacks.tables import Delivery


class Deliveries(ApiViewSet):
    noun = "delivery"
    lookup_url_kwarg = "delivery_id"
    problems = PROBLEMS
    actions = {
        "list": Action.DELIVERY_READ,
        "retrieve": Action.DELIVERY_READ,
        "redeliver": Action.DELIVERY_REDELIVER,
    }
    parameters = {"list": DeliveryFilters}

    def list(self, request: Request) -> Response:
        found = Delivery.objects.select_related("task", "endpoint").defer("task__payload")
        return self.page(DeliveryFilters(request.GET, found), Shelf(outputs.delivery_items))

    def retrieve(self, request: Request, delivery_id: str) -> Response:
        return self.shown(outputs.delivery_json(redelivering.delivery_of(self.pk(delivery_id))))

    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, delivery_id: str) -> Response:
        pk = self.pk(delivery_id)
        self.empty_body()
        made = redelivering.redeliver(pk, actor=self.caller.name)
        return self.created(outputs.delivery_for(self.caller, made), at=reverse("delivery", args=[made.pk]))
