"""Workers: who is alive, how loaded, what they hold, and the button that drains one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Case, Count, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts, person_of
from access_app.staff.filters import ChoiceFilter
from tasks_app.models import Task
from tasks_app.selectors import owned_tasks
from tasks_app.states import LIVE_WORKER_STATES, TaskStatus, WorkerState
from workers_app import heartbeats
from workers_app.admin.alive import state_badge
from workers_app.models import Worker

_MOST_TASKS = 50
_LIVE = sorted(LIVE_WORKER_STATES)


class WorkerStateFilter(ChoiceFilter):
    title, parameter_name, kind = "state", "state", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in WorkerState]


@admin.register(Worker)
class WorkerAdmin(StaffAdmin):
    page_template = "admin/workers_app/worker/page.html"
    reads = Action.WORKER_READ
    posts = {"drain": Action.WORKER_DRAIN}
    list_display = ("worker", "state_badge", "load", "heartbeat", "queue_list", "place", "started")
    list_filter = (WorkerStateFilter,)
    search_fields = ("name", "host")
    sortable_by = ("worker", "started")  # the table is small and pruned
    search_help_text = "Part of the name or host"
    actions = ("drain_selected",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Live ones first; within each group the youngest. The table is small and pruned."""
        live_first = Case(When(state__in=_LIVE, then=Value(0)), default=Value(1))
        return Worker.objects.order_by(live_first, "-started_at")

    def get_ordering(self, request: HttpRequest) -> tuple[()]:
        return ()

    def prepare(self, rows: list[Any]) -> None:
        owned = owned_counts([worker.worker_id for worker in rows])
        for worker in rows:
            worker.owned = owned.get(worker.worker_id, 0)

    @admin.display(description="worker", ordering="name")
    def worker(self, worker: Worker) -> SafeString:
        return format_html(
            '<b>{}</b> <span class="ts-mono ts-dim" title="{}">{}</span>',
            worker.name,
            worker.worker_id,
            display.short_id(worker.worker_id),
        )

    @admin.display(description="state")
    def state_badge(self, worker: Worker) -> SafeString:
        return state_badge(worker)

    @admin.display(description="load")
    def load(self, worker: Any) -> SafeString | str:
        return display.bar(worker.owned, worker.slots) if worker.state in LIVE_WORKER_STATES else display.EMPTY

    @admin.display(description="last heartbeat")
    def heartbeat(self, worker: Worker) -> SafeString | str:
        return display.past(worker.last_heartbeat_at)

    @admin.display(description="queues")
    def queue_list(self, worker: Worker) -> SafeString:
        return queues_of(worker)

    @admin.display(description="process")
    def place(self, worker: Worker) -> SafeString:
        return format_html('{} <span class="ts-dim">pid {}</span>', worker.host, worker.pid)

    @admin.display(description="started", ordering="started_at")
    def started(self, worker: Worker) -> SafeString | str:
        return display.past(worker.started_at)

    def live_seconds(self, row: Any) -> int:
        return 5 if row.state in LIVE_WORKER_STATES else 0

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        self.prepare([row])
        tasks = owned_tasks().filter(worker_id=row.pk).order_by("assigned_at").defer("payload", "retry")
        sees_tasks = person_of(request).may(Action.TASK_READ)
        return {
            "badge": state_badge(row),
            "load": display.bar(row.owned, row.slots) if row.state in LIVE_WORKER_STATES else "",
            "drainable": row.state == WorkerState.ACTIVE,
            "facts": facts_of(row),
            "labels": sorted(row.labels.items()),
            "sees_tasks": sees_tasks,
            "tasks": [_task_row(task) for task in tasks[:_MOST_TASKS]] if sees_tasks else [],
            "more": max(0, row.owned - _MOST_TASKS),
            "all_tasks": display.query(worker=str(row.pk)),
        }

    def post_drain(self, request: HttpRequest, row: Worker) -> None:
        self._drain(request, [row.pk])

    @acts(Action.WORKER_DRAIN, "Drain")
    def drain_selected(self, request: HttpRequest, rows: list[Worker]) -> None:
        self._drain(request, [worker.pk for worker in rows])

    def _drain(self, request: HttpRequest, worker_ids: list[UUID]) -> None:
        asked, ended = [], 0
        for worker_id in worker_ids:
            try:
                heartbeats.request_drain(worker_id, actor=actor_of(request))
                asked.append(worker_id)
            except heartbeats.WorkerNotFound:
                ended += 1
        names = format_html_join(", ", "{}", ((display.worker_link(worker_id),) for worker_id in asked))
        parts: list[str] = []
        if asked:
            parts.append(
                format_html("{} asked to drain: {}. It takes nothing new and then exits.", _some(asked), names)
            )
        if ended:
            parts.append(f"{ended} had already ended.")
        level = messages.SUCCESS if not ended else messages.WARNING if asked else messages.ERROR
        messages.add_message(request, level, format_html_join(" ", "{}", ((part,) for part in parts)))


def owned_counts(worker_ids: list[UUID]) -> dict[UUID, int]:
    """How many tasks each worker holds. Index: tasks_owned."""
    held = owned_tasks().filter(worker_id__in=worker_ids)
    return dict(held.values_list("worker_id").annotate(n=Count("pk")))


def queues_of(worker: Worker) -> SafeString:
    names = "every queue" if worker.queues is None else ", ".join(worker.queues)
    return format_html('<span class="ts-cut" title="{}">{}</span>', names, names)


def facts_of(worker: Worker) -> list[tuple[str, SafeString | str]]:
    return [
        ("Id", format_html('<span class="ts-mono">{}</span>', worker.worker_id)),
        ("Host", worker.host),
        ("Process", str(worker.pid)),
        ("Slots", str(worker.slots)),
        ("Prefetch", str(worker.prefetch)),
        ("Queues", queues_of(worker)),
        ("Version", display.text_or_dash(worker.version)),
        ("Started", display.exact(worker.started_at)),
        ("Last heartbeat", display.past(worker.last_heartbeat_at)),
        ("State since", display.exact(worker.state_changed_at)),
    ]


def _task_row(task: Task) -> dict[str, Any]:
    since = task.started_at if task.status == TaskStatus.RUNNING else task.assigned_at
    return {
        "link": display.task_link(task.pk),
        "type": task.type,
        "badge": display.badge(task.status),
        "queue": task.queue,
        "since": display.past(since),
    }


def _some(worker_ids: list[UUID]) -> str:
    return f"{len(worker_ids)} worker{'' if len(worker_ids) == 1 else 's'}"
