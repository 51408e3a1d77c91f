"""Routes of the queues API, and of why a task waits; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from flow_app.api.views import Queues, Waits

router = Router()
router.register("queues", Queues, "queue")
router.register("tasks", Waits, "task")
urlpatterns = router.urls
