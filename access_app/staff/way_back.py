"""The filters of a list travel along with whoever opens one of its rows, so that the way back leads to the same list.

They stand in the address, as Django's own links from lists put them there: nothing is kept on the server, and two tabs
have two ways back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from access_app.staff.display import page_url

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

FILTERS: Final = "_changelist_filters"


def way_back(request: HttpRequest) -> dict[str, str]:
    """What is put behind the address of a page (``kept``), and behind that of the list (``list_query``)."""
    filters = request.GET.get(FILTERS, "")
    if not filters:
        return {"kept": "", "list_query": ""}
    return {"kept": f"?{urlencode({FILTERS: filters})}", "list_query": f"?{filters}"}


class WayBack(AnyAdmin):
    """Redirects that keep the filters."""

    def to_page(self, request: HttpRequest, row: Model) -> HttpResponseRedirect:
        return HttpResponseRedirect(page_url(row) + way_back(request)["kept"])

    def to_list(self, request: HttpRequest) -> HttpResponseRedirect:
        address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(address + way_back(request)["list_query"])
