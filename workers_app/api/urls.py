"""Routes of the workers API."""

from __future__ import annotations

from access_app.http.routing import Router
from workers_app.api.views import Workers

router = Router()
router.register("workers", Workers, "worker")
urlpatterns = router.urls
