"""Routes of queues, of targets and of why a task waits; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from flow_app.api.views import Queues, Targets, Waits

router = Router()
router.register("queues", Queues, "queue")
router.register("targets", Targets, "target")
router.register("tasks", Waits, "task")
urlpatterns = router.urls
