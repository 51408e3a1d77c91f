"""The form for a new task. ``new_tasks.check_task`` decides what is right; its problems are shown on the fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms

from access_app.staff.form_fields import JsonText, UtcInstant
from tasks_app import services
from tasks_app.executors.registry import documented_types, executors
from tasks_app.models import Task
from tasks_app.new_tasks import DEFAULT_TIMEOUT_MS, MAX_PAYLOAD_BYTES, InvalidTask, NewTask
from tasks_app.states import OnWorkerLost

#: Fields of the JSON API, by the names they have in this form.
_FIELDS = {
    "type": "type",
    "payload": "payload",
    "queue": "queue",
    "priority": "priority",
    "scheduleAt": "schedule_at",
    "expiresAt": "expires_at",
    "maxRetries": "max_retries",
    "timeoutMs": "timeout_ms",
    "concurrencyKey": "concurrency_key",
    "correlationId": "correlation_id",
    "onWorkerLost": "on_worker_lost",
}


class TaskForm(forms.Form):
    """A task but for its times, with the defaults of the API."""

    type = forms.ChoiceField()
    payload = JsonText(
        initial="{}",
        required=False,
        strip=False,
        max_length=MAX_PAYLOAD_BYTES,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
    )
    queue = forms.CharField(initial="default", max_length=100)
    priority = forms.IntegerField(initial=0, help_text="-100 to 100; higher starts first.")
    max_retries = forms.IntegerField(required=False, help_text="Empty: the default of this installation.")
    timeout_ms = forms.IntegerField(label="Time-out (ms)", initial=DEFAULT_TIMEOUT_MS)
    concurrency_key = forms.CharField(required=False, help_text="One task per queue and key runs at a time.")
    correlation_id = forms.CharField(required=False, help_text="Empty: made up.")
    on_worker_lost = forms.ChoiceField(
        label="If its worker is lost",
        choices=[(OnWorkerLost.RETRY, "run it again"), (OnWorkerLost.FAIL, "fail it (at most once)")],
    )

    def __init__(self, data: Any = None, *, types: Iterable[str]) -> None:
        super().__init__(data)
        self._types = list(types)
        choice = self.fields["type"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(name, name) for name in self._types]

    @property
    def examples(self) -> dict[str, str]:
        """A payload to begin with, for the types that may be chosen and that say one."""
        documented = documented_types()
        return {name: json.dumps(documented[name].example) for name in self._types if name in documented}

    @staticmethod
    def known_types() -> list[str]:
        return sorted(executors())


class NewTaskForm(TaskForm):
    """What somebody may ask for."""

    schedule_at = UtcInstant(label="Schedule at (UTC)", required=False, help_text="Empty: now.")
    expires_at = UtcInstant(label="Expires at (UTC)", required=False, help_text="Not started by then, it fails.")
    field_order = ["type", "payload", "queue", "priority", "schedule_at", "expires_at"]


def create_from(form: NewTaskForm, *, created_by: str) -> Task | None:
    """Create what a valid form asks for; None when the checks found something, which the form now shows."""
    try:
        return services.create_task(NewTask(**asked_for(form)), created_by=created_by).task
    except InvalidTask as error:
        show_problems(form, error.problems)
        return None


def asked_for(form: TaskForm) -> dict[str, Any]:
    """The attributes of a `NewTask` that were filled in; the rest is for the defaults."""
    values = {name: form.cleaned_data.get(name) for name in _FIELDS.values()}
    return {name: value for name, value in values.items() if value not in (None, "")}


def show_problems(form: forms.Form, problems: dict[str, str]) -> None:
    """Show what the checks found, each at its field; what lies deeper in one says where."""
    for path, problem in problems.items():
        name, _, rest = path.partition(".")
        field = _FIELDS.get(name)
        where = rest if field else path
        form.add_error(field, f"{where}: {problem}" if where else problem)
