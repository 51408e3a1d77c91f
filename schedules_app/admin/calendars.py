"""Blackout calendars: the list, the page of one with the schedules that name it, and the form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from django import forms
from django.contrib import admin, messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action, Refused
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, person_of
from access_app.staff.form_fields import JsonText
from access_app.versions import Stale
from schedules_app import calendar_services, guards
from schedules_app.admin.schedule_form import zone_names
from schedules_app.calendar_services import CalendarInUse, CalendarNotFound, NewCalendar
from schedules_app.calendars import InvalidCalendar, OnBlackout, parse_calendar
from schedules_app.models import BlackoutCalendar, Schedule
from schedules_app.services import NameTaken

MOST_SCHEDULES: Final = 20
_FORM: Final = "admin/schedules_app/blackoutcalendar/form.html"
#: Fields of the JSON API, by the names they have in this form; what lies in ``ranges`` says where.
_FIELDS: Final = {
    "name": "name",
    "description": "description",
    "timezone": "timezone",
    "onBlackout": "on_blackout",
    "ranges": "ranges",
}
_DOES: Final = {OnBlackout.SKIP: "skipped", OnBlackout.RUN_AT_END: "run once at the end"}
# How many schedules name each of some calendars.
_USERS: Final = """
SELECT used.name, count(*) FROM schedules CROSS JOIN unnest(calendars) AS used(name)
 WHERE calendars && %(names)s::text[] AND used.name = ANY(%(names)s) GROUP BY used.name
"""
T = TypeVar("T")


class CalendarForm(forms.Form):
    """A calendar. Of an edit, the name stays."""

    name = forms.CharField(max_length=100, help_text="A-Z a-z 0-9 . _ : -")
    description = forms.CharField(required=False, max_length=2000)
    timezone = forms.CharField(
        label="Time zone",
        initial="UTC",
        help_text="Whose clock weekly and yearly ranges are on.",
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false"}),
    )
    on_blackout = forms.ChoiceField(label="Slots that fall in are", choices=list(_DOES.items()))
    ranges = JsonText(
        max_length=50_000, strip=False, widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}), initial="[]"
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, before: BlackoutCalendar | None = None) -> None:
        super().__init__(data)
        if before is not None:
            del self.fields["name"]
            columns = {name: getattr(before, name) for name in ("description", "timezone", "on_blackout", "version")}
            self.initial = {**columns, "ranges": ranges_text(before.ranges)}

    zones = staticmethod(zone_names)

    def columns(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in _FIELDS.values() if name in self.fields}


@admin.register(BlackoutCalendar)
class BlackoutCalendarAdmin(StaffAdmin):
    page_template = "admin/schedules_app/blackoutcalendar/page.html"
    new_label = "New calendar"
    reads = Action.CALENDAR_READ
    creates = Action.CALENDAR_CREATE
    posts = {"delete": Action.CALENDAR_DELETE}
    forms = {"edit": Action.CALENDAR_EDIT}
    list_display = ("calendar", "now", "does", "ranges_shown", "zone", "used_by")
    search_fields = ("name",)
    search_help_text = "Part of the name"

    def task_types(self, row: BlackoutCalendar) -> list[str]:
        return calendar_services.types_held_by(row.name)

    def prepare(self, rows: list[Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_USERS, {"names": [row.name for row in rows]})
            users = dict(cursor.fetchall())
        for row in rows:
            row.users = users.get(row.name, 0)

    @admin.display(description="calendar")
    def calendar(self, row: BlackoutCalendar) -> SafeString:
        return format_html(
            '<span class="ts-task"><b class="ts-name">{}</b><span class="ts-what">{}</span></span>',
            row.name,
            row.description,
        )

    @admin.display(description="now")
    def now(self, row: BlackoutCalendar) -> SafeString:
        return state_badge(row)

    @admin.display(description="slots inside")
    def does(self, row: BlackoutCalendar) -> str:
        return _DOES.get(OnBlackout(row.on_blackout), row.on_blackout)

    @admin.display(description="ranges")
    def ranges_shown(self, row: BlackoutCalendar) -> SafeString:
        text = "; ".join(words_of(each) for each in row.ranges)
        return format_html('<span class="ts-cut" title="{}">{}</span>', text, text)

    @admin.display(description="time zone")
    def zone(self, row: BlackoutCalendar) -> str:
        return row.timezone

    @admin.display(description="schedules")
    def used_by(self, row: Any) -> str:
        return display.number(row.users)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        sees_users = person_of(request).may(Action.SCHEDULE_READ)
        named = Schedule.objects.filter(calendars__contains=[row.name]).only("name")
        users = list(named[: MOST_SCHEDULES + 1]) if sees_users else []
        listed = f"{reverse('admin:schedules_app_schedule_changelist')}?{display.query(calendar=row.name)}"
        return {
            "badge": state_badge(row),
            "ranges": [words_of(each) for each in row.ranges],
            "users": [display.link(display.page_url(user), user.name) for user in users[:MOST_SCHEDULES]],
            "all_users": listed if len(users) > MOST_SCHEDULES else "",
            "sees_users": sees_users,
            "facts": [
                ("Slots inside are", _DOES.get(OnBlackout(row.on_blackout), row.on_blackout)),
                ("Time zone", row.timezone),
                ("Description", display.text_or_dash(row.description)),
                ("Created by", row.created_by),
                ("Changed", display.exact(row.updated_at)),
                ("Version", str(row.version)),
            ],
        }

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = CalendarForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            new = NewCalendar(**form.columns())
            made = _saved(form, lambda: calendar_services.create_calendar(new, created_by=actor_of(request)))
            if made is not None:
                messages.success(request, f"The calendar {made.name} was created. Schedules can name it now.")
                return self.to_page(request, made)
        return self.render_form(request, _FORM, {"title": "New blackout calendar", "form": form})

    def form_edit(self, request: HttpRequest, row: BlackoutCalendar) -> HttpResponse:
        form, person = CalendarForm(request.POST or None, before=row), person_of(request)
        if request.method == "POST" and form.is_valid():
            read = [form.cleaned_data["version"] or 0]
            change = guards.calendar_change(person, lambda before: replace(before, **form.columns()))
            saved = _saved(
                form,
                lambda: calendar_services.edit_calendar(row.name, change, actor=person.name, versions=read),
            )
            if saved is not None:
                messages.success(request, f"The calendar {saved.name} was saved, and holds from now on.")
                return self.to_page(request, saved)
        context = {"title": f"Edit {row.name}", "form": form, "original": row}
        return self.render_form(request, _FORM, context)

    def post_delete(self, request: HttpRequest, row: BlackoutCalendar) -> HttpResponse | None:
        version = request.POST.get("version", "")
        versions = [int(version)] if version.isascii() and version.isdigit() else []
        try:
            calendar_services.delete_calendar(row.name, actor=actor_of(request), versions=versions)
        except CalendarInUse as error:
            messages.error(request, f"Nothing was done: {error}.")
            return None
        except (Stale, CalendarNotFound):
            messages.error(request, "Nothing was done: the calendar has changed since you looked.")
            return None
        messages.success(request, f"The calendar {row.name} was deleted.")
        return self.to_list(request)


def state_badge(row: BlackoutCalendar) -> SafeString:
    """Is a schedule that names it held back now, and until when."""
    try:
        known = parse_calendar(row.name, row.timezone, row.on_blackout, row.ranges)
    except InvalidCalendar:  # this host does not know its zone
        return format_html('<span class="ts-badge ts-red">UNREADABLE</span>')
    until = known.covering(timezone.now())
    if until is None:
        return display.badge("OPEN")
    return format_html('<span class="ts-badge ts-orange" title="until {}">BLACKOUT</span>', display.exact(until))


def words_of(each: Mapping[str, Any]) -> str:
    """A range as one reads it."""
    if "dates" in each:
        first, _, last = str(each["dates"]).partition("/")
        return f"every year {first} to {last}" if last else f"every year {first}"
    if "weekdays" in each:
        days = ", ".join(str(day).capitalize() for day in each["weekdays"])
        over_night = " of the next day" if each["to"] <= each["from"] else ""
        return f"{days} from {each['from']} to {each['to']}{over_night}"
    return f"{each['from']} to {each['to']}"


def ranges_text(ranges: list[Any]) -> str:
    """JSON with one range on each line."""
    return "[\n" + ",\n".join(f"  {json.dumps(each, ensure_ascii=False)}" for each in ranges) + "\n]"


def _saved(form: CalendarForm, save: Callable[[], T]) -> T | None:
    """What was saved; None when it was refused, which the form now shows."""
    try:
        return save()
    except InvalidCalendar as error:
        for path_, problem in error.problems.items():
            inside = path_.startswith("ranges[")
            form.add_error("ranges" if inside else _FIELDS[path_], f"{path_} {problem}" if inside else problem)
    except NameTaken as error:
        form.add_error("name", f"{str(error).capitalize()}.")
    except Stale as error:
        form.add_error(
            None,
            f"Somebody changed this calendar while you were editing it: it is at version {error.version} now."
            " Nothing was saved. Open it anew to see what is there.",
        )
    except CalendarNotFound:
        form.add_error(None, "Somebody deleted this calendar while you were editing it. Nothing was saved.")
    except Refused as error:
        form.add_error(None, f"Nothing was saved. {error}")
    return None
