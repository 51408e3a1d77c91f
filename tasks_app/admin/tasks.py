"""Tasks: the list with its filters and actions, the page of one, and the form for a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Left
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts, person_of, reason_of
from access_app.staff.exact_search import ExactSearch
from access_app.staff.filters import CreatedAfterFilter, CreatedBeforeFilter, CreatedFilter
from access_app.staff.outputs import summary
from tasks_app import selectors
from tasks_app.admin import task_actions, task_page
from tasks_app.admin.filters import (
    ApprovalFilter,
    BatchFilter,
    EndedAfterFilter,
    EndedBeforeFilter,
    FailureFilter,
    QueueFilter,
    RetryingFilter,
    ScheduleFilter,
    TaskStatusFilter,
    TypeFilter,
    WorkerFilter,
)
from tasks_app.admin.graph import graph_around
from tasks_app.admin.new_task import NewTaskForm, create_from
from tasks_app.admin.output import file_of, lines_of, viewer_of
from tasks_app.api import outputs
from tasks_app.models import Task, own_correlation_id
from tasks_app.states import TaskStatus

#: How many tasks of one correlation id a search shows.
MOST_FOUND = 1000
_SUMMARY_LENGTH = 160


@admin.register(Task)
class TaskAdmin(ExactSearch, StaffAdmin):
    page_template = "admin/tasks_app/task/page.html"
    change_list_template = "admin/tasks_app/task/list.html"
    new_label = "New task"
    reads = Action.TASK_READ
    creates = Action.TASK_CREATE
    pages = ("graph", "output", "lines", "text")
    posts = {
        "approve": Action.TASK_APPROVE,
        "reject": Action.TASK_REJECT,
        "cancel": Action.TASK_CANCEL,
        "retry": Action.TASK_RETRY,
        "clone": Action.TASK_CLONE,
    }
    type_column = "type"
    sortable_by = ("created",)
    list_defers = ("payload", "retry")
    export_name = "tasks"
    export_defers = ("payload",)
    export_columns = outputs.item_columns()
    list_display = ("task", "state", "queue_name", "tries", "timing", "problem", "created")
    list_filter = (
        TaskStatusFilter,
        TypeFilter,
        QueueFilter,
        CreatedFilter,
        CreatedAfterFilter,
        CreatedBeforeFilter,
        WorkerFilter,
        ScheduleFilter,
        BatchFilter,
        ApprovalFilter,
        RetryingFilter,
        FailureFilter,
        EndedAfterFilter,
        EndedBeforeFilter,
    )
    search_fields = ("id",)
    search_help_text = "Task id or correlation id"
    actions = ("cancel_selected", "retry_selected", "clone_selected")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        filters = request.GET.urlencode()
        may = bool(filters) and person_of(request).may(Action.BULK_CREATE)
        many = f"{reverse('admin:tasks_app_bulkoperation_add')}?{filters}" if may else ""
        return super().changelist_view(request, {**(extra_context or {}), "acts_on_all": many})

    def exactly(self, rows: QuerySet[Any], term: str, as_id: UUID | None) -> QuerySet[Any]:
        return rows.filter(pk__in=([] if as_id is None else [as_id]) + selectors.correlated(term, most=MOST_FOUND))

    def task_types(self, row: Task) -> tuple[str]:
        return (row.type,)

    def prepare(self, rows: list[Any]) -> None:
        """Add the latest error and a line of what each task does, in two queries for the page."""
        ids = [task.pk for task in rows]
        latest = selectors.latest_executions(ids)
        what = _summaries(ids)
        for task in rows:
            task.error = selectors.error_of(task, latest.get(task.pk)) if task.attempt or task.finished_at else None
            task.what = " · ".join(filter(None, (what.get(task.pk, ""), sent_correlation(task))))
            task.now = timezone.now()

    @admin.display(description="task")
    def task(self, task: Any) -> SafeString:
        return format_html(
            '<span class="ts-task"><span><b>{}</b> <span class="ts-mono ts-dim" title="{}">{}</span></span>'
            '<span class="ts-what ts-mono" title="{}">{}</span></span>',
            task.type,
            task.pk,
            display.short_id(task.pk),
            task.what,
            task.what,
        )

    @admin.display(description="status")
    def state(self, task: Task) -> SafeString:
        if task.cancel_requested_at and task.finished_at is None:
            return format_html('<span class="ts-badge ts-orange" title="{}">STOPPING</span>', task.status)
        return display.badge(task.status)

    @admin.display(description="queue")
    def queue_name(self, task: Task) -> SafeString:
        name = format_html('<span class="ts-cut" title="{}">{}</span>', task.queue, task.queue)
        if not task.priority:
            return name
        return format_html('{} <span class="ts-dim" title="priority">p{}</span>', name, task.priority)

    @admin.display(description="attempt")
    def tries(self, task: Task) -> SafeString:
        counts = f"{task.retry_count} of {task.max_retries} retries used, {task.crash_count} workers lost"
        lost = format_html(' <span class="ts-badge ts-purple">{} lost</span>', task.crash_count)
        return format_html('<span title="{}">{}</span>{}', counts, task.attempt, lost if task.crash_count else "")

    @admin.display(description="timing")
    def timing(self, task: Any) -> SafeString | str:
        """When a waiting task is due, how long a running one runs, how long an ended one took."""
        if task.status == TaskStatus.RUNNING and task.started_at:
            return f"for {display.brief(task.now - task.started_at)}"
        if task.finished_at:
            took = f"took {display.span(task.finished_at - task.started_at)}" if task.started_at else "never started"
            return format_html('<span title="ended {}">{}</span>', display.exact(task.finished_at), took)
        if task.run_at > task.now:
            return format_html("due {}", display.due(task.run_at, task.now))
        return f"waits {display.brief(task.now - task.run_at)}"

    @admin.display(description="error")
    def problem(self, task: Any) -> SafeString | str:
        if not task.error:
            return ""
        code, message = task.error["code"], display.words(task.error["message"])
        shown = format_html('<span class="ts-error ts-mono" title="{}">{}</span>', message, code)
        if task.finished_at is not None:
            return shown
        # It waits for another attempt: what is to become better is said.
        return format_html('<span class="ts-task">{}<span class="ts-what">{}</span></span>', shown, message[:100])

    @admin.display(description="created", ordering="pk")
    def created(self, task: Any) -> SafeString | str:
        return display.past(task.created_at, task.now)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        offered = task_actions.allowed(row, person_of(request)) & self.may_do(request, row)
        retry_tone = "" if row.status == TaskStatus.SUCCESS else "ts-primary"
        return {**task_page.context_of(row, person_of(request)), "offered": offered, "retry_tone": retry_tone}

    def live_seconds(self, row: Any) -> int:
        """An ended task can be retried elsewhere."""
        return 20 if row.finished_at else 2

    def page_graph(self, request: HttpRequest, row: Task) -> HttpResponse:
        context = {"title": f"Graph around {row.type}", "task": row, "graph": graph_around(row)}
        return self.render(request, "admin/tasks_app/task/graph.html", context)

    def page_output(self, request: HttpRequest, row: Task) -> HttpResponse:
        return self.render(request, "admin/tasks_app/task/output.html", viewer_of(row))

    def page_lines(self, request: HttpRequest, row: Task) -> HttpResponseBase:
        return lines_of(request, row)

    def page_text(self, request: HttpRequest, row: Task) -> HttpResponse:
        return file_of(request, row)

    def post_cancel(self, request: HttpRequest, row: Task) -> None:
        task_actions.cancel([row.pk], actor=actor_of(request), reason=reason_of(request)).show(request)

    def post_retry(self, request: HttpRequest, row: Task) -> None:
        """A second click must not run it twice: the page sends the version it showed."""
        versions = _shown_version(request)
        report = task_actions.retry([row.pk], actor=actor_of(request), reason=reason_of(request), versions=versions)
        report.show(request)

    def post_approve(self, request: HttpRequest, row: Task) -> None:
        """What is approved is what was shown."""
        task_actions.approve(row.pk, **_decision(request)).show(request)

    def post_reject(self, request: HttpRequest, row: Task) -> None:
        task_actions.reject(row.pk, **_decision(request)).show(request)

    def post_clone(self, request: HttpRequest, row: Task) -> HttpResponse | None:
        report, made = task_actions.clone([row.pk], actor=actor_of(request))
        report.show(request)
        return self.to_page(request, made[0]) if made else None

    @acts(Action.TASK_CANCEL, "Cancel")
    def cancel_selected(self, request: HttpRequest, rows: list[Task]) -> None:
        task_actions.cancel(_ids(rows), actor=actor_of(request)).show(request)

    @acts(Action.TASK_RETRY, "Retry")
    def retry_selected(self, request: HttpRequest, rows: list[Task]) -> None:
        task_actions.retry(_ids(rows), actor=actor_of(request)).show(request)

    @acts(Action.TASK_CLONE, "Clone")
    def clone_selected(self, request: HttpRequest, rows: list[Task]) -> None:
        task_actions.clone(_ids(rows), actor=actor_of(request))[0].show(request)

    def export_items(self, rows: Sequence[Task]) -> list[dict[str, Any]]:
        return outputs.task_items(rows)

    def new_page(self, request: HttpRequest) -> HttpResponse:
        person = person_of(request)
        types = [name for name in NewTaskForm.known_types() if person.may(Action.TASK_CREATE, name)]
        form = NewTaskForm(request.POST or None, types=types)
        if request.method == "POST" and form.is_valid():
            made = create_from(form, person, created_by=actor_of(request))
            if made is not None:
                words = f"was there before, and was {made.existing}" if made.existing else "was created"
                messages.success(request, format_html("Task {} {}.", display.task_link(made.task.pk), words))
                return self.to_page(request, made.task)
        return self.render_form(request, "admin/tasks_app/task/new.html", {"title": "New task", "form": form})


def sent_correlation(task: Task) -> str:
    """The correlation id that its caller sent, by which people know it; tasks without have one of their own."""
    return "" if task.correlation_id in (None, own_correlation_id(task.pk)) else str(task.correlation_id)


def _shown_version(request: HttpRequest) -> list[int] | None:
    """The version that the page showed on which a button was pressed."""
    version = request.POST.get("version", "")
    return [int(version)] if version.isascii() and version.isdigit() else None


def _decision(request: HttpRequest) -> dict[str, Any]:
    return {"caller": person_of(request), "reason": reason_of(request), "versions": _shown_version(request)}


def _ids(rows: list[Task]) -> list[UUID]:
    return [task.pk for task in rows]


def _summaries(ids: list[UUID]) -> dict[UUID, str]:
    """What each task does, from its payload: cut by the server, because payloads may be large."""
    line = Coalesce(*(KeyTextTransform(name, "payload") for name in ("url", "command", "argv")))
    piece = Left(line, 2 * _SUMMARY_LENGTH, output_field=TextField())  # what is cut off may show what to mask
    rows = Task.objects.filter(pk__in=ids).values_list("pk", piece)
    return {task_id: summary(text)[:_SUMMARY_LENGTH] for task_id, text in rows}
