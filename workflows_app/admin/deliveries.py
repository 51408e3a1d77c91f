"""Deliveries: what was sent to whom, how that ended, and a button that sends it once more."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of
from access_app.staff.filters import BarFilter, ChoiceFilter, uuid_of
from tasks_app.states import TaskStatus
from workflows_app.callbacks import redelivering
from workflows_app.callbacks.redelivering import NotDeliverable
from workflows_app.callbacks.tables import Delivery, status_hint


class StatusFilter(ChoiceFilter):
    title, parameter_name, kind = "status", "status", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status.capitalize()) for status in TaskStatus]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(status_hint([value]), task__status=value)


class EndpointFilter(BarFilter):
    title, parameter_name, placeholder = "endpoint", "endpoint", "Id of an endpoint"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(endpoint_id=uuid_of(value))


class SourceFilter(BarFilter):
    title, parameter_name, placeholder = "task", "task", "Id of a task"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(source_id=uuid_of(value))


@admin.register(Delivery)
class DeliveryAdmin(StaffAdmin):
    page_template = "admin/workflows_app/delivery/page.html"
    reads = Action.DELIVERY_READ
    posts = {"redeliver": Action.DELIVERY_REDELIVER}
    list_display = ("message", "state", "receiver", "source", "attempts", "made", "again")
    list_filter = (StatusFilter, EndpointFilter, SourceFilter)
    ordering = ("-task_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).select_related("task", "endpoint")
        return found.defer("task__payload")

    @admin.display(description="message")
    def message(self, row: Delivery) -> str:
        return row.event

    @admin.display(description="state")
    def state(self, row: Delivery) -> SafeString:
        return display.badge(row.task.status)

    @admin.display(description="receiver")
    def receiver(self, row: Delivery) -> SafeString | str:
        return receiver_of(row)

    @admin.display(description="about task")
    def source(self, row: Delivery) -> SafeString:
        return display.task_link(row.source_id)

    @admin.display(description="attempts")
    def attempts(self, row: Delivery) -> str:
        return str(row.task.attempt)

    @admin.display(description="created")
    def made(self, row: Delivery) -> SafeString | str:
        return display.past(row.task.created_at)

    @admin.display(description="tried again")
    def again(self, row: Delivery) -> SafeString | str:
        return display.due(row.task.run_at) if row.task.status == TaskStatus.PENDING else display.EMPTY

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        facts = [
            ("Message", row.webhook_id),
            ("About", display.task_link(row.source_id)),
            ("Receiver", receiver_of(row)),
            ("URL", display.words(row.url)),
            ("Brought by", display.task_link(row.pk)),
            ("Attempts", str(row.task.attempt)),
            ("Tried again", self.again(row)),
            ("Created", display.exact(row.task.created_at)),
            ("Ended", display.exact(row.task.finished_at)),
            ("Repeats", display.link(display.page_url(Delivery(pk=row.redelivers)), "another one"))
            if row.redelivers
            else ("Repeats", display.EMPTY),
        ]
        return {"title": row.event, "badge": self.state(row), "facts": facts, "ended": row.task.finished_at is not None}

    def post_redeliver(self, request: HttpRequest, row: Delivery) -> HttpResponse | None:
        try:
            made = redelivering.redeliver(row.pk, actor=actor_of(request))
        except NotDeliverable as error:
            messages.error(request, f"Nothing was sent: {error}.")
            return None
        messages.success(request, "It is on its way once more.")
        return self.to_page(request, made)


def receiver_of(row: Delivery) -> SafeString | str:
    """The endpoint; of a task's own callback, its url."""
    if row.endpoint_id is None:
        return display.words(row.url)
    return display.link(display.page_url(row.endpoint), row.endpoint.name) if row.endpoint else "deleted endpoint"
