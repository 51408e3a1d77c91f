"""What the form and the buttons of a queue's keys do: one call of `queue_keys` each, and what came of it in words."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

from access_app.refusals import InvalidInput
from access_app.staff.base import actor_of
from access_app.versions import Stale
from flow_app import queue_keys
from flow_app.admin.queue_forms import KeyForm
from flow_app.models import Queue, QueueKey
from flow_app.queue_keys import KEY, KeyNotFound


def key_form(request: HttpRequest, queue: Queue) -> KeyForm:
    """The form for a key, as it was sent, or as it is offered for the key that the address names."""
    if request.method == "POST":
        return KeyForm(request.POST)
    key = request.GET.get("key", "")
    return KeyForm.of(key, _row(queue, key))


def _row(queue: Queue, key: str) -> QueueKey | None:
    return queue_keys.keys_of(queue.name).filter(key=key).first() if key else None


def save_key(request: HttpRequest, queue: Queue, form: KeyForm) -> bool:
    """Whether what a form says holds now. What was refused, the form now shows."""
    if not form.is_valid():
        return False
    key, read = form.cleaned_data["key"], form.cleaned_data["version"] or 0
    try:
        queue_keys.set_key(queue.name, key, form.value(), actor=actor_of(request), versions=[read])
    except InvalidInput as error:
        form.show_problems(error.problems)
    except Stale as error:
        there = f"it is at version {error.version} now" if error.version else "it is as usual now"
        form.add_error(
            None, f"Somebody changed this key meanwhile: {there}. Nothing was saved. Open it anew to see what is there."
        )
    if form.is_valid():
        messages.success(request, f"The key {_brief(key)} of the queue {queue.name} is saved.")
    return form.is_valid()


def unset_key(request: HttpRequest, queue: Queue) -> None:
    """Let the key that was shown be as usual again: one that was changed meanwhile is left alone."""
    key, version = request.POST.get("key", ""), request.POST.get("version", "")
    versions = [int(version)] if version.isascii() and version.isdigit() else []
    try:
        queue_keys.delete_key(queue.name, KEY.read(key), actor=actor_of(request), versions=versions)
    except (Stale, KeyNotFound, ValueError):
        messages.error(request, "Nothing was done: the key has changed since you looked.")
    else:
        messages.success(request, f"The key {_brief(key)} of the queue {queue.name} is as usual again.")


def _brief(key: str) -> str:
    return key if len(key) <= 60 else f"{key[:60]}…"
