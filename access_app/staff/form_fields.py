"""Form fields of values that Django has none for: JSON documents, and instants in UTC."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django import forms

from access_app.refusals import no_such_time


class JsonText(forms.CharField):
    """A JSON document in a text area; the cleaned value is what it says."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from None


class UtcInstant(forms.CharField):
    """A datetime-local field, read as UTC, as every time of this site is."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            instant = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise forms.ValidationError(_no_instant(text)) from None
        if instant is not None and instant.tzinfo is not None:
            # The field sends none; and with one, the end of year 9999 would become a time that cannot be read back.
            raise forms.ValidationError("Write the time in UTC, without a zone.")
        return None if instant is None else instant.replace(tzinfo=UTC)


def _no_instant(text: str) -> str:
    problem = no_such_time(text)
    return f"The time {problem}." if problem else "This is not a date and time."


def field_text(at: datetime | None) -> str:
    """An instant as a datetime-local field holds it."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
