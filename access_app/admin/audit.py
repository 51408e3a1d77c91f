"""The audit trail: read-only, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.http.times import show_instant
from access_app.models import AuditEvent
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin
from access_app.staff.exact_search import TaskIdSearch
from access_app.staff.filters import BarFilter
from access_app.staff.outputs import pretty

#: Kinds of targets whose pages are under their names.
_PAGES: Final = {
    "queue": "flow_app_queue",
    "worker": "workers_app_worker",
    "calendar": "schedules_app_blackoutcalendar",
    "bulk_operation": "tasks_app_bulkoperation",
}
#: Kinds of targets that a list finds by their names.
_LISTS: Final = {"schedule": "schedules_app_schedule", "user": "auth_user", "group": "auth_group"}


class ActorFilter(BarFilter):
    title, parameter_name, placeholder = "actor", "actor", "Actor, e.g. user:maria"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(actor=value)


class ActionFilter(BarFilter):
    title, parameter_name, placeholder = "action", "action", "Action, e.g. task.cancelled"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(action=value)


@admin.register(AuditEvent)
class AuditEventAdmin(TaskIdSearch, StaffAdmin):
    page_template = "admin/access_app/auditevent/page.html"
    reads = Action.AUDIT_READ
    list_display = ("happened", "who", "what", "on", "change", "why")
    list_filter = (ActorFilter, ActionFilter)
    export_name = "audit"
    export_columns = (
        *("id", "at", "actor", "action", "target", "attempt", "from", "to", "reason", "correlationId", "detail"),
    )
    ordering = ("-id",)
    sortable_by = ("happened",)

    def export_items(self, rows: Sequence[AuditEvent]) -> list[dict[str, Any]]:
        return [
            {
                "id": row.pk,
                "at": show_instant(row.at),
                "actor": row.actor,
                "action": row.action,
                "target": row.target,
                "attempt": row.attempt,
                "from": row.from_status,
                "to": row.to_status,
                "reason": row.reason,
                "correlationId": row.correlation_id,
                "detail": row.detail,
            }
            for row in rows
        ]

    @admin.display(description="when", ordering="pk")
    def happened(self, event: AuditEvent) -> SafeString:
        return format_html('<span title="{}">{}</span>', display.exact(event.at), f"{event.at:%Y-%m-%d %H:%M:%S}")

    @admin.display(description="actor")
    def who(self, event: AuditEvent) -> SafeString:
        return format_html('<span class="ts-cut" title="{}">{}</span>', event.actor, event.actor)

    @admin.display(description="action")
    def what(self, event: AuditEvent) -> str:
        return event.action

    @admin.display(description="target")
    def on(self, event: AuditEvent) -> SafeString:
        return target_link(event)

    @admin.display(description="change")
    def change(self, event: AuditEvent) -> SafeString | str:
        return change_of(event)

    @admin.display(description="reason")
    def why(self, event: AuditEvent) -> SafeString:
        return format_html('<span class="ts-cut" title="{}">{}</span>', *[display.words(event.reason)] * 2)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        facts = [
            ("When", display.exact(row.at)),
            ("Actor", row.actor),
            ("Action", row.action),
            ("Target", target_link(row)),
            ("Change", change_of(row)),
            ("Attempt", display.text_or_dash(row.attempt)),
            ("Reason", display.text_or_dash(display.words(row.reason))),
            ("Correlation id", display.text_or_dash(row.correlation_id)),
        ]
        return {"facts": facts, "detail": pretty(row.detail) if row.detail is not None else ""}


def target_link(event: AuditEvent) -> SafeString:
    """What was changed, with a link where there is a page."""
    if event.task_id is not None:
        return display.task_link(event.task_id)
    kind, _, name = event.target.partition(":")
    if kind in _PAGES and name:
        return display.link(reverse(f"admin:{_PAGES[kind]}_change", args=[quote(name)]), event.target)
    if kind in _LISTS:  # its page is under its id, which the event does not say
        url = reverse(f"admin:{_LISTS[kind]}_changelist")
        return display.link(f"{url}?{display.query(q=name)}", event.target)
    return format_html("{}", event.target)


def change_of(event: AuditEvent) -> SafeString | str:
    if not event.to_status or event.to_status == event.from_status:
        return display.EMPTY
    return format_html("{} → {}", event.from_status or "", display.badge(event.to_status))
