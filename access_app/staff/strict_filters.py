"""A bad filter of a list is an error: Django leaves out every filter then, and shows, or acts on, everything.

So is a selected row that there cannot be, of which Django makes an error of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from access_app.staff.page_list import PageList

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

_UNREADABLE: Final = "A filter of this address means nothing"


class BadFilter(Exception):
    """A list was asked for under filters that cannot all be kept, or for something to be done to no possible row."""


class StrictFilters(AnyAdmin):
    """Refuses a bad filter with 400, and does nothing under one. A `PageList` shows its bar of filters with it."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            found = super().get_changelist_instance(request)
        except (IncorrectLookupParameters, DisallowedModelAdminLookup):
            raise BadFilter(_UNREADABLE) from None
        problems = getattr(found, "problems", ())
        if problems and request.method == "POST":
            raise BadFilter("a filter means nothing. It is named below")
        return found

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any, **more: Any
    ) -> HttpResponse | None:
        if not all(_may_be(self.opts.pk, text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadFilter("a row was selected that there cannot be")
        return super().response_action(request, queryset, *rest, **more)

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
            messages.error(request, f"Nothing was done: {why}.")
            return HttpResponseRedirect(request.get_full_path())
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts, "problem": f"{why}."}
        return TemplateResponse(request, "admin/scheduler/bad_filter.html", context, status=400)


def _may_be(key: Field[Any, Any], text: str) -> bool:
    """Whether a row can have this key."""
    try:
        key.to_python(text)
    except ValidationError:
        return False
    return "\0" not in text
