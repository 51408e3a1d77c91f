"""Queues: paused or not, limited or not, what waits and runs in each, and the buttons that change that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts, person_of
from access_app.staff.form_fields import UtcInstant, field_text
from access_app.texts import MAX_REASON, problem_of_reason
from flow_app import queues
from flow_app.models import MOST_CONCURRENT, Queue
from flow_app.queues import MOST_COUNTED, add_queue, counts
from tasks_app.fields import QUEUE_NAME


class PauseForm(forms.Form):
    """Why and for how long a queue is paused."""

    reason = forms.CharField(required=False, strip=True, widget=forms.TextInput(attrs={"maxlength": MAX_REASON}))
    until = UtcInstant(label="Until (UTC)", required=False, help_text="Empty: until somebody resumes it.")

    @classmethod
    def of(cls, queue: Queue) -> PauseForm:
        """The form as it is offered: with the pause there is, if there is one."""
        if not queue.is_paused:
            return cls()
        return cls(initial={"reason": display.words(queue.pause_reason), "until": field_text(queue.paused_until)})

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if problem := problem_of_reason(reason):
            raise forms.ValidationError(f"This {problem}.")
        return reason

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and until <= datetime.now(UTC):
            raise forms.ValidationError("This is in the past.")
        return until


class LimitForm(forms.Form):
    """How many tasks of a queue may be assigned or running."""

    most = forms.IntegerField(
        label="At most",
        required=False,
        min_value=0,
        max_value=MOST_CONCURRENT,
        help_text="Tasks assigned or running at once. 0 closes the queue, empty: no limit.",
    )

    @classmethod
    def of(cls, queue: Queue) -> LimitForm:
        """The form as it is offered."""
        return cls(initial={"most": queue.max_concurrency})


class NewQueueForm(PauseForm):
    """A queue needs no row to be used; one is for pausing it, before its first task if need be: by who may pause it."""

    name = forms.CharField(max_length=100)
    paused = forms.BooleanField(label="Pause it now", required=False, initial=True)
    field_order = ["name", "paused", "reason", "until"]

    def __init__(self, data: Any = None, *, may_pause: bool) -> None:
        super().__init__(data)
        if not may_pause:
            for name in ("paused", "reason", "until"):
                del self.fields[name]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not QUEUE_NAME.fullmatch(name):
            raise forms.ValidationError("Use 1 to 100 characters of A-Z a-z 0-9 . _ : -")
        return name


@admin.register(Queue)
class QueueAdmin(StaffAdmin):
    page_template = "admin/flow_app/queue/page.html"
    new_label = "New queue"
    reads = Action.QUEUE_READ
    creates = Action.QUEUE_CREATE
    posts = {"pause": Action.QUEUE_PAUSE, "resume": Action.QUEUE_RESUME, "edit": Action.QUEUE_EDIT}
    list_display = ("queue_name", "state", "waiting", "owned", "most", "why", "until", "by")
    search_fields = ("name",)
    search_help_text = "Part of the name"
    actions = ("pause_selected", "resume_selected")

    def prepare(self, rows: list[Any]) -> None:
        counted = counts([queue.name for queue in rows])
        for queue in rows:
            queue.waiting_count, queue.owned_count = counted[queue.name]

    @admin.display(description="queue")
    def queue_name(self, queue: Queue) -> SafeString:
        return format_html("<b>{}</b>", queue.name)

    @admin.display(description="state")
    def state(self, queue: Queue) -> SafeString:
        return display.badge(state_of(queue))

    @admin.display(description="waiting")
    def waiting(self, queue: Any) -> str:
        return display.number(queue.waiting_count, at_most=MOST_COUNTED)

    @admin.display(description="assigned or running")
    def owned(self, queue: Any) -> str:
        return display.number(queue.owned_count)

    @admin.display(description="at most")
    def most(self, queue: Queue) -> str:
        return display.EMPTY if queue.max_concurrency is None else display.number(queue.max_concurrency)

    @admin.display(description="reason")
    def why(self, queue: Queue) -> SafeString:
        return format_html('<span class="ts-cut" title="{}">{}</span>', *[display.words(queue.pause_reason)] * 2)

    @admin.display(description="until")
    def until(self, queue: Queue) -> SafeString | str:
        if queue.paused_at is None:
            return display.EMPTY
        return display.instant(queue.paused_until) if queue.paused_until else "resumed by hand"

    @admin.display(description="paused by")
    def by(self, queue: Queue) -> str:
        return display.text_or_dash(queue.paused_by)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return queue_context(row)

    def new_page(self, request: HttpRequest) -> HttpResponse:
        form = NewQueueForm(request.POST or None, may_pause=person_of(request).may(Action.QUEUE_PAUSE))
        if request.method == "POST" and form.is_valid():
            name, actor = form.cleaned_data["name"], actor_of(request)
            if form.cleaned_data.get("paused"):
                queue = queues.pause_queue(
                    name, actor=actor, reason=form.cleaned_data["reason"], until=form.cleaned_data["until"]
                )
            else:
                queue = add_queue(name, actor=actor)
            messages.success(request, f"The queue {name} is {'paused' if queue.is_paused else 'listed'} now.")
            return self.to_page(request, queue)
        return self.render_form(request, "admin/flow_app/queue/new.html", {"title": "New queue", "form": form})

    def post_pause(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        form = PauseForm(request.POST)
        if not form.is_valid():
            return self.render_page(request, row, {**queue_context(row), "form": form}, status=422)
        until = form.cleaned_data["until"]
        if row.is_paused and field_text(until) == field_text(row.paused_until):
            until = row.paused_until  # the field has whole seconds only
        queues.pause_queue(row.name, actor=actor_of(request), reason=form.cleaned_data["reason"], until=until)
        messages.success(
            request, f"The queue {row.name} is paused. Running tasks go on; assigned ones were taken back."
        )
        return None

    def post_resume(self, request: HttpRequest, row: Queue) -> None:
        queues.resume_queue(row.name, actor=actor_of(request))
        messages.success(request, f"The queue {row.name} is open.")

    def post_edit(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        form = LimitForm(request.POST)
        if not form.is_valid():
            return self.render_page(request, row, {**queue_context(row), "limit_form": form}, status=422)
        most = form.cleaned_data["most"]
        queues.limit_queue(row.name, most, actor=actor_of(request))
        said = "without a limit" if most is None else f"limited to {most:,}" if most else "closed"
        messages.success(request, f"The queue {row.name} is {said}.")
        return None

    @acts(Action.QUEUE_PAUSE, "Pause")
    def pause_selected(self, request: HttpRequest, rows: list[Queue]) -> None:
        waiting = [queue.name for queue in rows if not queue.is_paused]
        for name in waiting:
            queues.pause_queue(name, actor=actor_of(request))
        _show_count(request, "paused", waiting, len(rows) - len(waiting))

    @acts(Action.QUEUE_RESUME, "Resume")
    def resume_selected(self, request: HttpRequest, rows: list[Queue]) -> None:
        paused = [queue.name for queue in rows if queue.paused_at is not None]
        for name in paused:
            queues.resume_queue(name, actor=actor_of(request))
        _show_count(request, "resumed", paused, len(rows) - len(paused))


def queue_context(queue: Queue) -> dict[str, Any]:
    waiting, owned = counts([queue.name])[queue.name]
    return {
        "badge": display.badge(state_of(queue)),
        "paused": queue.is_paused,
        "waiting": display.number(waiting, at_most=MOST_COUNTED),
        "owned": display.number(owned),
        "paused_since": display.exact(queue.paused_at),
        "pause_reason": display.words(queue.pause_reason),
        "until": display.exact(queue.paused_until) if queue.paused_until else "",
        "most": None if queue.max_concurrency is None else display.number(queue.max_concurrency),
        "form": PauseForm.of(queue),
        "limit_form": LimitForm.of(queue),
        "tasks": display.query(queue=queue.name),
    }


def state_of(queue: Queue) -> str:
    return "PAUSED" if queue.is_paused else "OPEN"


def _show_count(request: HttpRequest, word: str, names: list[str], others: int) -> None:
    text = f"{len(names)} queue{'' if len(names) == 1 else 's'} {word}"
    text += f": {', '.join(names)}." if names else "."
    if others:
        text += f" {others} already {'were' if others > 1 else 'was'}."
    messages.add_message(request, messages.SUCCESS if names else messages.WARNING, text)
