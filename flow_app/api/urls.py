"""Routes of queues, of targets, of freezes and of why a task waits; each works with a trailing slash as well."""

from __future__ import annotations

from django.urls import re_path

from access_app.http.routing import Router
from flow_app.api.freeze_views import Freezes
from flow_app.api.key_views import QueueKeys
from flow_app.api.views import Queues, Targets, Waits

router = Router()
router.register("queues", Queues, "queue")
router.register("targets", Targets, "target")
router.register("freezes", Freezes, "freeze")
router.register("tasks", Waits, "task")
_KEYS = r"^queues/(?P<name>[^/]+)/keys"
urlpatterns = [
    *router.urls,
    re_path(rf"{_KEYS}/?\Z", QueueKeys.as_view({"get": "list"}), name="queue-keys"),
    # A key may have slashes in it.
    re_path(
        rf"{_KEYS}/(?P<key>.+)\Z",
        QueueKeys.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="queue-key",
    ),
]
