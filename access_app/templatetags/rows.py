"""``{% rows cl %}``: the table of a list."""

from __future__ import annotations

from typing import Any

from django import template

from access_app.staff.page_list import PageList
from access_app.staff.rows import headers_of, rows_of

register = template.Library()


@register.inclusion_tag("admin/scheduler/parts/rows.html")
def rows(cl: PageList) -> dict[str, Any]:
    """``headers`` and ``rows``, see `access_app.staff.rows`."""
    return {"headers": headers_of(cl), "rows": rows_of(cl)}
