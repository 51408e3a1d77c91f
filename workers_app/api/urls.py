"""Routes of the workers API."""

from __future__ import annotations

from access_app.http.base import route
from workers_app.api.views import WorkerDrain

urlpatterns = [route("workers/<worker_id>/drain", WorkerDrain.as_view(), "worker-drain")]
