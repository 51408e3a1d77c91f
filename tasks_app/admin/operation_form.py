"""The form that begins a bulk operation: first it looks, then it asks for the number that it has shown.

Its checks are those of the API. The filters of the list of tasks become those of GET /tasks; what cannot is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import forms
from django.http import QueryDict
from django.utils import timezone

from access_app.http.problems import Problem
from access_app.http.times import show_instant
from access_app.refusals import InvalidInput
from access_app.staff.filters import WINDOWS, BadValue, as_uuid, instant_of
from access_app.staff.form_fields import JsonText
from access_app.texts import MAX_REASON
from tasks_app.acts import BulkAction
from tasks_app.api.operation_inputs import AskedOperation, read_operation
from tasks_app.states import TaskStatus

_OWNED: Final = frozenset({TaskStatus.SCHEDULED, TaskStatus.RUNNING})
#: Parameters of the list of tasks that mean the same to GET /tasks, and those that only say which page is shown.
_SAME: Final = {"status": "status", "type": "type", "queue": "queue", "schedule": "scheduleId", "failure": "failure"}
_TIMES: Final = {"before": "createdBefore", "ended_after": "endedAfter", "ended_before": "endedBefore"}
_OF_PAGES: Final = frozenset({"p", "o", "e", "all", "action"})
#: Field of the form → field of the API.
_NAMES: Final = {"to_priority": "priority", "to_queue": "queue", "rate": "ratePerSecond"}


class OperationForm(forms.Form):
    """What is done to which tasks, why and how fast. ``confirm`` and the token are there once it has been looked."""

    action = forms.ChoiceField(choices=[(each.value, each.value.capitalize()) for each in BulkAction])
    filter = JsonText(
        required=False,
        strip=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="Which tasks, as JSON: the filters of GET /tasks. Never empty.",
    )
    to_priority = forms.IntegerField(label="Priority", required=False, help_text="Only to reprioritise.")
    to_queue = forms.CharField(label="Queue", required=False, max_length=100, help_text="Only to move.")
    rate = forms.IntegerField(
        label="Tasks a second", required=False, min_value=1, help_text="Empty: as fast as leaves room for others."
    )
    reason = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": MAX_REASON}))
    token = forms.CharField(required=False, widget=forms.HiddenInput, max_length=5_000)
    confirm = forms.CharField(label="Type the number of tasks to begin", required=False, max_length=30)

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        if not (data or {}).get("token"):
            del self.fields["confirm"]

    @classmethod
    def of(cls, found: Mapping[str, Any], action: str = "") -> OperationForm:
        """The form as it is offered for a filter, and perhaps an action."""
        return cls(initial={"filter": json.dumps(found, indent=1) if found else "", "action": action})

    def with_token(self, token: str, found: Mapping[str, Any]) -> OperationForm:
        """The same behind a look, which asks for the number of tasks; or with none, to look again."""
        data = {name: self.data.get(name, "") for name in self.base_fields}
        return OperationForm({**data, "token": token, "confirm": "", "filter": json.dumps(found, indent=1)})

    def asked(self) -> AskedOperation | None:
        """What the form asks for; None: it is not to be understood, which the form now shows."""
        if not self.is_valid():
            return None
        values, data = self.cleaned_data, {}
        for name, value in values.items():
            if name != "confirm" and value not in (None, ""):
                data[_NAMES.get(name, name)] = value
        try:
            return read_operation(data if "token" in data else {**data, "dryRun": True})
        except (InvalidInput, Problem) as error:
            self.show_problems(error.problems if isinstance(error, InvalidInput) else error.errors)
        return None

    def show_problems(self, problems: Mapping[str, str]) -> None:
        """Show what the checks found, each at its field."""
        fields = {theirs: ours for ours, theirs in _NAMES.items()}
        for name, problem in problems.items():
            ours = fields.get(name, name.partition(".")[0])
            where = ours if ours in self.fields and ours != "token" else None
            self.add_error(where, f"{name}: {problem}")

    def confirms(self, count: int) -> bool:
        """Whether the number that was typed is that of the tasks."""
        typed = self.cleaned_data["confirm"].replace(",", "").replace(" ", "")
        if typed == str(count):
            return True
        self.add_error("confirm", f"Nothing was done. Type {count:,} to begin.")
        return False


def filter_of(parameters: QueryDict) -> dict[str, Any]:
    """What GET /tasks calls the filters of the list of tasks. Raises `InvalidInput` for what it has no filter for."""
    found: dict[str, Any] = {}
    since: list[datetime] = []
    for name, text in ((key, each.strip()) for key, texts in parameters.lists() for each in texts):
        if not text or name in _OF_PAGES:
            continue
        if name in _SAME:
            found[_SAME[name]] = text
        elif name in ("created", "after"):
            since.append(_since(name, text))
        elif name in _TIMES:
            found[_TIMES[name]] = show_instant(_instant(name, text))
        elif name == "retrying":
            found["retrying"] = "true" if text == "yes" else text
        elif name == "q" and as_uuid(text) is None:
            found["correlationId"] = text
        elif name != "worker":
            raise InvalidInput({name[:100]: "is no filter by which many tasks can be acted on"})
    if since:
        found["createdAfter"] = show_instant(max(since))
    return found | _held(parameters)


def _held(parameters: QueryDict) -> dict[str, Any]:
    """The list shows what a worker holds; GET /tasks has what it has run as well."""
    worker, status = parameters.get("worker", "").strip(), parameters.get("status", "").strip()
    if not worker:
        return {}
    statuses = sorted(_OWNED & {status} if status else _OWNED)
    if not statuses:
        raise InvalidInput({"worker": f"holds no task that is {status}"})
    return {"workerId": worker, "status": statuses}


def _since(name: str, text: str) -> datetime:
    if name == "after":
        return _instant(name, text)
    if text not in WINDOWS:
        raise InvalidInput({name: f"must be one of {', '.join(WINDOWS)}"})
    return timezone.now() - WINDOWS[text][1]


def _instant(name: str, text: str) -> datetime:
    try:
        return instant_of(text)
    except BadValue as error:
        raise InvalidInput({name: str(error)}) from None
