"""The resource ``/webhook-endpoints``: who is told of ends. Who makes a secret is shown it, once."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import Shelf
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from workflows_app.api import endpoint_inputs, outputs
from workflows_app.api.errors import PROBLEMS
from workflows_app.api.filters import EndpointFilters
from workflows_app.callbacks import endpoints, redelivering
from workflows_app.callbacks.tables import WebhookEndpoint


class Endpoints(ApiViewSet):
    noun = "endpoint"
    lookup_url_kwarg = "endpoint_id"
    problems = PROBLEMS
    actions = {
        "list": Action.ENDPOINT_READ,
        "create": Action.ENDPOINT_CREATE,
        "retrieve": Action.ENDPOINT_READ,
        "partial_update": Action.ENDPOINT_EDIT,
        "destroy": Action.ENDPOINT_DELETE,
        "rotate": Action.ENDPOINT_ROTATE,
        "replay": Action.ENDPOINT_REPLAY,
    }
    parameters = {"list": EndpointFilters}

    def list(self, request: Request) -> Response:
        return self.page(EndpointFilters(request.GET, WebhookEndpoint.objects.all()), Shelf(outputs.endpoint_items))

    def create(self, request: Request) -> Response:
        new = endpoint_inputs.read_endpoint(self.body())
        endpoint, secret = endpoints.create_endpoint(new, created_by=self.caller.name)
        document, at = outputs.endpoint_json(endpoint), reverse("endpoint", args=[endpoint.pk])
        return self.created(document | {"secret": secret}, at=at, version=endpoint.version)

    def retrieve(self, request: Request, endpoint_id: str) -> Response:
        """Never 304: how deliveries end changes it without its version."""
        return self._shown(endpoints.endpoint_of(self.pk(endpoint_id)))

    def partial_update(self, request: Request, endpoint_id: str) -> Response:
        pk, versions = self.pk(endpoint_id), self.versions()
        changes = endpoint_inputs.read_changes(self.body())
        return self._shown(endpoints.edit_endpoint(pk, changes, actor=self.caller.name, versions=versions))

    def destroy(self, request: Request, endpoint_id: str) -> Response:
        pk, versions = self.pk(endpoint_id), self.versions()
        self.empty_body()
        endpoints.delete_endpoint(pk, actor=self.caller.name, versions=versions)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, endpoint_id: str) -> Response:
        pk, versions = self.pk(endpoint_id), self.versions()
        overlap = endpoint_inputs.read_rotation(self.optional_body())
        endpoint, secret = endpoints.rotate_secret(pk, actor=self.caller.name, overlap=overlap, versions=versions)
        return self.shown(outputs.endpoint_json(endpoint) | {"secret": secret}, version=endpoint.version)

    @action(detail=True, methods=["post"])
    def replay(self, request: Request, endpoint_id: str) -> Response:
        pk = self.pk(endpoint_id)
        since, until, rate = endpoint_inputs.read_replay(self.body(), timezone.now())
        count = redelivering.replay(pk, since=since, until=until, rate=rate, actor=self.caller.name)
        return self.shown({"count": count}, status=202)

    def _shown(self, endpoint: WebhookEndpoint) -> Response:
        return self.shown(outputs.endpoint_json(endpoint), version=endpoint.version)
