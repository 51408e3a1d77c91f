"""What the pages of the staff UI share: a list that counts nothing, a page of one row, and buttons that post.

No row is edited through a model form: what a person changes goes through the services, as ``user:<name>``, with an
audit row in the same transaction. The permission "view" lets somebody look, "add" create, "change" act on what exists;
deletion is not offered.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import OperationalError, connection, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from psycopg.errors import QueryCanceled

from tasks_app.admin.display import page_url

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList

    UnfoldAdmin = ModelAdmin[Any]
else:  # unfold has no types
    from unfold.admin import ModelAdmin as UnfoldAdmin
    from unfold.views import ChangeList

#: How far one can page: OFFSET reads what it skips. Further back is what the filters by time are for.
MOST_ROWS: Final = 10_000
#: A list that takes longer (a rare value without an index, among millions of rows) is given up with a hint.
LONGEST_QUERY: Final = timedelta(seconds=5)


def actor_of(request: HttpRequest) -> str:
    """The name audit rows and new tasks carry for the signed-in person."""
    return f"user:{request.user.get_username()}"


class PageList(ChangeList):
    """A list that reads one row more than it shows, to know whether there is a next page, instead of counting."""

    has_next = False

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = max(1, min(self.page_num, MOST_ROWS // self.list_per_page))
        first = (self.page_num - 1) * self.list_per_page
        wanted = self.queryset.defer(*self.model_admin.list_defers)  # type: ignore[attr-defined]  # always a StaffAdmin
        rows = list(wanted[first : first + self.list_per_page + 1])
        self.has_next = len(rows) > self.list_per_page and first + len(rows) <= MOST_ROWS
        self.ends_early = len(rows) > self.list_per_page and not self.has_next
        self.result_list: Any = rows[: self.list_per_page]
        self.first_shown, self.last_shown = first + 1, first + len(self.result_list)
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, False
        self.paginator = Paginator(self.result_list, self.list_per_page)
        for spec in self.filter_specs:
            spec.tabs = list(spec.choices(self))  # type: ignore[attr-defined]  # drawn by our own template
        self.has_rare = any(getattr(spec, "rare", False) for spec in self.filter_specs)
        self.model_admin.prepare(self.result_list)  # type: ignore[attr-defined]  # always a StaffAdmin

    @property
    def previous_url(self) -> str:
        return self.get_query_string({"p": self.page_num - 1}) if self.page_num > 1 else ""

    @property
    def next_url(self) -> str:
        return self.get_query_string({"p": self.page_num + 1}) if self.has_next else ""


class StaffAdmin(UnfoldAdmin):
    """A list, a page for each row, and one POST address for each thing that may be done to a row.

    ``posts`` maps the last word of such an address to the permission it needs; the method is ``post_<word>``.
    """

    page_template: ClassVar[str]
    #: What the button above the list says, where rows can be created.
    new_label: ClassVar[str] = ""
    posts: ClassVar[dict[str, str]] = {}
    #: Columns that may be large and that the list does not show.
    list_defers: ClassVar[tuple[str, ...]] = ()
    change_list_template = "admin/scheduler/list.html"
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # facets count the whole table
    sortable_by = ()
    list_filter_sheet = False
    list_disable_select_all = True
    actions_selection_counter = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row of an address, or None; PostgreSQL would refuse to look for a name with a NUL in it."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def prepare(self, rows: list[Any]) -> None:
        """Read what a page of the list shows beside its rows, in one query for all of them."""

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page of one row shows."""
        return {}

    def new_page(self, request: HttpRequest) -> HttpResponse:
        """The page that creates a row; the default has none."""
        raise PermissionDenied

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        mine = [
            path(f"<path:object_id>/{word}/", self.admin_site.admin_view(self._posting(word)), name=f"{name}_{word}")
            for word in self.posts
        ]
        return [*mine, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":  # an action: its work is not one transaction, nor cut off
            return super().changelist_view(request, extra_context)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_milliseconds(LONGEST_QUERY)])
                return super().changelist_view(request, extra_context)
        except OperationalError as error:
            if isinstance(error.__cause__, QueryCanceled):
                return self.answer(request, "admin/scheduler/too_slow.html", {"limit": LONGEST_QUERY}, status=503)
            raise

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return self.new_page(request)
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._gone(request, object_id)
        return self.answer_page(request, row, self.page_context(request, row))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own log is not written here; the page of a row has its history."""
        return HttpResponseRedirect("../change/")

    def answer_page(
        self, request: HttpRequest, row: Model, context: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        may = {"change": self.has_change_permission(request), "add": self.has_add_permission(request)}
        context = {"title": str(row), "original": row, "row": row, "may": may, **context}
        return self.answer(request, self.page_template, context, status=status)

    def answer_form(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        # The form is shown again with 422, so that scripts and tests can tell a refusal from a success.
        status = 422 if request.method == "POST" else 200
        return self.answer(request, template, context, status=status)

    def answer(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        everywhere = self.admin_site.each_context(request)
        context = {**everywhere, "opts": self.opts, "media": self.media, **context}
        return TemplateResponse(request, template, context, status=status)

    def _posting(self, word: str) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponseBase:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            if not getattr(self, f"has_{self.posts[word]}_permission")(request):
                raise PermissionDenied
            row = self.get_object(request, unquote(object_id))
            if row is None:
                return self._gone(request, object_id)
            answer: HttpResponse | None = getattr(self, f"post_{word}")(request, row)
            return answer or HttpResponseRedirect(page_url(row))

        return view

    def _gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]


class LookOnlyAdmin(StaffAdmin):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _milliseconds(span: timedelta) -> str:
    return str(span // timedelta(milliseconds=1))
