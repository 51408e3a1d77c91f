"""Queues: what may be done to one or many of them. What is shown of them is in `queue_list` and `queue_page`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse

from access_app.refusals import InvalidInput
from access_app.rights import Action
from access_app.staff.base import actor_of, acts, person_of
from access_app.staff.form_fields import field_text
from access_app.versions import Stale
from flow_app import queues
from flow_app.admin.key_actions import key_form, save_key, unset_key
from flow_app.admin.queue_forms import NewQueueForm, PauseForm, QueueRulesForm, ResumeForm
from flow_app.admin.queue_list import QueueList
from flow_app.admin.queue_page import queue_context
from flow_app.models import Queue
from flow_app.queues import add_queue


@admin.register(Queue)
class QueueAdmin(QueueList):
    page_template = "admin/flow_app/queue/page.html"
    new_label = "New queue"
    reads = Action.QUEUE_READ
    creates = Action.QUEUE_CREATE
    posts = {
        "pause": Action.QUEUE_PAUSE,
        "resume": Action.QUEUE_RESUME,
        "edit": Action.QUEUE_EDIT,
        "unset_key": Action.QUEUE_EDIT,
    }
    forms = {"key": Action.QUEUE_EDIT}
    actions = ("pause_selected", "resume_selected")

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return queue_context(request, row)

    def live_seconds(self, row: Any) -> int:
        return 5

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
            return self.render_page(request, row, {**queue_context(request, row), "form": form}, status=422)
        until = form.cleaned_data["until"]
        if row.is_paused and field_text(until) == field_text(row.paused_until):
            until = row.paused_until  # the field has whole seconds only
        queues.pause_queue(row.name, actor=actor_of(request), reason=form.cleaned_data["reason"], until=until)
        messages.success(
            request, f"The queue {row.name} is paused. Running tasks go on; assigned ones were taken back."
        )
        return None

    def post_resume(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        if not row.version:
            messages.warning(request, f"Nobody has paused the queue {row.name}.")
            return None
        form = ResumeForm(request.POST)
        if not (form.is_valid() and _resumed(form, row.name, actor_of(request))):
            return self.render_page(request, row, {**queue_context(request, row), "resume_form": form}, status=422)
        messages.success(request, f"The queue {row.name} is open.")
        return None

    def post_edit(self, request: HttpRequest, row: Queue) -> HttpResponse | None:
        form = QueueRulesForm(request.POST)
        if not (form.is_valid() and _saved(form, row.name, actor_of(request))):
            return self.render_page(request, row, {**queue_context(request, row), "rules_form": form}, status=422)
        messages.success(request, f"The rules of the queue {row.name} are saved.")
        return None

    def form_key(self, request: HttpRequest, row: Queue) -> HttpResponse:
        form = key_form(request, row)
        if request.method == "POST" and save_key(request, row, form):
            return self.to_page(request, row)
        context = {"title": f"A key of {row.name}", "form": form, "original": row}
        return self.render_form(request, "admin/flow_app/queue/key.html", context)

    def post_unset_key(self, request: HttpRequest, row: Queue) -> None:
        unset_key(request, row)

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


def _saved(form: QueueRulesForm, name: str, actor: str) -> bool:
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


def _show_count(request: HttpRequest, word: str, names: list[str], others: int) -> None:
    text = f"{len(names)} queue{'' if len(names) == 1 else 's'} {word}"
    text += f": {', '.join(names)}." if names else "."
    if others:
        text += f" {others} already {'were' if others > 1 else 'was'}."
    messages.add_message(request, messages.SUCCESS if names else messages.WARNING, text)
