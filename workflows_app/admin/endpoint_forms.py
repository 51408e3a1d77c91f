"""The form of a webhook endpoint."""

from __future__ import annotations

from typing import Any

from django import forms

from workflows_app.callbacks import endpoints
from workflows_app.callbacks.endpoints import EndpointTaken, InvalidEndpoint, NewEndpoint
from workflows_app.callbacks.events import Event
from workflows_app.callbacks.tables import WebhookEndpoint

#: Paths of problems that have another name here.
_NAMES = {"on": "events"}


class EndpointForm(forms.Form):
    """What somebody may say of an endpoint; ``endpoints`` checks it."""

    name = forms.CharField(max_length=101, help_text="Tasks name it in their callback.")
    url = forms.CharField(label="URL", help_text="It is called with POST.")
    events = forms.MultipleChoiceField(
        label="Hears of",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(str(event), str(event)) for event in Event],
        help_text="None: only of tasks that name it.",
    )
    queues = forms.CharField(required=False, help_text="Of whose tasks, separated by commas. Empty: of all.")
    include = forms.ChoiceField(
        label="Sends", required=False, choices=[("", "how it ended"), ("result", "the result too, up to 20 kB")]
    )
    ordered = forms.BooleanField(required=False, help_text="The next only after the one before it has ended.")
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, row: WebhookEndpoint) -> EndpointForm:
        """Filled in with what is there."""
        columns = ("name", "url", "events", "ordered", "version")
        initial = {name: getattr(row, name) for name in columns}
        initial |= {"queues": ", ".join(row.queues or ()), "include": row.include or ""}
        return cls(initial=initial)

    def create(self, *, actor: str) -> tuple[WebhookEndpoint, str] | None:
        """The endpoint and its secret. None: it was refused, which the form now shows."""
        try:
            return endpoints.create_endpoint(NewEndpoint(**self._values()), created_by=actor)
        except (InvalidEndpoint, EndpointTaken) as error:
            self._show(error)
            return None

    def save(self, row: WebhookEndpoint, *, actor: str) -> WebhookEndpoint | None:
        """None: it was refused, which the form now shows. Raises `Stale`."""
        versions = [self.cleaned_data["version"] or 0]
        try:
            return endpoints.edit_endpoint(row.pk, self._values(), actor=actor, versions=versions)
        except (InvalidEndpoint, EndpointTaken) as error:
            self._show(error)
            return None

    def _values(self) -> dict[str, Any]:
        found = {name: self.cleaned_data[name] for name in ("name", "url", "events", "ordered")}
        queues = [queue.strip() for queue in self.cleaned_data["queues"].split(",") if queue.strip()]
        return {**found, "queues": queues or None, "include": self.cleaned_data["include"] or None}

    def _show(self, error: InvalidEndpoint | EndpointTaken) -> None:
        problems = error.problems if isinstance(error, InvalidEndpoint) else {"name": str(error)}
        for name, problem in problems.items():
            self.add_error(_NAMES.get(name, name), problem)
