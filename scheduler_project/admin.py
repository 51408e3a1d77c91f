"""The admin as a whole: the pages of accounts, and what is ours among the site's own addresses."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, URLResolver, path
from django.utils.cache import add_never_cache_headers

from access_app.staff.live import frame_of, is_asked
from monitoring_app.dashboard import seen_by, shown_to
from monitoring_app.history_page import history_page
from scheduler_project import palette
from scheduler_project.accounts import logins, pages
from scheduler_project.accounts.viewers import VIEWERS

__all__ = ["logins", "pages"]

_get_urls = admin.site.get_urls


def get_urls() -> list[URLResolver | URLPattern]:
    """With our index and the page of history; without "view on site", which no page uses and fails on some ids."""
    history = path("history/", admin.site.admin_view(history_page), name="history")
    ours = {"index": path("", index, name="index"), "view_on_site": None}
    urls = [ours.get(getattr(url, "name", "") or "", url) for url in _get_urls()]
    return [history, *(url for url in urls if url is not None)]


def index(request: HttpRequest) -> HttpResponse:
    """The overview; who only asks for it again is known already, as long as nothing about them has changed."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "") if is_asked(request) else ""
    may = VIEWERS.find(key)
    if may is None:
        response = _index(request)
        if key and response.status_code == 200 and isinstance(request.user, User):
            _remember(key, request.user.pk)
        return response
    page = render_to_string("admin/index.html", {**shown_to(may), **frame_of(request)}, request)
    shown = HttpResponse(page)
    add_never_cache_headers(shown)
    return shown


def _remember(key: str, account: int) -> None:
    """Keep who was looked at in full; read once more, since what was read for this response may be older."""
    VIEWERS.remember(key, account, lambda: seen_by(User.objects.get(pk=account)))


_index = admin.site.admin_view(admin.site.index)
admin.site.login = logins.login  # type: ignore[method-assign,assignment]
admin.site.password_change = logins.password_change  # type: ignore[method-assign,assignment]
admin.site.search = palette.search  # type: ignore[attr-defined]
admin.site.get_urls = get_urls  # type: ignore[method-assign]
