"""Schedules: the list, the page of one, the form with its preview, and what may be done to one.

Everything is a call of the services, which look under the lock of the schedule whether the person may have it run.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, acts, person_of, reason_of
from access_app.staff.filters import as_uuid
from schedules_app import guards, services
from schedules_app.admin import schedule_actions, schedule_list, schedule_page
from schedules_app.admin.filters import CalendarFilter, StateFilter
from schedules_app.admin.preview import preview
from schedules_app.admin.schedule_actions import BackfillForm
from schedules_app.admin.schedule_form import ScheduleForm
from schedules_app.admin.shown import Shown
from schedules_app.models import Schedule, ScheduleFire

_FORM: Final = "admin/schedules_app/schedule/form.html"


@admin.register(Schedule)
class ScheduleAdmin(StaffAdmin):
    page_template = "admin/schedules_app/schedule/page.html"
    new_label = "New schedule"
    reads = Action.SCHEDULE_READ
    creates = Action.SCHEDULE_CREATE
    posts = {
        "pause": Action.SCHEDULE_PAUSE,
        "resume": Action.SCHEDULE_RESUME,
        "enable": Action.SCHEDULE_EDIT,
        "trigger": Action.SCHEDULE_TRIGGER,
        "backfill": Action.SCHEDULE_BACKFILL,
        "clone": Action.SCHEDULE_CLONE,
        "delete": Action.SCHEDULE_DELETE,
        "preview": Action.SCHEDULE_EDIT,
    }
    forms = {"edit": Action.SCHEDULE_EDIT}
    list_defers = ("task", "batch", "callback", "description")  # a payload may be large
    list_display = ("schedule", "state", "next_fire", "last_fire", "health", "what", "calendar_names")
    list_filter = (StateFilter, CalendarFilter)
    search_fields = ("name",)
    sortable_by = ("schedule",)
    search_help_text = "Part of the name, or id"
    actions = ("pause_selected", "resume_selected")

    def selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(queryset.defer("description"))

    def task_types(self, row: Schedule) -> set[str]:
        return guards.task_types(row)

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        return ("next_fire_at",) if request.GET.get("state") == "overdue" else ("name",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        schedule_id = as_uuid(search_term.strip())
        if schedule_id is not None:
            return queryset.filter(pk=schedule_id), False
        return super().get_search_results(request, queryset, search_term)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_new)
        return [path("preview/", view, name="schedules_app_schedule_preview_new"), *super().get_urls()]

    def prepare(self, rows: list[Any]) -> None:
        schedule_list.prepare(rows)

    @admin.display(description="schedule", ordering="name")
    def schedule(self, row: Any) -> SafeString:
        return schedule_list.name_cell(row)

    @admin.display(description="state")
    def state(self, row: Any) -> SafeString:
        return schedule_list.state_cell(row)

    @admin.display(description="next fire")
    def next_fire(self, row: Any) -> SafeString | str:
        return row.next_words  # type: ignore[no-any-return]

    @admin.display(description="last fire")
    def last_fire(self, row: Any) -> SafeString | str:
        return display.past(row.last_fire_at, row.now) if row.last_fire_at else "never"

    @admin.display(description="health")
    def health(self, row: Any) -> SafeString:
        return schedule_list.health_cell(row)

    @admin.display(description="makes")
    def what(self, row: Any) -> str:
        return str(row.what)

    @admin.display(description="calendars")
    def calendar_names(self, row: Any) -> SafeString | str:
        names = ", ".join(row.calendars)
        return format_html('<span class="ts-cut" title="{}">{}</span>', names, names) if names else display.EMPTY

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            **schedule_page.context_of(row, Shown.of(request.GET)),
            "offered": self._offered(request, row),
            "trigger_once": uuid4().hex,
            "backfill_form": BackfillForm.of(row),
        }

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = ScheduleForm(request.POST or None, types=_types(request))
        if request.method == "POST" and form.is_valid():
            made = schedule_actions.saved(form, lambda: schedule_actions.create(request, form.new_schedule()))
            if made is not None:
                messages.success(request, f"The schedule {made.schedule.name} was created.")
                return self.to_page(request, made.schedule)
        return self.render_form(request, _FORM, {"title": "New schedule", "form": form})

    def form_edit(self, request: HttpRequest, row: Schedule) -> HttpResponse:
        """The form of a schedule. It carries the version it was filled from: whoever saves second sees that."""
        before, person = services.definition_of(row), person_of(request)
        types = sorted({*_types(request), *([before.task.type] if before.task else ())})
        form = ScheduleForm(request.POST or None, types=types, before=before, version=row.version)
        if request.method == "POST" and form.is_valid():
            read = [form.cleaned_data["version"] or 0]
            change = guards.schedule_change(person, form.changed)
            saved = schedule_actions.saved(
                form, lambda: services.edit_schedule(row.pk, change, actor=person.name, versions=read)
            )
            if saved is not None:
                messages.success(request, f"The schedule {saved.name} was saved.")
                return self.to_page(request, saved)
        return self.render_form(request, _FORM, {"title": f"Edit {row.name}", "form": form, "original": row})

    def preview_new(self, request: HttpRequest) -> HttpResponse:
        """What a form for a new schedule would do."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return preview(request, None) if request.method == "POST" else HttpResponseNotAllowed(["POST"])

    def post_preview(self, request: HttpRequest, row: Schedule) -> HttpResponse:
        """What the form of an edit would do."""
        return preview(request, row)

    def post_pause(self, request: HttpRequest, row: Schedule) -> None:
        schedule_actions.pause(request, [row], reason=reason_of(request))

    def post_resume(self, request: HttpRequest, row: Schedule) -> None:
        schedule_actions.resume(request, [row], reason=reason_of(request))

    def post_enable(self, request: HttpRequest, row: Schedule) -> None:
        schedule_actions.enable(request, row)

    def post_trigger(self, request: HttpRequest, row: Schedule) -> None:
        schedule_actions.trigger(request, row)

    def post_backfill(self, request: HttpRequest, row: Schedule) -> HttpResponse | None:
        form = BackfillForm(request.POST)
        if form.is_valid() and schedule_actions.backfill(request, row, form):
            return None
        context = self.page_context(request, row) | {"backfill_form": form}
        return self.render_page(request, row, context, status=422)

    def post_clone(self, request: HttpRequest, row: Schedule) -> HttpResponse | None:
        made = schedule_actions.clone(request, row)
        return self.to_page(request, made) if made else None

    def post_delete(self, request: HttpRequest, row: Schedule) -> HttpResponse | None:
        if not schedule_actions.delete(request, row, reason=reason_of(request)):
            return None
        history = display.link(_history_url(row.pk), "Its slots")
        messages.success(request, format_html("The schedule {} was deleted. {} and its tasks stay.", row.name, history))
        return self.to_list(request)

    @acts(Action.SCHEDULE_PAUSE, "Pause")
    def pause_selected(self, request: HttpRequest, rows: list[Schedule]) -> None:
        schedule_actions.pause(request, rows)

    @acts(Action.SCHEDULE_RESUME, "Resume")
    def resume_selected(self, request: HttpRequest, rows: list[Schedule]) -> None:
        schedule_actions.resume(request, rows)

    def _offered(self, request: HttpRequest, row: Schedule) -> set[str]:
        """The buttons to show: what the state of the schedule and the person's permissions allow."""
        state = {"pause": row.enabled and not row.paused, "resume": row.paused, "enable": not row.enabled}
        state["preview"] = False  # a part of the form
        return {word for word in self.may_do(request, row) if state.get(word, True)}

    def lead_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A schedule that was deleted still has its ledger."""
        schedule_id = as_uuid(unquote(object_id))
        if schedule_id is not None and ScheduleFire.objects.filter(schedule_id=schedule_id).exists():
            messages.warning(request, "This schedule was deleted. What became of its slots is kept.")
            return HttpResponseRedirect(_history_url(schedule_id))
        return super().lead_on(request, object_id)


def _types(request: HttpRequest) -> list[str]:
    person = person_of(request)
    return [name for name in ScheduleForm.known_types() if person.may(Action.SCHEDULE_CREATE, name)]


def _history_url(schedule_id: Any) -> str:
    return f"{reverse('admin:schedules_app_schedulefire_changelist')}?{display.query(schedule=str(schedule_id))}"
