"""Schedulers: who is alive, of which release."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin
from workers_app.admin.alive import scheduler_state
from workers_app.models import Scheduler


@admin.register(Scheduler)
class SchedulerAdmin(StaffAdmin):
    page_template = "admin/workers_app/scheduler/page.html"
    reads = Action.SCHEDULER_READ
    list_display = ("scheduler", "state_badge", "heartbeat", "release", "started")

    @admin.display(description="scheduler")
    def scheduler(self, scheduler: Scheduler) -> SafeString:
        return format_html('<b>{}</b> <span class="ts-dim">pid {}</span>', scheduler.host, scheduler.pid)

    @admin.display(description="state")
    def state_badge(self, scheduler: Scheduler) -> SafeString:
        return display.badge(scheduler_state(scheduler))

    @admin.display(description="last heartbeat")
    def heartbeat(self, scheduler: Scheduler) -> SafeString | str:
        return display.past(scheduler.last_heartbeat_at)

    @admin.display(description="version")
    def release(self, scheduler: Scheduler) -> str:
        return display.text_or_dash(scheduler.version)

    @admin.display(description="started")
    def started(self, scheduler: Scheduler) -> SafeString | str:
        return display.past(scheduler.started_at)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        facts = [
            ("Id", str(row.pk)),
            ("Host", row.host),
            ("Process", str(row.pid)),
            ("Version", display.text_or_dash(row.version)),
            ("Started", display.exact(row.started_at)),
            ("Last heartbeat", display.exact(row.last_heartbeat_at)),
            ("Stopped", display.exact(row.stopped_at)),
        ]
        return {"badge": display.badge(scheduler_state(row)), "facts": facts}
