"""Queues: paused or not, their rules, what waits and runs in each, and the buttons that change that."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.refusals import InvalidInput
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts, person_of
from access_app.staff.form_fields import field_text
from access_app.versions import Stale
from flow_app import queues
from flow_app.admin.queue_forms import NewQueueForm, PauseForm, ResumeForm, RulesForm
from flow_app.models import Queue
from flow_app.queues import MOST_COUNTED, add_queue, counts


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

    def post_resume(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        form = ResumeForm(request.POST)
        if not (form.is_valid() and _resumed(form, row.name, actor_of(request))):
            return self.render_page(request, row, {**queue_context(row), "resume_form": form}, status=422)
        messages.success(request, f"The queue {row.name} is open.")
        return None

    def post_edit(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        form = RulesForm(request.POST)
        if not (form.is_valid() and _saved(form, row.name, actor_of(request))):
            return self.render_page(request, row, {**queue_context(row), "rules_form": form}, status=422)
        messages.success(request, f"The rules of the queue {row.name} are saved.")
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
        "rules_form": RulesForm(queue=queue),
        "resume_form": ResumeForm(),
        "thawing": f"{queue.thaw_limit:,} in {queue.thaw_period:,} s" if queue.thaw_limit else "",
        "tasks": display.query(queue=queue.name),
    }


def _saved(form: RulesForm, name: str, actor: str) -> bool:
    """Whether the rules were saved. What was refused, the form now shows."""
    try:
        queues.edit_queue(name, form.changes(), actor=actor, versions=[form.cleaned_data["version"] or 0])
    except InvalidInput as error:
        form.show_problems(error.problems)
    except Stale as error:
        form.add_error(
            None,
            f"Somebody changed this queue while you were editing it: it is at version {error.version} now."
            " Nothing was saved. Open it anew to see what is there.",
        )
    return form.is_valid()


def _resumed(form: ResumeForm, name: str, actor: str) -> bool:
    """Whether the queue was resumed. What was refused, the form now shows."""
    try:
        queues.resume_queue(name, actor=actor, rate=form.changes()["resumeRate"])
    except InvalidInput as error:
        form.show_problems(error.problems)
    return form.is_valid()


def state_of(queue: Queue) -> str:
    return "PAUSED" if queue.is_paused else "OPEN"


def _show_count(request: HttpRequest, word: str, names: list[str], others: int) -> None:
    text = f"{len(names)} queue{'' if len(names) == 1 else 's'} {word}"
    text += f": {', '.join(names)}." if names else "."
    if others:
        text += f" {others} already {'were' if others > 1 else 'was'}."
    messages.add_message(request, messages.SUCCESS if names else messages.WARNING, text)
