"""Routes of the tasks API; each is answered with a trailing slash as well."""

from __future__ import annotations

from access_app.http.base import route
from tasks_app.api import task_views

urlpatterns = [
    route("tasks", task_views.TaskList.as_view(), "tasks"),
    route("tasks/bulk", task_views.TaskBulk.as_view(), "tasks-bulk"),
    route("tasks/<task_id>", task_views.TaskDetail.as_view(), "task"),
    route("tasks/<task_id>/retry", task_views.TaskRetry.as_view(), "task-retry"),
    route("tasks/<task_id>/clone", task_views.TaskClone.as_view(), "task-clone"),
    route("tasks/<task_id>/executions", task_views.TaskExecutions.as_view(), "task-executions"),
    route("tasks/<task_id>/events", task_views.TaskEvents.as_view(), "task-events"),
]
