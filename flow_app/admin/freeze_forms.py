"""The forms of the incident page: what to freeze, and how to thaw it."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.http import QueryDict

from access_app.refusals import InvalidInput
from access_app.texts import MAX_REASON, problem_of_reason
from flow_app.admin.queue_forms import PauseForm, ResumeForm
from flow_app.freezes import NewFreeze
from tasks_app.executors.registry import executors

_LINES = forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocapitalize": "none"})


class FreezeForm(PauseForm):
    """What nothing starts of, why and until when. `read` is what it says, once it is valid."""

    queues = forms.CharField(required=False, widget=_LINES, help_text="Their names, one a line.")
    targets = forms.CharField(
        label="Hosts",
        required=False,
        widget=_LINES,
        help_text="Hosts that tasks call, one a line, as URLs name them: without scheme, port and path.",
    )
    types = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    field_order = ["queues", "targets", "types", "reason", "until"]

    def __init__(self, data: Any = None, *, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        self.fields["types"].choices = [(name, name) for name in sorted(executors())]  # type: ignore[attr-defined]
        self.fields["until"].help_text = "Empty: until somebody thaws it."
        self.read: NewFreeze | None = None

    @classmethod
    def asked_for(cls, query: QueryDict) -> FreezeForm:
        """The form as a link to it fills it in: ``?queues=mail``."""
        named = {kind: "\n".join(query.getlist(kind)) for kind in ("queues", "targets")}
        return cls(initial={**named, "types": query.getlist("types")})

    def clean(self) -> None:
        found = self.cleaned_data
        named = {kind: re.split(r"[\s,]+", found.get(kind, "").strip()) for kind in ("queues", "targets")}
        named = {kind: [name for name in names if name] for kind, names in named.items()}
        try:
            self.read = NewFreeze(
                **named,
                types=found.get("types", []),
                reason=found.get("reason", ""),
                until=found.get("until"),
            )
        except InvalidInput as error:
            for name, problem in error.problems.items():
                self.add_error(name, f"{problem[:1].upper()}{problem[1:]}.")


class ThawForm(ResumeForm):
    """Why, and the rate at which what waited comes back; without one it may start at once."""

    reason = forms.CharField(required=False, strip=True, widget=forms.TextInput(attrs={"maxlength": MAX_REASON}))

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if problem := problem_of_reason(reason):
            raise forms.ValidationError(f"This {problem}.")
        return reason
