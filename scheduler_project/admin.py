"""The admin as a whole: the pages of accounts, and what is ours among the site's own addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

from monitoring_app.history_page import history_page
from scheduler_project import palette
from scheduler_project.accounts import logins, pages

__all__ = ["logins", "pages"]

_get_urls = admin.site.get_urls


def get_urls() -> list[URLResolver | URLPattern]:
    """With the page of history; without "view on site", which no page uses and which fails on an id that is no UUID."""
    history = path("history/", admin.site.admin_view(history_page), name="history")
    return [history, *(url for url in _get_urls() if getattr(url, "name", None) != "view_on_site")]


admin.site.login = logins.login  # type: ignore[method-assign,assignment]
admin.site.password_change = logins.password_change  # type: ignore[method-assign,assignment]
admin.site.search = palette.search  # type: ignore[attr-defined]
admin.site.get_urls = get_urls  # type: ignore[method-assign]
