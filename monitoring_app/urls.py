"""Routes of health and metrics; each is answered with a trailing slash as well."""

from __future__ import annotations

from access_app.http.base import route
from monitoring_app import views

urlpatterns = [
    route("health", views.Health.as_view(), "health"),
    route("health/live", views.Live.as_view(), "health-live"),
    route("health/ready", views.Ready.as_view(), "health-ready"),
    route("health/workers", views.Workers.as_view(), "health-workers"),
    route("health/metrics", views.Metrics.as_view(), "health-metrics"),
    route("health/recovery", views.Recovery.as_view(), "health-recovery"),
    route("metrics", views.Exposition.as_view(), "metrics"),
]
