"""Routes of health, metrics and marks; each works with a trailing slash as well."""

from __future__ import annotations

from access_app.http.routing import Router
from monitoring_app import views
from monitoring_app.mark_api import Marks

router = Router()
router.register("health", views.Health, "health")
router.register("health", views.Probes, "probe")
router.register("health", views.Figures, "figure")
router.register("metrics", views.Exposition, "metric")
router.register("marks", Marks, "mark")
urlpatterns = router.urls
