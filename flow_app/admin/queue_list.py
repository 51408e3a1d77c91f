"""The list of queues: every one that is in use, with what is in it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.staff import display
from access_app.staff.base import StaffAdmin
from access_app.staff.filters import ChoiceFilter
from access_app.staff.page_list import MOST_ROWS, PageList
from flow_app.admin import shown
from flow_app.figures import find_queues, list_figures, rows_of
from flow_app.models import Queue
from flow_app.rules import RULES
from tasks_app.fields import QUEUE_NAME

_SET: Final = Q(*((f"{part.column}__isnull", False) for rule in RULES for part in rule.parts), _connector=Q.OR)


class KeptFilter(ChoiceFilter):
    """Queues that somebody has done something about. Only these have rows."""

    title, parameter_name, kind = "state", "state", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("paused", "Paused"), ("rules", "With rules")]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return Queue.objects.paused() & queryset if value == "paused" else queryset.filter(_SET)


class QueuesInUse(PageList):
    """Queues in use, by name: with a row, or with a task that has not ended."""

    def read_rows(self, start: int, stop: int) -> list[Any]:
        if self.has_active_filters or self.problems:
            return super().read_rows(start, stop)
        return rows_of(_named_like(self.query, most=stop)[start:])


class QueueList(StaffAdmin):
    """What the list shows, and what its actions are about: queues without a row are among both."""

    list_display = ("queue_name", "state", "waiting", "due", "oldest", "owned", "pace", "drains", "gates")
    list_filter = (KeptFilter,)
    search_fields = ("name",)
    search_help_text = "Part of the name"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PageList]:
        return QueuesInUse

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The queue of an address. One that nobody has paused or configured exists as well."""
        row = super().get_object(request, object_id, from_field)
        return Queue.unset(object_id) if row is None and QUEUE_NAME.fullmatch(object_id) else row

    def selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        if request.GET.get(str(KeptFilter.parameter_name)):
            return super().selected(request, queryset)
        part = request.GET.get("q", "").strip().casefold()
        names = request.POST.getlist(ACTION_CHECKBOX_NAME)
        return rows_of(name for name in names if QUEUE_NAME.fullmatch(name) and part in name.casefold())

    def prepare(self, rows: list[Any]) -> None:
        measured = list_figures([queue.name for queue in rows])
        for queue in rows:
            queue.found = measured[queue.name]

    @admin.display(description="queue")
    def queue_name(self, queue: Queue) -> SafeString:
        about = " · ".join((*_pause_of(queue), *shown.rules_in_words(queue)))
        return format_html(
            '<span class="ts-task"><b class="ts-what ts-strong" title="{0}">{0}</b>'
            '<span class="ts-what" title="{1}">{1}</span></span>',
            queue.name,
            about,
        )

    @admin.display(description="state")
    def state(self, queue: Queue) -> SafeString:
        return display.badge(shown.state_of(queue))

    @admin.display(description="waiting")
    def waiting(self, queue: Any) -> str:
        return shown.at_least(queue.found.waiting, queue.found)

    @admin.display(description="due")
    def due(self, queue: Any) -> str:
        return shown.at_least(queue.found.due, queue.found)

    @admin.display(description="oldest due")
    def oldest(self, queue: Any) -> str:
        return shown.oldest(queue.found)

    @admin.display(description="running")
    def owned(self, queue: Any) -> SafeString | str:
        """Assigned or running, of as many as may be."""
        owned = queue.found.scheduled + queue.found.running
        return display.number(owned) if queue.max_concurrency is None else display.bar(owned, queue.max_concurrency)

    @admin.display(description="in / out")
    def pace(self, queue: Any) -> str:
        return shown.pace(queue.found)

    @admin.display(description="empty in")
    def drains(self, queue: Any) -> str:
        return shown.time_to_drain(queue.found)

    @admin.display(description="held back")
    def gates(self, queue: Any) -> SafeString | str:
        return shown.gates(queue.found)


def _named_like(part: str, *, most: int) -> list[str]:
    """Names of queues in use with a part in them, so many at most."""
    if not part:
        return find_queues(most=most)
    return [name for name in find_queues(most=MOST_ROWS) if part.casefold() in name.casefold()][:most]


def _pause_of(queue: Queue) -> list[str]:
    """Until when and why it is paused, if it is."""
    if not queue.is_paused:
        return []
    until = f"until {queue.paused_until:%Y-%m-%d %H:%M} UTC" if queue.paused_until else "until it is resumed"
    return [f"paused {until}" + (f": {display.words(queue.pause_reason)}" if queue.pause_reason else "")]
