"""``{% way_back as back %}``: for templates that are handed a request and nothing else of the page."""

from __future__ import annotations

from typing import Any

from django import template

from access_app.staff.way_back import way_back as of_request

register = template.Library()


@register.simple_tag(takes_context=True)
def way_back(context: dict[str, Any]) -> dict[str, str]:
    """``kept`` and ``list_query``, see `access_app.staff.way_back`."""
    return of_request(context["request"])
