"""Forms of accounts that were opened before somebody else saved: sent as they were, they would undo what was done
meanwhile, and open a closed account, or give back a right, without anybody wanting it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.db import connection
from django.db.models import Model
from django.forms.models import model_to_dict
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
    AnyForm = forms.ModelForm[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin, AnyForm = object, forms.ModelForm

#: What changes without anybody having saved a form of it.
_IGNORED: Final = ("last_login", "password")


class SeenForm(AnyForm):
    """A form that carries what it was filled from, and is refused when that is no longer so."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self._there_is = state_of(self.instance)

    def clean(self) -> Any:
        cleaned = super().clean()
        if self.cleaned_data.get("seen") != self._there_is:
            raise forms.ValidationError(
                "Somebody changed this while you were editing it. Nothing was saved. Open it anew to see what is there."
            )
        return cleaned


class LockedForChange(AnyAdmin):
    """Of a model admin: its row is locked for a change, so that what it may be is decided on what it stays."""

    change_form_before_template = "admin/scheduler/seen.html"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is None or request.method != "POST" or not connection.in_atomic_block:  # of a page that only shows it
            return row
        return self.model._default_manager.select_for_update().filter(pk=row.pk).first()


def state_of(row: Model) -> str:
    """A digest of what forms change of a row; empty for one that is not stored yet."""
    if row.pk is None:
        return ""
    values = model_to_dict(row, exclude=_IGNORED)
    plain = {name: sorted(each.pk for each in v) if isinstance(v, list) else v for name, v in values.items()}
    return hashlib.sha256(json.dumps(plain, default=str, sort_keys=True).encode()).hexdigest()
