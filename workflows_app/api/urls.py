"""Routes of this app's API; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from workflows_app.api.batch_views import Batches
from workflows_app.api.delivery_views import Deliveries
from workflows_app.api.endpoint_views import Endpoints

router = Router()
router.register("batches", Batches, "batch")
router.register("webhook-endpoints", Endpoints, "endpoint")
router.register("deliveries", Deliveries, "delivery")
urlpatterns = router.urls
