"""The ledger: what became of each slot of every schedule, also of those that were deleted. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.http.times import show_instant
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin
from schedules_app.admin.filters import FireStateFilter
from schedules_app.admin.ledger import utc
from schedules_app.models import Schedule, ScheduleFire
from tasks_app.admin.filters import ScheduleFilter


@admin.register(ScheduleFire)
class ScheduleFireAdmin(StaffAdmin):
    page_template = "admin/scheduler/page.html"
    reads = Action.FIRE_READ
    list_display = ("slot_at", "state_badge", "schedule", "delay", "task", "remark", "decided")
    list_filter = (FireStateFilter, ScheduleFilter)
    export_name = "schedule-fires"
    export_columns = (
        *("scheduleId", "schedule", "slot", "lastSlot", "state", "dueAt", "decidedAt", "taskId", "batchId", "note"),
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        """As the indexes have them: fires_slot within one schedule, fires_decided over all."""
        return ("-slot",) if request.GET.get("schedule") else ("-decided_at",)

    def prepare(self, rows: list[Any]) -> None:
        names = dict(Schedule.objects.filter(pk__in={row.schedule_id for row in rows}).values_list("pk", "name"))
        for row in rows:
            row.schedule_name = names.get(row.schedule_id)

    def export_items(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        self.prepare(list(rows))
        return [
            {
                "scheduleId": str(row.schedule_id),
                "schedule": row.schedule_name,
                "slot": show_instant(row.slot),
                "lastSlot": show_instant(row.last_slot),
                "state": row.state,
                "dueAt": show_instant(row.due_at),
                "decidedAt": show_instant(row.decided_at),
                "taskId": row.task_id and str(row.task_id),
                "batchId": row.batch_id and str(row.batch_id),
                "note": row.note,
            }
            for row in rows
        ]

    @admin.display(description="slot")
    def slot_at(self, fire: ScheduleFire) -> SafeString:
        return format_html("<b>{}</b>{}", utc(fire.slot), f" to {utc(fire.last_slot)}" if fire.last_slot else "")

    @admin.display(description="state")
    def state_badge(self, fire: ScheduleFire) -> SafeString:
        return display.badge(fire.state)

    @admin.display(description="schedule")
    def schedule(self, fire: Any) -> SafeString:
        return schedule_text(fire.schedule_id, fire.schedule_name)

    @admin.display(description="delay")
    def delay(self, fire: ScheduleFire) -> str:
        return display.span(max(fire.decided_at - fire.due_at, timedelta(0)))

    @admin.display(description="task or batch")
    def task(self, fire: ScheduleFire) -> SafeString | str:
        return made_link(fire)

    @admin.display(description="note")
    def remark(self, fire: ScheduleFire) -> SafeString:
        return format_html('<span class="ts-cut" title="{}">{}</span>', fire.note, fire.note)

    @admin.display(description="decided")
    def decided(self, fire: ScheduleFire) -> SafeString | str:
        return display.past(fire.decided_at)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        self.prepare([row])
        facts = [
            ("Schedule", schedule_text(row.schedule_id, row.schedule_name)),
            ("Slot", utc(row.slot)),
            *([("Stands for all slots up to", utc(row.last_slot))] if row.last_slot else []),
            ("Due, with its jitter", display.exact(row.due_at)),
            ("Decided", display.exact(row.decided_at)),
            ("Batch" if row.batch_id else "Task", made_link(row)),
            ("Note", display.text_or_dash(row.note)),
        ]
        return {"title": utc(row.slot), "badge": display.badge(row.state), "facts": facts}


def made_link(fire: ScheduleFire) -> SafeString | str:
    """What was made for a slot."""
    if fire.batch_id is not None:
        return display.batch_link(fire.batch_id)
    return display.task_link(fire.task_id) if fire.task_id else display.EMPTY


def schedule_text(schedule_id: UUID, name: str | None) -> SafeString:
    """A link to the schedule; of one that is gone, its id."""
    if name is None:
        short = display.short_id(schedule_id)
        return format_html('<span class="ts-mono ts-dim" title="{}">deleted {}</span>', schedule_id, short)
    page = display.link(display.page_url(Schedule(pk=schedule_id)), name)
    return format_html('<span class="ts-cut" title="{}">{}</span>', name, page)
