"""Bulk operations: the list with their progress, the page of one with its buttons, and the form that begins one."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.refusals import InvalidInput, joined
from access_app.rights import Action, Refused
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, person_of, reason_of
from access_app.staff.filters import ChoiceFilter
from tasks_app import acting, tickets
from tasks_app.acting import OperationOver
from tasks_app.acts import RUNS, BulkAction, OperationState
from tasks_app.admin.operation_form import OperationForm, filter_of
from tasks_app.api.operation_inputs import AskedOperation
from tasks_app.api.operation_views import barred_for, try_out
from tasks_app.models import BulkOperation

_TEMPLATE = "admin/tasks_app/bulkoperation/new.html"


class StateFilter(ChoiceFilter):
    title, parameter_name, kind = "state", "state", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in OperationState]


class ActionFilter(ChoiceFilter):
    title, parameter_name, kind = "action", "action", "select"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each, each.capitalize()) for each in BulkAction]


@admin.register(BulkOperation)
class BulkOperationAdmin(StaffAdmin):
    page_template = "admin/tasks_app/bulkoperation/page.html"
    new_label = "Act on many tasks"
    reads = Action.BULK_READ
    creates = Action.BULK_CREATE
    posts = {"stop": Action.BULK_STOP, "resume": Action.BULK_RESUME}
    list_display = ("operation", "badge", "progress", "skipped_tasks", "asked", "begun")
    list_filter = (StateFilter, ActionFilter)

    @admin.display(description="operation")
    def operation(self, row: BulkOperation) -> SafeString:
        return format_html(
            '<span class="ts-task"><span><b>{}</b> <span class="ts-mono ts-dim" title="{}">{}</span></span>'
            '<span class="ts-what ts-mono" title="{}">{}</span></span>',
            does(row),
            row.pk,
            display.short_id(row.pk),
            json.dumps(row.filter),
            json.dumps(row.filter),
        )

    @admin.display(description="state")
    def badge(self, row: BulkOperation) -> SafeString:
        return display.badge(row.state)

    @admin.display(description="progress")
    def progress(self, row: BulkOperation) -> str:
        return f"{row.done:,} of {row.count:,}"

    @admin.display(description="skipped")
    def skipped_tasks(self, row: BulkOperation) -> str:
        return display.number(row.skipped) if row.skipped else display.EMPTY

    @admin.display(description="asked by")
    def asked(self, row: BulkOperation) -> str:
        return row.asked_by

    @admin.display(description="begun")
    def begun(self, row: BulkOperation) -> SafeString | str:
        return display.past(row.created_at)

    def live_seconds(self, row: Any) -> int:
        return 20 if row.finished_at else 2

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            "badge": display.badge(row.state),
            "does": does(row),
            "filter": json.dumps(row.filter, indent=1),
            "bar": display.bar(row.done, row.count),
            "stats": [(name, f"{getattr(row, name.lower()):,}") for name in ("Touched", "Skipped", "Failed")],
            "skips": sorted((why.replace("_", " ").capitalize(), f"{count:,}") for why, count in row.skips.items()),
            "held": len(row.held),
            "stops": row.state == OperationState.RUNNING,
            "resumes": row.state == OperationState.STOPPED,
            "facts": _facts(row),
        }

    def post_stop(self, request: HttpRequest, row: BulkOperation) -> None:
        try:
            done = acting.stop(row.pk, actor=actor_of(request), reason=reason_of(request))
        except OperationOver as error:
            messages.error(request, f"Nothing was done: {error}.")
        else:
            messages.success(request, f"It is stopped, with {done.done:,} tasks behind it.")

    def post_resume(self, request: HttpRequest, row: BulkOperation) -> None:
        barred = barred_for(person_of(request))
        try:
            acting.resume(row.pk, actor=actor_of(request), barred=barred, reason=reason_of(request))
        except OperationOver as error:
            messages.error(request, f"Nothing was done: {error}.")
        else:
            messages.success(request, "It goes on.")

    def new_page(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return self._offered(request)
        form = OperationForm(request.POST)
        asked = form.asked()
        if asked is not None:
            try:
                return self._looked(request, form, asked) if asked.token is None else self._begun(request, form, asked)
            except InvalidInput as error:
                form = form.with_token("", asked.ask.filter)  # look again
                form.show_problems(error.problems)
            except Refused as error:
                form.add_error(None, str(error))
        return self.render_form(request, _TEMPLATE, {"title": self.new_label, "form": form})

    def _offered(self, request: HttpRequest) -> HttpResponse:
        parameters = request.GET.copy()
        parameters.pop("_changelist_filters", None)
        try:
            form = OperationForm.of(filter_of(parameters), parameters.get("action", ""))
        except InvalidInput as error:
            messages.error(request, f"These filters cannot be acted on. {joined(error.problems)}.")
            form = OperationForm.of({})
        return self.render_form(request, _TEMPLATE, {"title": self.new_label, "form": form})

    def _looked(self, request: HttpRequest, form: OperationForm, asked: AskedOperation) -> HttpResponse:
        """What the operation would be about, and the field for the number of tasks."""
        self._require(request, asked)
        found = try_out(asked.ask, person_of(request))
        form = form.with_token(found.token, asked.ask.filter)
        context = {"title": self.new_label, "form": form, "found": found, **_counts(found)}
        return self.render(request, _TEMPLATE, context)

    def _begun(self, request: HttpRequest, form: OperationForm, asked: AskedOperation) -> HttpResponse:
        self._require(request, asked)
        ticket = tickets.read(str(asked.token), asked.ask)
        if not form.confirms(ticket.matched):
            return self.render_form(request, _TEMPLATE, {"title": self.new_label, "form": form})
        row, _ = acting.begin(
            asked.ask,
            str(asked.token),
            actor=actor_of(request),
            barred=barred_for(person_of(request)),
            reason=asked.reason,
            rate=asked.rate,
        )
        messages.success(request, f"It has begun, on {row.count:,} tasks.")
        return self.to_page(request, row)

    def _require(self, request: HttpRequest, asked: AskedOperation) -> None:
        if asked.ask.action in RUNS:
            person_of(request).require(Action.BULK_RUN)


def does(row: BulkOperation) -> str:
    """What is done, in words."""
    if row.action == BulkAction.MOVE:
        return f"Move to {row.queue}"
    return f"Reprioritise to {row.priority}" if row.action == BulkAction.REPRIORITISE else row.action.capitalize()


def _counts(found: acting.DryRun) -> dict[str, Any]:
    return {
        "by_status": [(display.badge(name), f"{count:,}") for name, count in sorted(found.by_status.items())],
        "by_queue": [(name, f"{count:,}") for name, count in found.by_queue.most_common(acting.MOST_QUEUES)],
        "other_queues": max(0, len(found.by_queue) - acting.MOST_QUEUES),
        "samples": [(display.task_link(task.pk), task.type, display.badge(task.status)) for task in found.sample],
    }


def _facts(row: BulkOperation) -> list[tuple[str, Any]]:
    rate = "as fast as leaves room for others" if row.rate_per_second is None else f"{row.rate_per_second:,} a second"
    return [
        ("Id", str(row.pk)),
        ("Asked by", row.asked_by),
        ("Reason", display.text_or_dash(display.words(row.reason))),
        ("Rate", rate),
        ("Begun", display.exact(row.created_at)),
        ("Last piece", display.exact(row.updated_at)),
        ("Over", display.exact(row.finished_at)),
        ("Error", display.text_or_dash(row.error)),
        ("Types left alone", ", ".join(row.barred) or display.EMPTY),
    ]
