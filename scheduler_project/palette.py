"""The search behind Ctrl-K: pages by name, and whatever the apps find (``access_app.staff.finding``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from access_app.rights import Person
from access_app.staff.finding import Asked, Found, find, read
from access_app.staff.live import PART
from scheduler_project.admin_site import UNFOLD


def search(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """What may be meant by ``s``, pages first; with nothing in it, every page."""
    asked = read(request.GET.get("s", ""))
    found, is_all = find(asked, Person(request.user))
    pages = [] if asked.as_id else list(_pages(request, asked))
    context = {"title": "Find anything", "asked": asked.text, "found": [*pages, *found], "is_all": is_all}
    if "HX-Request" in request.headers:
        context["frame"] = PART
    else:  # opened as a page of its own
        context |= admin.site.each_context(request)
    return TemplateResponse(request, "admin/scheduler/found.html", context)


def _pages(request: HttpRequest, asked: Asked) -> Iterator[Found]:
    part = asked.text.lower()
    for title, url in (*_lists(request), *_forms(request)):
        if part in title.lower():
            yield Found("Page", title, url)


def _lists(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """The navigation, as far as the person sees it."""
    for group in UNFOLD["SIDEBAR"]["navigation"]:
        for item in group["items"]:
            if item.get("permission", lambda _: True)(request):
                yield item["title"], str(item["link"])


def _forms(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """The forms of what can be created here."""
    for model, model_admin in admin.site._registry.items():
        label = getattr(model_admin, "new_label", "")
        if label and model_admin.has_add_permission(request):
            yield label, reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
