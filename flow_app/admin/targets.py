"""Targets: hosts that tasks call and that have rules, what calls and waits for them, and the forms to change that."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts
from access_app.versions import Stale, Versions
from flow_app import targets
from flow_app.admin import shown
from flow_app.admin.target_form import RULES, NewTargetForm, TargetForm
from flow_app.figures import MOST_BEHIND, TargetFigures, measure_targets, tokens_of_target
from flow_app.models import Target


@admin.register(Target)
class TargetAdmin(StaffAdmin):
    page_template = "admin/flow_app/target/page.html"
    new_label = "New target"
    reads = Action.TARGET_READ
    creates = Action.TARGET_EDIT
    posts = {"edit": Action.TARGET_EDIT, "delete": Action.TARGET_EDIT}
    list_display = ("host_name", "state", "back_at", "owned", "waiting", "respects")
    search_fields = ("host",)
    search_help_text = "Part of the host"
    actions = ("forget_selected",)

    def prepare(self, rows: list[Any]) -> None:
        measured = measure_targets([target.host for target in rows])
        for target in rows:
            target.found = measured[target.host]

    @admin.display(description="host")
    def host_name(self, target: Target) -> SafeString:
        about = " · ".join(shown.rules_in_words(target, RULES))
        return format_html(
            '<span class="ts-task"><b class="ts-what ts-strong" title="{0}">{0}</b>'
            '<span class="ts-what" title="{1}">{1}</span></span>',
            target.host,
            about,
        )

    @admin.display(description="state")
    def state(self, target: Target) -> SafeString:
        return display.badge(state_of(target))

    @admin.display(description="backing off until")
    def back_at(self, target: Target) -> SafeString | str:
        return display.due(target.backing_off_until) if target.is_backing_off else display.EMPTY

    @admin.display(description="running")
    def owned(self, target: Any) -> SafeString | str:
        """Assigned or running, of as many as may be."""
        return load_of(target, target.found)

    @admin.display(description="waiting behind it")
    def waiting(self, target: Any) -> str:
        return display.number(target.found.waiting, at_most=MOST_BEHIND)

    @admin.display(description="Retry-After")
    def respects(self, target: Target) -> str:
        return "respected" if target.respect_retry_after else "ignored"

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        found = measure_targets([row.host])[row.host]
        facts = [*shown.facts_of_rules(row, RULES), ("Retry-After", self.respects(row)), ("Version", str(row.version))]
        return {
            "badge": self.state(row),
            "until": display.exact(row.backing_off_until) if row.is_backing_off else "",
            "owned": load_of(row, found),
            "waiting": display.number(found.waiting, at_most=MOST_BEHIND),
            "facts": facts,
            "tokens": [(f"{each.tokens:,}", display.due(each.next_at)) for each in tokens_of_target(row.host)],
            "form": TargetForm(row=row),
        }

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = NewTargetForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            target = form.save(form.cleaned_data["host"], actor=actor_of(request))
            if target is not None:
                messages.success(request, f"The rules of {target.host} hold from now on.")
                return self.to_page(request, target)
        return self.render_form(request, "admin/flow_app/target/new.html", {"title": "New target", "form": form})

    def post_edit(self, request: HttpRequest, row: Target) -> HttpResponse | None:
        form = TargetForm(request.POST)
        if form.save(row.host, actor=actor_of(request)) is None:
            return self.render_page(request, row, {**self.page_context(request, row), "form": form}, status=422)
        messages.success(request, f"The rules of {row.host} are saved.")
        return None

    def post_delete(self, request: HttpRequest, row: Target) -> HttpResponse | None:
        version = request.POST.get("version", "")
        if not _forgotten(request, row, [int(version)] if version.isascii() and version.isdigit() else []):
            messages.error(request, f"Nothing was done: the rules of {row.host} have changed since you looked.")
            return None
        messages.success(request, f"{row.host} has no rules any more.")
        return self.to_list(request)

    @acts(Action.TARGET_EDIT, "Forget the rules")
    def forget_selected(self, request: HttpRequest, rows: list[Target]) -> None:
        done = [row.host for row in rows if _forgotten(request, row, [row.version])]
        text = f"{len(done)} target{'' if len(done) == 1 else 's'} forgotten: {', '.join(done) or 'none'}."
        messages.add_message(request, messages.SUCCESS if len(done) == len(rows) else messages.WARNING, text)


def state_of(target: Target) -> str:
    if target.is_backing_off:
        return "BACKING_OFF"
    return "CLOSED" if target.max_concurrency == 0 else "OPEN"


def load_of(target: Target, found: TargetFigures) -> SafeString | str:
    """What is assigned or running, of as much as may be."""
    if target.max_concurrency is None:
        return display.number(found.owned)
    return display.bar(found.owned, target.max_concurrency)


def _forgotten(request: HttpRequest, row: Target, versions: Versions) -> bool:
    """Whether the rules that were seen are gone; those that somebody changed meanwhile are left alone."""
    try:
        targets.delete_target(row.host, actor=actor_of(request), versions=versions)
    except (Stale, Target.DoesNotExist):
        return False
    return True
