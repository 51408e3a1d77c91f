"""Batches: the list, and the page of one with its progress, what is in it and what was done to it.

Nobody makes a batch here: it comes with its tasks, from a program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app import audit
from access_app.rights import Action, Refused
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, person_of, reason_of
from access_app.staff.exact_search import ExactSearch
from access_app.staff.filters import ChoiceFilter
from access_app.staff.outputs import pretty
from access_app.versions import Stale
from tasks_app.admin.filters import ScheduleFilter
from tasks_app.bounds import QueueFull
from tasks_app.edges import children_of
from tasks_app.selectors import failed_types_in_batch
from tasks_app.states import TaskStatus
from workflows_app import batches, selectors
from workflows_app.admin.batch_graph import graph_of_batch
from workflows_app.batch_rules import DONE, BatchStatus
from workflows_app.batch_table import DONE_BATCH, OPEN_BATCH, Batch
from workflows_app.batches import BatchDone
from workflows_app.selectors import BatchNotFound, Counts

MOST_SHOWN: Final = 20


class BatchStatusFilter(ChoiceFilter):
    title, parameter_name, kind = "status", "status", "tabs"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(status, status.capitalize()) for status in BatchStatus]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(DONE_BATCH if value in DONE else OPEN_BATCH, status=value)


@admin.register(Batch)
class BatchAdmin(ExactSearch, StaffAdmin):
    page_template = "admin/workflows_app/batch/page.html"
    reads = Action.BATCH_READ
    posts = {"close": Action.BATCH_CLOSE, "cancel": Action.BATCH_CANCEL, "retry": Action.BATCH_RETRY}
    list_defers = ("on_complete", "on_success", "on_failure")
    list_display = ("batch", "state", "lies_in", "completions", "created", "done")
    list_filter = (BatchStatusFilter, ScheduleFilter)
    search_fields = ("name",)
    search_help_text = "Batch id, or its whole name"

    def exactly(self, rows: QuerySet[Any], term: str, as_id: UUID | None) -> QuerySet[Any]:
        return rows.filter(Q(name=term) if as_id is None else Q(pk=as_id))

    def task_types(self, row: Batch) -> list[str]:
        """Those that a retry would run."""
        return failed_types_in_batch(row.pk)

    def prepare(self, rows: list[Any]) -> None:
        now = timezone.now()
        for row in rows:
            row.now = now

    @admin.display(description="batch")
    def batch(self, row: Batch) -> SafeString:
        return format_html(
            '<span class="ts-task"><b class="ts-name">{}</b> <span class="ts-mono ts-dim" title="{}">{}</span></span>',
            row.name,
            row.pk,
            display.short_id(row.pk),
        )

    @admin.display(description="status")
    def state(self, row: Batch) -> SafeString:
        return state_badge(row)

    @admin.display(description="lies in")
    def lies_in(self, row: Batch) -> SafeString | str:
        return display.batch_link(row.parent_id) if row.parent_id else ""

    @admin.display(description="done")
    def completions(self, row: Batch) -> str:
        return _so_often(row.completion) if row.completion else ""

    @admin.display(description="created")
    def created(self, row: Any) -> SafeString | str:
        return display.past(row.created_at, row.now)

    @admin.display(description="ended")
    def done(self, row: Any) -> SafeString | str:
        return display.past(row.finished_at, row.now) if row.finished_at else ""

    def live_seconds(self, row: Any) -> int:
        return 20 if row.finished_at else 5

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        counts = selectors.counts_of(row)
        has_inner = counts.open_batches or counts.done_batches
        inner = selectors.inner_batches(row.pk, most=MOST_SHOWN + 1) if has_inner else []
        waiting = children_of(row.pk, most=MOST_SHOWN + 1)
        sees_audit, sees_tasks = map(person_of(request).may, (Action.AUDIT_READ, Action.TASK_READ))
        return {
            "badge": state_badge(row),
            "offered": allowed(row, counts) & self.may_do(request, row),
            "counts": counts,
            "graph": graph_of_batch(row, counts.total, inner[:MOST_SHOWN]) if sees_tasks else None,
            "percent": int(counts.progress * 100),
            "statuses": [status_line(row, status, counts) for status in TaskStatus],
            "all_tasks": tasks_url(row),
            "inner": [(display.batch_link(each.pk), each.name, state_badge(each)) for each in inner[:MOST_SHOWN]],
            "more_inner": len(inner) > MOST_SHOWN,
            "waiting": [display.task_link(task_id) for task_id in waiting[:MOST_SHOWN]],
            "more_waiting": len(waiting) > MOST_SHOWN,
            "made": [(which, display.task_link(made)) for which, made in selectors.follow_ups_made(row).items()],
            "templates": [(str(which), pretty(task)) for which, task in selectors.templates_of(row).items() if task],
            "events": list(audit.about(f"batch:{row.pk}")[:MOST_SHOWN]) if sees_audit else [],
            "facts": facts_of(row),
        }

    def post_close(self, request: HttpRequest, row: Batch) -> None:
        def close() -> str:
            batches.close_batch(row.pk, actor=actor_of(request), reason=reason_of(request))
            return "It takes nothing more, and is done once all in it has ended."

        _say(request, close)

    def post_cancel(self, request: HttpRequest, row: Batch) -> None:
        def cancel() -> str:
            batches.cancel_batch(row.pk, actor=actor_of(request), reason=reason_of(request))
            return "What waits in it is being cancelled. What runs is left to end."

        _say(request, cancel)

    def post_retry(self, request: HttpRequest, row: Batch) -> None:
        person = person_of(request)

        def allow(types: Collection[str]) -> None:
            for task_type in sorted(types):
                person.require(Action.BATCH_RETRY, task_type)

        def retry() -> str:
            _, again = batches.retry_batch(row.pk, actor=person.name, allow=allow, reason=reason_of(request))
            return f"{again:,} task{'' if again == 1 else 's'} will run again. What succeeded is kept."

        _say(request, retry)


def state_badge(row: Batch) -> SafeString:
    if row.stopping and row.finished_at is None:
        return format_html('<span class="ts-badge ts-orange" title="{}">STOPPING</span>', row.status)
    return display.badge(row.status)


def allowed(row: Batch, counts: Counts) -> set[str]:
    """The actions that its state allows."""
    found = set() if row.finished_at else {"close", "cancel"}
    if row.status != BatchStatus.OPEN:
        found -= {"close"}
    if row.cancelled_at is not None:
        found -= {"cancel"}
    failed = counts.by_status[TaskStatus.FAILED] + counts.by_status[TaskStatus.CANCELLED]
    may_retry = row.status != BatchStatus.SUCCESS and (failed or counts.done_batches)
    return found | ({"retry"} if may_retry else set())


def tasks_url(row: Batch, **filters: str) -> str:
    return f"{reverse('admin:tasks_app_task_changelist')}?{display.query(batch=str(row.pk), **filters)}"


def status_line(row: Batch, status: TaskStatus, counts: Counts) -> tuple[SafeString, str, str]:
    """The badge of a status, how many tasks have it, and the list of these."""
    return display.badge(status), display.number(counts.by_status[status]), tasks_url(row, status=str(status))


def _so_often(times: int) -> str:
    return "once" if times == 1 else f"{times:,} times"


def facts_of(row: Batch) -> list[tuple[str, SafeString | str]]:
    limit = selectors.fail_fast_of(row)
    times = (("Created", row.created_at), ("Cancelled", row.cancelled_at), ("Done the last time", row.completed_at))
    return [
        ("Lies in", display.batch_link(row.parent_id) if row.parent_id else display.EMPTY),
        *([("Schedule", display.schedule_link(row.schedule_id))] if row.schedule_id else []),
        *([("Made for", display.exact(row.scheduled_for))] if row.scheduled_for else []),
        ("Stops when so many fail", str(limit) if limit else display.EMPTY),
        ("Was done", _so_often(row.completion)),
        *((name, display.exact(at)) for name, at in times if at is not None),
        ("Correlation id", display.text_or_dash(row.correlation_id)),
        ("Idempotency key", display.text_or_dash(row.idempotency_key)),
        ("Created by", row.created_by),
        ("Version", str(row.version)),
    ]


def _say(request: HttpRequest, act: Callable[[], str]) -> None:
    """Do it, and say what came of it."""
    try:
        messages.success(request, act())
    except (BatchDone, BatchNotFound, QueueFull, Refused, Stale) as error:
        text = str(error)
        messages.error(request, f"Nothing was done: {text[:1].lower()}{text[1:].removesuffix('.')}.")
