"""Routes of the tasks API; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from tasks_app.api.failure_views import Failures
from tasks_app.api.operation_views import BulkOperations
from tasks_app.api.views import Tasks

router = Router()
router.register("tasks", Tasks, "task")
router.register("bulk-operations", BulkOperations, "bulk-operation")
router.register("failures", Failures, "failure")
urlpatterns = router.urls
