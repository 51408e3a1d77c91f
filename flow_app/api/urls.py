"""Routes of the queues API, and of why a task waits; each is answered with a trailing slash as well."""

from __future__ import annotations

from access_app.http.base import route
from flow_app.api import views

urlpatterns = [
    route("queues", views.QueueList.as_view(), "queues"),
    route("queues/<name>/pause", views.QueuePause.as_view(), "queue-pause"),
    route("queues/<name>/resume", views.QueueResume.as_view(), "queue-resume"),
    route("tasks/<task_id>/why", views.TaskWhy.as_view(), "task-why"),
]
