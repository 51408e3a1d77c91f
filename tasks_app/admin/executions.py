"""Ended attempts: read-only, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.http.times import show_instant
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin
from access_app.staff.exact_search import TaskIdSearch
from access_app.staff.filters import EndedFilter
from tasks_app.admin.filters import ExecutionStatusFilter, TypeFilter
from tasks_app.admin.task_page import attempt_of
from tasks_app.models import TaskExecution


@admin.register(TaskExecution)
class TaskExecutionAdmin(TaskIdSearch, StaffAdmin):
    page_template = "admin/tasks_app/taskexecution/page.html"
    reads = Action.EXECUTION_READ
    list_defers = ("result", "late")
    list_display = ("attempt_name", "state", "task_id_link", "worker", "took", "problem", "ended")
    list_filter = (ExecutionStatusFilter, TypeFilter, EndedFilter)
    ordering = ("-id",)
    sortable_by = ("ended",)
    export_name = "executions"
    export_needs = (Action.TASK_READ,)
    export_defers = list_defers
    export_columns = (
        *("taskId", "type", "attempt", "workerId", "status", "taskStatus", "dueAt", "startedAt", "finishedAt"),
        *("durationMs", "error"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskExecution]:
        return TaskExecution.objects.annotate(
            has_late=ExpressionWrapper(Q(late__isnull=False), output_field=BooleanField())
        )

    @admin.display(description="attempt")
    def attempt_name(self, execution: TaskExecution) -> SafeString:
        return format_html("<b>{}</b> attempt {}", execution.type, execution.attempt)

    @admin.display(description="status")
    def state(self, execution: Any) -> SafeString:
        if execution.has_late:
            return format_html('{} <span class="ts-dim">late result</span>', display.badge(execution.status))
        return display.badge(execution.status)

    @admin.display(description="task")
    def task_id_link(self, execution: TaskExecution) -> SafeString:
        return display.task_link(execution.task_id)

    @admin.display(description="worker")
    def worker(self, execution: TaskExecution) -> SafeString | str:
        return display.worker_link(execution.worker_id)

    @admin.display(description="took")
    def took(self, execution: TaskExecution) -> str:
        return display.span(execution.finished_at - execution.started_at)

    @admin.display(description="error")
    def problem(self, execution: TaskExecution) -> SafeString | str:
        if execution.error_code is None:
            return ""
        message = display.words(execution.error_message)
        return format_html('<span class="ts-error ts-mono" title="{}">{}</span>', message, execution.error_code)

    @admin.display(description="ended", ordering="pk")
    def ended(self, execution: TaskExecution) -> SafeString | str:
        return display.past(execution.finished_at)

    def export_items(self, rows: Sequence[TaskExecution]) -> list[dict[str, Any]]:
        """Without results, which may be large; errors are for whoever may see the task."""
        return [
            {
                "taskId": str(row.task_id),
                "type": row.type,
                "attempt": row.attempt,
                "workerId": str(row.worker_id),
                "status": row.status,
                "taskStatus": row.task_status,
                "dueAt": show_instant(row.due_at),
                "startedAt": show_instant(row.started_at),
                "finishedAt": show_instant(row.finished_at),
                "durationMs": row.duration_ms,
                "error": row.error,
            }
            for row in rows
        ]

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {"attempt": attempt_of(row), "task": display.task_link(row.task_id)}
