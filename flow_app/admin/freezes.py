"""The incident page: one switch for queues, hosts and types, what it is about, and how it is thawed; and past ones."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.refusals import InvalidInput
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, person_of
from access_app.staff.filters import ChoiceFilter
from flow_app import freezes
from flow_app.admin import banner
from flow_app.admin.freeze_forms import FreezeForm, ThawForm
from flow_app.freeze_figures import Affected, measure_frozen
from flow_app.freeze_table import FreezeStatus, of_statuses
from flow_app.freezes import FreezeOver
from flow_app.models import Freeze

_NEW = "admin/flow_app/freeze/new.html"
#: What pages call the statuses: "open" would mean the contrary to somebody in a hurry.
_WORDS = {FreezeStatus.OPEN: "FROZEN", FreezeStatus.THAWING: "THAWING", FreezeStatus.ENDED: "ENDED"}


class StatusFilter(ChoiceFilter):
    title, parameter_name, kind = "status", "status", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, _WORDS[status].capitalize()) for status in FreezeStatus]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(of_statuses([FreezeStatus(value)]))


@admin.register(Freeze)
class FreezeAdmin(StaffAdmin):
    page_template = "admin/flow_app/freeze/page.html"
    new_label = "Freeze"
    reads = Action.FREEZE_READ
    creates = Action.FREEZE_CREATE
    posts = {"thaw": Action.FREEZE_THAW}
    list_display = ("covered", "status", "since", "ends", "by")
    list_filter = (StatusFilter,)

    @admin.display(description="what is frozen")
    def covered(self, row: Freeze) -> SafeString:
        return format_html(
            '<span class="ts-task"><b class="ts-what ts-strong" title="{0}">{0}</b>'
            '<span class="ts-what" title="{1}">{1}</span></span>',
            banner.covered(row),
            display.words(row.reason),
        )

    @admin.display(description="status")
    def status(self, row: Freeze) -> SafeString:
        return display.badge(_WORDS[row.status])

    @admin.display(description="since")
    def since(self, row: Freeze) -> SafeString | str:
        return display.past(row.created_at)

    @admin.display(description="until")
    def ends(self, row: Freeze) -> SafeString | str:
        if row.thawed_at is not None:
            return display.past(row.thawed_at)
        return display.due(row.until) if row.until else "thawed by hand"

    @admin.display(description="by")
    def by(self, row: Freeze) -> str:
        return row.created_by

    def live_seconds(self, row: Any) -> int:
        return 0 if row.status == FreezeStatus.ENDED else 5

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            "title": banner.covered(row),
            "badge": self.status(row),
            "facts": _facts(row),
            "link": request.build_absolute_uri(display.page_url(row)),
            "names": [(kind, ", ".join(names)) for kind, names in row.names.items()],
            "reason": display.words(row.reason),
            "goes_on": row.status != FreezeStatus.ENDED,
            "thawing": row.status == FreezeStatus.THAWING,
            "needs": person_of(request).refusal(Action.FREEZE_THAW),
            "form": ThawForm(row=row) if row.status == FreezeStatus.THAWING else ThawForm(),
            **_counts(measure_frozen(**row.names)),
        }

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = FreezeForm(request.POST) if request.method == "POST" else FreezeForm.asked_for(request.GET)
        context: dict[str, Any] = {"title": "Freeze", "form": form}
        if request.method == "POST" and form.is_valid() and form.read is not None:
            if "look" not in request.POST:
                row, _ = freezes.freeze(form.read, actor=actor_of(request))
                banner.forget()
                messages.success(request, f"Frozen: {banner.covered(row)}. What runs goes on, and nothing else starts.")
                return self.to_page(request, row)
            new = form.read
            context |= _counts(measure_frozen(queues=new.queues, targets=new.targets, types=new.types))
            return self.render(request, _NEW, context)
        return self.render_form(request, _NEW, context)

    def post_thaw(self, request: HttpRequest, row: Freeze) -> HttpResponse | None:
        form = ThawForm(request.POST)
        try:
            thawed = form.is_valid() and _is_thawed(request, row, form)
        except FreezeOver:
            messages.error(request, "Nothing was done: it has ended already.")
            return None
        if not thawed:
            return self.render_page(request, row, {**self.page_context(request, row), "form": form}, status=422)
        banner.forget()
        messages.success(request, "It is thawed: what waited comes back, unless something else holds it.")
        return None


def _is_thawed(request: HttpRequest, row: Freeze, form: ThawForm) -> bool:
    """Whether it is thawed now; if not, the form shows why it was refused. Raises `FreezeOver`."""
    rate, reason = form.changes().get("resumeRate"), form.cleaned_data["reason"]
    try:
        freezes.thaw(row.pk, actor=actor_of(request), reason=reason, rate=rate)
    except InvalidInput as error:
        form.show_problems(error.problems)
    return form.is_valid()


def _facts(row: Freeze) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("Frozen by", row.created_by),
        ("Since", display.exact(row.created_at)),
        ("Until", display.exact(row.until) if row.until else "somebody thaws it"),
    ]
    if row.thawed_at is not None:
        facts += [("Thawed by", row.thawed_by), ("Thawed", display.exact(row.thawed_at))]
    if row.ended_at is not None:
        facts.append(("All back", display.exact(row.ended_at)))
    return facts


def _counts(affected: Affected) -> dict[str, Any]:
    """How many tasks it is about, by status and by queue."""
    more = "at least " if affected.at_least else ""
    return {
        "affected": {
            "statuses": [(status, f"{more}{count:,}") for status, count in sorted(affected.by_status.items())],
            "queues": [(name, f"{more}{count:,}") for name, count in list(affected.by_queue.items())[:20]],
            "none": f"{more}none".strip() if not affected.by_status else "",
        }
    }
