"""The forms of queues: a pause and its end, the rules, a key, a queue that is not in use yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms

from access_app.staff import display
from access_app.staff.form_fields import UtcInstant, field_text
from access_app.texts import MAX_REASON, problem_of_reason
from flow_app.admin.rules_form import RulesForm
from flow_app.models import Queue, QueueKey
from flow_app.queue_keys import KEY, USUAL, columns_of, shown_key
from flow_app.rules import MOST_PER_KEY, MOST_WEIGHT, RESUME_RATE, RULES
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


class QueueRulesForm(RulesForm):
    """Every rule of a queue."""

    rules = RULES


class KeyForm(forms.Form):
    """How one key of a queue is treated, a field for each thing that can be set for a key. It carries its version."""

    key = forms.CharField(max_length=200, strip=False, help_text="Exactly as tasks name it.")
    max_concurrency = forms.IntegerField(
        label="At most", required=False, min_value=1, max_value=MOST_PER_KEY, help_text="Empty: as the queue says."
    )
    weight = forms.IntegerField(
        initial=1, min_value=1, max_value=MOST_WEIGHT, help_text="Its part where tenants share the queue by this key."
    )
    paused = forms.BooleanField(required=False, help_text="Nothing of it starts. What runs goes on.")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput, initial=0)

    @classmethod
    def of(cls, key: str, row: QueueKey | None) -> KeyForm:
        """The form as it is offered for a key, which then stays what it is; for "" it asks for one."""
        form = cls(initial={"key": key, **({} if row is None else columns_of(row) | {"version": row.version})})
        if key:
            form.fields["key"].widget.attrs["readonly"] = True
        return form

    def clean_key(self) -> str:
        try:
            return str(KEY.read(self.cleaned_data["key"]))
        except ValueError as error:
            raise forms.ValidationError(f"It {error}.") from None

    def value(self) -> dict[str, Any]:
        """What the form says, as the body of a PUT."""
        return shown_key({column: self.cleaned_data[column] for column in USUAL})

    def show_problems(self, problems: dict[str, str]) -> None:
        """Show what the checks found, each at its field."""
        fields = shown_key({column: column for column in USUAL})
        for name, problem in problems.items():
            self.add_error(fields.get(name), problem if name in fields else f"{name}: {problem}")


class ResumeForm(RulesForm):
    """The rate at which a queue thaws; left empty, everything that is due may start at once."""

    rules = (RESUME_RATE,)
