"""The resource ``/queues/{name}/keys``: keys of a queue that have a limit, weight or pause of their own."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.filters import ListFilters
from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from flow_app import queue_keys
from flow_app.api.outputs import key_items, key_json
from flow_app.api.views import check_name
from flow_app.models import QueueKey


class KeyFilters(ListFilters):
    sorts = {"key": "key"}
    descending = False
    sort_schema = "QueueKeySort"


class QueueKeys(ApiViewSet):
    noun = "key"
    problems = ((queue_keys.KeyNotFound, lambda error: Problem.not_found(str(error))),)
    actions = {
        "list": Action.QUEUE_READ,
        "retrieve": Action.QUEUE_READ,
        "update": Action.QUEUE_EDIT,
        "destroy": Action.QUEUE_EDIT,
    }
    parameters = {"list": KeyFilters}

    def list(self, request: Request, name: str) -> Response:
        check_name(name)
        return self.page(KeyFilters(request.GET, queue_keys.keys_of(name)), Shelf(key_items, part=name))

    def retrieve(self, request: Request, name: str, key: str) -> Response:
        _check(name, key)
        row = queue_keys.key_of(name, key)
        return self.unchanged(row.version) or self._shown(row)

    def update(self, request: Request, name: str, key: str) -> Response:
        _check(name, key)
        versions = self.versions()
        row, made = queue_keys.set_key(name, key, self.body(), actor=self.caller.name, versions=versions)
        return self._shown(row, status=201 if made else 200)

    def destroy(self, request: Request, name: str, key: str) -> Response:
        _check(name, key)
        versions = self.versions()
        self.empty_body()
        queue_keys.delete_key(name, key, actor=self.caller.name, versions=versions)
        return Response(status=204)

    def _shown(self, row: QueueKey, *, status: int = 200) -> Response:
        return self.shown(key_json(row), version=row.version, status=status)


def _check(name: str, key: str) -> None:
    """Raise `Problem` for what no queue and no key can be called.

    A slash at the end could be the key's or the address's. What would be a change of another key is refused.
    """
    check_name(name)
    if key.endswith("/"):
        raise Problem.not_found("An address has no slash behind a key, and no key that ends with one.")
    try:
        queue_keys.KEY.read(key)
    except ValueError as error:
        raise Problem.not_found(f"There can be no such key: it {error}.") from None
