"""What the pages of the staff UI share: a list that counts nothing, a page of one row, and buttons that post.

No row is edited through a model form: what a person changes goes through the services, as ``user:<name>``, with an
audit row in the same transaction. Who may look, create and act is said by the table of ``rights``; who may act on a row
and not look at it cannot do so here. Django's own permission checks lead to the table, or nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin import action as admin_action
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from access_app.patience import TooSlow, no_longer_than
from access_app.rights import Action, Person
from access_app.staff.django_versions import ListActions
from access_app.staff.exporting import Exports
from access_app.staff.live import LivePages
from access_app.staff.page_list import PageList
from access_app.staff.rows import DrawsRows
from access_app.staff.strict_filters import StrictFilters
from access_app.staff.way_back import WayBack, way_back
from access_app.texts import problem_of_reason

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    UnfoldAdmin = ModelAdmin[Any]
else:  # unfold has no types
    from unfold.admin import ModelAdmin as UnfoldAdmin

#: A list that takes longer (a rare value without an index, among millions of rows) is given up with a hint.
LONGEST_QUERY: Final = timedelta(seconds=5)
_NOT_SIGNED_IN: Final = "Nothing was done: you were not signed in. Do it again, if it is still wanted."


def person_of(request: HttpRequest) -> Person:
    """The signed-in person, to be asked what they may do."""
    return Person(request.user)


def actor_of(request: HttpRequest) -> str:
    """The name audit rows and new tasks carry for the signed-in person."""
    return person_of(request).name


def reason_of(request: HttpRequest) -> str:
    """Why, as it was typed beside a button; `StaffAdmin` has refused what no reason may hold."""
    return request.POST.get("reason", "").strip()


def acts(action: Action, description: str) -> Callable[[Any], Any]:
    """Make a method an action of the list: offered to who may do it, and done to all selected rows or to none.

    The method gets the rows that were judged: a list, because a query would be asked again, and find others.
    "Everything that matches" is refused: the page does not offer it, and it could be a million rows.
    """

    def decorate(method: Any) -> Any:
        @admin_action(description=description)
        @wraps(method)
        def acting(model_admin: StaffAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
            if request.POST.get("select_across", "") not in ("", "0"):  # Django takes any other text for yes
                messages.error(request, "Nothing was done: select the rows of one page at a time.")
                return
            rows = model_admin.selected(request, queryset)
            if not model_admin.refuses(request, action, rows):
                method(model_admin, request, rows)

        acting.needs = action  # type: ignore[attr-defined]  # read by `StaffAdmin.offers`
        return acting

    return decorate


class StaffAdmin(ListActions, StrictFilters, WayBack, LivePages, DrawsRows, Exports, UnfoldAdmin):
    """A list, a page for each row, and an address of its own for each thing that may be done to a row.

    ``posts`` and ``forms`` map the last word of such an address to its action; the methods are ``post_<word>``, for
    POST alone, and ``form_<word>``.
    """

    page_template: ClassVar[str]
    reads: ClassVar[Action]
    #: None: nobody creates such rows here.
    creates: ClassVar[Action | None] = None
    #: What the button above the list says, where rows can be created.
    new_label: ClassVar[str] = ""
    posts: ClassVar[dict[str, Action]] = {}
    forms: ClassVar[dict[str, Action]] = {}
    #: Further pages of a row, for whoever may see it: ``page_<word>``.
    pages: ClassVar[tuple[str, ...]] = ()
    #: The column that `task_types` reads.
    type_column: ClassVar[str] = "pk"
    #: Columns that may be large and that the list does not show.
    list_defers: ClassVar[tuple[str, ...]] = ()
    change_list_template = "admin/scheduler/list.html"
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # facets count the whole table
    sortable_by: ClassVar[tuple[str, ...]] = ()
    list_filter_sheet = False
    list_disable_select_all = True
    actions_selection_counter = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person_of(request).may(self.reads)

    def has_view_or_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.creates is not None and person_of(request).may(self.creates)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(self.may(request, action) for action in (*self.posts.values(), *self.forms.values()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django's own deletion, which would write no audit event, stays off."""
        return False

    def offers(self, request: HttpRequest, action: Any) -> bool:
        """Those of `acts` that the person may do; what names no action of the table is offered to nobody."""
        needs: Action | None = getattr(action, "needs", None)
        return needs is not None and self.may(request, needs)

    def may(self, request: HttpRequest, action: Action) -> bool:
        """Whether the person may do something to rows of this kind; `refuses` asks about rows themselves."""
        return person_of(request).may(self.reads) and person_of(request).may(action)

    def task_types(self, row: Any) -> Iterable[str]:
        """The types of tasks that a row has run, or holds back from running."""
        return ()

    def may_do(self, request: HttpRequest, row: Any) -> set[str]:
        """The words of ``posts`` and ``forms`` that the person may do to a row, whatever its state."""
        words = {**self.posts, **self.forms}
        types = list(self.task_types(row)) if any(action.runs for action in words.values()) else []
        person = person_of(request)
        return {
            word
            for word, action in words.items()
            if self.may(request, action) and all(person.may(action, task_type) for task_type in types)
        }

    def refuses(self, request: HttpRequest, action: Action, rows: Iterable[Any]) -> bool:
        """Whether rows are of types the person may not have run; says so, and then nothing is done to any of them."""
        if not action.runs:
            return False
        types = sorted({task_type for row in rows for task_type in self.task_types(row)})
        refusals = [text for task_type in types if (text := person_of(request).refusal(action, task_type))]
        for text in refusals[:1]:
            messages.error(request, f"Nothing was done: {text[0].lower()}{text[1:]}.")
        return bool(refusals)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PageList]:
        return PageList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row of an address, or None; PostgreSQL would refuse to look for a name with a NUL in it."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The rows that an action of the list is about."""
        return list(queryset.defer(*set(self.list_defers) - {self.type_column}))

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
        views = {word: self._posting(word) for word in self.posts} | {word: self._form(word) for word in self.forms}
        views |= {word: self._page(word) for word in self.pages}
        mine = [
            path(f"<path:object_id>/{word}/", self.admin_site.admin_view(view), name=f"{name}_{word}")
            for word, view in views.items()
        ]
        return [*mine, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":  # an action: its work is not one transaction, nor cut off
            return super().changelist_view(request, extra_context)
        try:
            with no_longer_than(LONGEST_QUERY):
                return super().changelist_view(request, extra_context)
        except TooSlow:
            return self.render(request, "admin/scheduler/too_slow.html", {"limit": LONGEST_QUERY}, status=503)

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
        return self._show(request, object_id, lambda of, row: self.render_page(of, row, self.page_context(of, row)))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's own log is not written here; the page of a row has its history."""
        return HttpResponseRedirect("../change/")

    def render_page(
        self, request: HttpRequest, row: Model, context: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        shown = {"title": str(row), "original": row, "row": row, "may": self.may_do(request, row)}
        # A form that was refused has the address of the button, which is no page to ask for again.
        moving = self.live_seconds(row) if request.method == "GET" else 0
        context = {**shown, "live_seconds": moving, **context}
        return self.render(request, self.page_template, context, status=status)

    def render_form(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        # The form is shown again with 422, so that scripts and tests know a refusal from a success.
        status = 422 if request.method == "POST" else 200
        return self.render(request, template, context, status=status)

    def render(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {**self.everywhere(request), "opts": self.opts, "media": self.media, **way_back(request), **context}
        return TemplateResponse(request, template, context, status=status)

    def _posting(self, word: str) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponseBase:
            if request.method == "GET":  # where signing in again leads from a button of a page that was signed out
                messages.warning(request, _NOT_SIGNED_IN)
                return HttpResponseRedirect(f"../change/{way_back(request)['kept']}")
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            return self._done(request, object_id, self.posts[word], getattr(self, f"post_{word}"))

        return view

    def _page(self, word: str) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponseBase:
            return self._show(request, object_id, getattr(self, f"page_{word}"))

        return view

    def _show(self, request: HttpRequest, object_id: str, page: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, unquote(object_id))
        return self.gone(request, object_id) if row is None else page(request, row)

    def _form(self, word: str) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponseBase:
            return self._done(request, object_id, self.forms[word], getattr(self, f"form_{word}"))

        return view

    def _done(self, request: HttpRequest, object_id: str, action: Action, do: Any) -> HttpResponseBase:
        if not self.may(request, action):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.gone(request, object_id)
        if self.refuses(request, action, [row]):
            return self.to_page(request, row)
        if problem := problem_of_reason(reason_of(request)):
            messages.error(request, f"Nothing was done: the reason {problem}.")
            return self.to_page(request, row)
        response: HttpResponse | None = do(request, row)
        return response or self.to_page(request, row)
