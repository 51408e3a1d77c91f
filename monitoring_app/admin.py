"""Marks in the admin: the list, the form that sets one, and a button that takes it away."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.refusals import InvalidInput
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of
from access_app.staff.form_fields import UtcInstant
from access_app.texts import MAX_NAME
from monitoring_app import marks
from monitoring_app.models import Mark


class MarkForm(forms.Form):
    """A new mark."""

    name = forms.CharField(strip=True, max_length=MAX_NAME, help_text="What happened: deploy 1.42.")
    at = UtcInstant(label="When (UTC)", required=False, help_text="Empty: now.")

    def save(self, *, actor: str) -> tuple[Mark, bool] | None:
        """The mark, and whether it is new. None: it was refused, which the form now shows."""
        if not self.is_valid():
            return None
        at = self.cleaned_data["at"]
        try:
            return marks.set_mark(self.cleaned_data["name"], at, actor=actor)
        except InvalidInput as error:
            for name, problem in error.problems.items():
                self.add_error(name, problem)
        return None


@admin.register(Mark)
class MarkAdmin(StaffAdmin):
    page_template = "admin/monitoring_app/mark/page.html"
    new_label = "Set a mark"
    reads = Action.MARK_READ
    creates = Action.MARK_CREATE
    posts = {"delete": Action.MARK_DELETE}
    list_display = ("mark_name", "happened", "who")
    search_fields = ("name",)
    search_help_text = "Part of the name"
    ordering = ("-at", "-id")

    @admin.display(description="mark")
    def mark_name(self, row: Mark) -> SafeString:
        return format_html('<b class="ts-cut ts-strong" title="{0}">{0}</b>', display.words(row.name))

    @admin.display(description="when")
    def happened(self, row: Mark) -> str:
        return display.exact(row.at)

    @admin.display(description="set by")
    def who(self, row: Mark) -> str:
        return row.created_by

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        facts = [
            ("When", display.exact(row.at)),
            ("Set by", row.created_by),
            ("Set", display.exact(row.created_at)),
            ("Id", str(row.pk)),
        ]
        return {"title": display.words(row.name), "facts": facts}

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = MarkForm(request.POST or None)
        if request.method == "POST" and (done := form.save(actor=actor_of(request))):
            mark, made = done
            messages.success(request, "The mark is set." if made else "That mark was there already.")
            return self.to_page(request, mark)
        return self.render_form(request, "admin/monitoring_app/mark/new.html", {"title": self.new_label, "form": form})

    def post_delete(self, request: HttpRequest, row: Mark) -> HttpResponse:
        try:
            marks.delete_mark(row.pk, actor=actor_of(request))
        except marks.MarkNotFound:
            messages.warning(request, "Somebody has taken it away meanwhile.")
        else:
            messages.success(request, "The mark is gone.")
        return self.to_list(request)
