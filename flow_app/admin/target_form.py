"""The form of a target: its rules, and its host while it has none."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from access_app.refusals import InvalidInput
from access_app.versions import Stale
from flow_app import targets
from flow_app.admin.rules_form import RulesForm
from flow_app.models import Target
from flow_app.rules import MOST_CONCURRENT, Part, Rule, within
from tasks_app.executors.http_payload import MAX_HOST

#: The rules of a target that are none while nobody has set them.
RULES: Final = (
    Rule(
        "maxConcurrency",
        "At most so many tasks that call it are assigned or running, whatever their queue. 0 closes it.",
        (Part(column="max_concurrency", kind=within(0, MOST_CONCURRENT), label="At most"),),
    ),
    targets.RATE,
)


class TargetForm(RulesForm):
    """The rules of a target."""

    respect_retry_after = forms.BooleanField(
        label="Respect Retry-After",
        required=False,
        initial=True,
        help_text="One 429 or 503 with Retry-After: nobody calls it until then. Off, a back-off ends at once.",
    )
    rules = RULES

    def save(self, host: str, *, actor: str) -> Target | None:
        """Let the rules hold. None: they were refused, which the form now shows."""
        if not self.is_valid():
            return None
        read = self.cleaned_data["version"] or 0
        try:
            rules = targets.Rules(**self.columns(), respect_retry_after=self.cleaned_data["respect_retry_after"])
            return targets.put_target(host, rules, actor=actor, versions=[read])[0]
        except InvalidInput as error:
            self.show_problems(error.problems)
        except Stale as error:
            self.add_error(None, _overtaken(host, error.version))
        return None


class NewTargetForm(TargetForm):
    """The first rules of a host."""

    host = forms.CharField(max_length=MAX_HOST + 1, help_text="As URLs name it, without scheme, port and path.")
    field_order = ("host",)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.order_fields(self.field_order)

    def clean_host(self) -> str:
        host = targets.named(self.cleaned_data["host"])
        if host is None:
            raise forms.ValidationError("No host can have this name: write api.example.com, without scheme and port.")
        return host


def _overtaken(host: str, version: int) -> str:
    there = f"it is at version {version} now" if version else "it has no rules now"
    return f"Somebody changed {host} meanwhile: {there}. Nothing was saved. Open it anew to see what is there."
