"""Lists that people take along as a file: under the filters, and with the permission, of the list on the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from access_app.exports import FORMATS, Exported, ExportRefused, bounded, export, filters_of
from access_app.masking import MASK, masked
from access_app.rights import Action, Person
from access_app.staff.strict_filters import BadFilter

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

_PAGE: Final = "p"


class Exports(AnyAdmin):
    """An admin whose list may be a file, ``export/csv/`` and ``export/json/``, if it says what it is called."""

    #: What the rows are called in the file's name and in the audit trail; empty: there is no file.
    export_name: ClassVar[str] = ""
    export_columns: ClassVar[Sequence[str]] = ()
    #: What a person needs for it besides the list's own.
    export_needs: ClassVar[tuple[Action, ...]] = ()
    #: Columns of the table that may be large, and that no file has.
    export_defers: ClassVar[tuple[str, ...]] = ()

    def export_items(self, rows: Sequence[Any]) -> Sequence[dict[str, Any]]:
        """Rows by column; credentials in them are hidden, as on pages."""
        return []

    def get_urls(self) -> list[URLPattern]:
        if not self.export_name:
            return super().get_urls()
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        views = {form: self.admin_site.admin_view(partial(self.export_view, form=form)) for form in FORMATS}
        ours = [path(f"export/{form}/", view, name=f"{name}_{form}") for form, view in views.items()]
        return [*ours, *super().get_urls()]

    def may_export(self, request: HttpRequest) -> bool:
        person = Person(request.user)
        return self.has_view_permission(request) and all(person.may(action) for action in self.export_needs)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        offered = {"exports": bool(self.export_name) and self.may_export(request)}
        return super().changelist_view(request, {**offered, **(extra_context or {})})

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        if not self.may_export(request):
            raise PermissionDenied
        if request.method != "GET":  # HEAD, too: it would be in the audit trail
            return HttpResponseNotAllowed(["GET"])
        request.GET = asked = request.GET.copy()  # type: ignore[assignment]
        asked.pop(_PAGE, None)
        try:
            listed = self._listed(request)
            return export(listed, form, actor=Person(request.user).name, asked=masked(filters_of(asked), MASK))
        except (BadFilter, ExportRefused) as error:
            messages.error(request, f"Nothing was exported: {_begun_small(str(error))}")
            page = reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist")
            return HttpResponseRedirect(f"{page}?{asked.urlencode()}" if asked else page)

    def _listed(self, request: HttpRequest) -> Exported:
        """What the page would list. Raises `BadFilter` and `ExportRefused`."""
        with bounded():
            found = self.get_changelist_instance(request)
        if getattr(found, "problems", ()):
            raise BadFilter("a filter means nothing. It is named below")
        rows = found.queryset.defer(*self.export_defers)
        return Exported(name=self.export_name, rows=rows, columns=self.export_columns, show=self._masked_items)

    def _masked_items(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        return [masked(item, MASK) for item in self.export_items(rows)]


def _begun_small(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"
