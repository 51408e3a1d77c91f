"""The form for a new task. ``new_tasks.check_task`` decides what is right; its problems are shown on the fields."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms

from access_app.rights import Caller
from access_app.staff.form_fields import JsonText, UtcInstant
from tasks_app import services
from tasks_app.bounds import QueueFull
from tasks_app.duplicates import DuplicateTask
from tasks_app.executors.registry import documented_types, executors
from tasks_app.fields import ASKED, TEMPLATE, Asked, NewTask
from tasks_app.meeting import Created
from tasks_app.new_tasks import MAX_PAYLOAD_BYTES, InvalidTask, further_actions


class TaskForm(forms.Form):
    """A task with the defaults of the API: type and payload, and the fields of ``rows``."""

    #: What the template of a schedule has.
    rows: ClassVar[tuple[Asked, ...]] = tuple(row for row in TEMPLATE if row.form)

    type = forms.ChoiceField()
    payload = JsonText(
        initial="{}",
        required=False,
        strip=False,
        max_length=MAX_PAYLOAD_BYTES,
        widget=forms.Textarea(attrs={"rows": 10, "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None, *, types: Iterable[str]) -> None:
        super().__init__(data)
        self._types = list(types)
        made = [row for row in self.rows if row.column not in TaskForm.base_fields]
        self.fields |= {self.name_of(row): form_field(row) for row in made}
        choice = self.fields["type"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(name, name) for name in self._types]

    @classmethod
    def name_of(cls, row: Asked) -> str:
        """What the form calls a field of its task: as its column, unless it asks for something else by that name."""
        own = cls.base_fields.get(row.column) is TaskForm.base_fields.get(row.column)
        return row.column if own else f"task_{row.column}"

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

    rows = tuple(row for row in ASKED if row.form)


def form_field(row: Asked) -> forms.Field:
    """The form's field of a row; `new_tasks` checks what is in it."""
    schema = row.kind.schema
    given: dict[str, Any] = {
        "label": row.label,
        "help_text": row.help,
        "initial": row.default,
        "required": row.default is not None and row.stored,
    }
    if row.kind.words:
        return forms.ChoiceField(choices=list(row.kind.words.items()), **given)
    if schema.get("format") == "date-time":
        return UtcInstant(**given | {"label": f"{row.label} (UTC)"})
    if row.kind.document:
        return JsonText(**given)
    if schema["type"] == "boolean":
        return forms.BooleanField(**given | {"required": False})
    if schema["type"] == "integer":
        return forms.IntegerField(
            **given | {"help_text": f"{schema['minimum']} to {schema['maximum']}. {row.help}".strip()}
        )
    return forms.CharField(**given)


def create_from(form: NewTaskForm, person: Caller, *, created_by: str) -> Created | None:
    """Create what a valid form asks for; None when the checks found something, which the form now shows."""
    new = NewTask(**asked_for(form))
    for action in further_actions(new):
        if text := person.refusal(action, new.type):
            form.add_error(None, f"{text}.")
            return None
    try:
        return services.create_task(new, created_by=created_by)
    except InvalidTask as error:
        show_problems(form, error.problems)
    except DuplicateTask as error:
        form.add_error("unique_key", str(error))
    except QueueFull as error:
        form.add_error("queue" if error.full.key is None else "concurrency_key", f"{error}.")
    return None


def asked_for(form: TaskForm) -> dict[str, Any]:
    """The attributes of a `NewTask` that were filled in; the rest is for the defaults."""
    values = {row.column: form.cleaned_data.get(form.name_of(row)) for row in form.rows}
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def show_problems(form: TaskForm, problems: dict[str, str]) -> None:
    """Show what the checks found, each at its field; what lies deeper in one says where."""
    names = {row.name: form.name_of(row) for row in form.rows}
    for path, problem in problems.items():
        name, _, rest = path.partition(".")
        field = names.get(name)
        where = rest if field else path
        form.add_error(field, f"{where}: {problem}" if where else problem)
