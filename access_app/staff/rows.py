"""How a list draws its rows: a table whose rows scripts know by their ids, and that is cards on a phone.

Django's own cells, which name their column and nothing else: the classes that django-unfold writes into every cell made
nine tenths of a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.templatetags import admin_list
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.utils.safestring import SafeString

from access_app.staff.page_list import PageList

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``key`` is what its address has, ``cells`` are drawn already."""

    key: str
    cells: list[str]


class DrawsRows(AnyAdmin):
    """An admin with plain boxes to choose rows by, whose empty cells are empty."""

    empty_value_display = ""

    def action_checkbox(self, obj: Model) -> SafeString:
        return admin.ModelAdmin.action_checkbox(self, obj)


def headers_of(shown: PageList) -> list[dict[str, Any]]:
    return list(admin_list.result_headers(shown))


def rows_of(shown: PageList) -> list[Row]:
    cells = admin_list.items_for_result
    return [Row(str(quote(row.pk)), list(cells(shown, row, None))) for row in shown.result_list]
