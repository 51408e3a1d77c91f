"""A bad filter of a list is an error: Django leaves out every filter then, and shows, or acts on, everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from tasks_app.admin.page_list import PageList

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

_UNREADABLE: Final = "A filter of this address means nothing"


class BadFilter(Exception):
    """A list was asked for under filters that cannot all be kept."""


class StrictFilters(AnyAdmin):
    """Answers a bad filter with 400, and does nothing under one. A `PageList` shows its bar of filters with it."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            found = super().get_changelist_instance(request)
        except IncorrectLookupParameters:
            raise BadFilter(_UNREADABLE) from None
        problems = getattr(found, "problems", ())
        if problems and request.method == "POST":
            raise BadFilter("a filter means nothing")
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            response = super().changelist_view(request, extra_context)
        except BadFilter as error:
            return self._refused(request, str(error))
        shown = getattr(response, "context_data", None) or {}
        if getattr(shown.get("cl"), "problems", ()):
            response.status_code = 400
        return response

    def _refused(self, request: HttpRequest, why: str) -> HttpResponse:
        if issubclass(self.get_changelist(request), PageList):
            messages.error(request, f"Nothing was done: {why}. It is named below.")
            return HttpResponseRedirect(request.get_full_path())
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts, "problem": f"{why}."}
        return TemplateResponse(request, "admin/scheduler/bad_filter.html", context, status=400)
