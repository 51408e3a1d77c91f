"""A form made of rules: what `rules` says of them is all that it knows, so that a new rule has its fields at once."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from access_app.staff import display
from access_app.staff.form_fields import JsonText
from flow_app.admin.shown import label_of
from flow_app.rules import Part, Rule, nested, read_changes


class RulesForm(forms.Form):
    """Rules of a row, a field for each of their columns. It carries the version it was filled from."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    rules: tuple[Rule, ...] = ()

    def __init__(self, data: Any = None, *, row: object = None) -> None:
        super().__init__(data)
        for rule in self.rules:
            self.fields |= {part.column: _field_of(rule, part) for part in rule.parts}
        if row is not None:
            self.initial = {name: _begun(getattr(row, name)) for name in self.fields}

    def changes(self) -> dict[str, Any]:
        """What the filled-in fields say, as the body of a PATCH: a rule whose fields are all empty is ended."""
        return nested({rule.path: self._value(rule) for rule in self.rules})

    def columns(self) -> dict[str, Any]:
        """The same as columns. Raises `InvalidInput`."""
        return read_changes(self.changes(), self.rules)

    def _value(self, rule: Rule) -> Any:
        values = {part.name: self.cleaned_data.get(part.column) for part in rule.parts}
        filled = {name: value for name, value in values.items() if value not in (None, "", {})}
        return (filled or None) if rule.is_object else filled.get("")

    def show_problems(self, problems: dict[str, str]) -> None:
        """Show what the checks found, each at its field."""
        columns = {path: column for rule in self.rules for path, column in rule.paths.items()}
        for path, problem in problems.items():
            field = columns.get(path)
            self.add_error(field, problem if field else f"{path}: {problem}")


def _begun(value: Any) -> Any:
    """A value as a field begins with it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _field_of(rule: Rule, part: Part) -> forms.Field:
    schema = part.kind.schema
    given: dict[str, Any] = {"label": label_of(rule, part), "required": False}
    if part is rule.parts[0]:
        given["help_text"] = rule.help
    if part.kind.words:
        return forms.ChoiceField(choices=[("", display.EMPTY), *part.kind.words.items()], **given)
    if part.kind.document:
        return JsonText(**given)
    if schema["type"] == "integer":
        return forms.IntegerField(min_value=schema["minimum"], max_value=schema["maximum"], **given)
    return forms.CharField(**given)
