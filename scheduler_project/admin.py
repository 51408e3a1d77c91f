"""The admin as a whole: the pages of accounts, and two of the site's own addresses, which met some requests with
an error.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver

from scheduler_project.accounts import logins, pages

__all__ = ["logins", "pages"]

_search, _get_urls = admin.site.search, admin.site.get_urls  # type: ignore[attr-defined]  # unfold's site


def search(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The search for pages, which fails on a page of results that there is not."""
    try:
        found: HttpResponse = _search(request, extra_context)
    except (ValueError, InvalidPage):
        raise Http404 from None
    return found


def get_urls() -> list[URLResolver | URLPattern]:
    """Without "view on site", which no page uses and which fails on an id that is no UUID."""
    return [url for url in _get_urls() if getattr(url, "name", None) != "view_on_site"]


admin.site.login = logins.login  # type: ignore[method-assign,assignment]
admin.site.password_change = logins.password_change  # type: ignore[method-assign,assignment]
admin.site.search = search  # type: ignore[attr-defined]
admin.site.get_urls = get_urls  # type: ignore[method-assign]
