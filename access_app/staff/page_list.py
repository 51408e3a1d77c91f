"""How a list of the staff UI reads its rows: a page and one row more, without counting, under all of its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
else:  # unfold has no types
    from unfold.views import ChangeList

#: How far one can page: OFFSET reads what it skips. Further back is what the filters by time are for.
MOST_ROWS: Final = 10_000


class PageList(ChangeList):
    """A list that reads one row more than it shows, to know whether there is a next page, instead of counting.

    It knows its filters by name. One that it has not, or whose value means nothing, is a problem that is shown, and
    then there are no rows: leaving it out would show, and offer for an action, more than was asked for.
    """

    has_next = False

    def get_filters(self, request: HttpRequest) -> Any:
        known = {spec.parameter_name for spec in self.list_filter}  # type: ignore[union-attr]  # filters of ours
        self.unknown = [name for name in self.get_filters_params() if name not in known]
        self.filter_params = {name: values for name, values in self.filter_params.items() if name not in self.unknown}
        return super().get_filters(request)

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return found.none() if self.problems else found

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the filters: of which, and what."""
        wrong = [(str(spec.title), spec.problem) for spec in self.filter_specs if spec.problem]  # type: ignore[attr-defined]
        return wrong + [(name, "There is no such filter here.") for name in self.unknown]

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = max(1, min(self.page_num, MOST_ROWS // self.list_per_page))
        first = (self.page_num - 1) * self.list_per_page
        rows = self.read_rows(first, first + self.list_per_page + 1)
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

    def read_rows(self, start: int, stop: int) -> list[Any]:
        """The rows from one number to before another, in the order of the list."""
        wanted = self.queryset.defer(*self.model_admin.list_defers)  # type: ignore[attr-defined]  # always a StaffAdmin
        return list(wanted[start:stop])

    @property
    def export_query(self) -> str:
        """What leads to all of its rows."""
        return self.get_query_string(remove=["p"])

    @property
    def previous_url(self) -> str:
        return self.get_query_string({"p": self.page_num - 1}) if self.page_num > 1 else ""

    @property
    def next_url(self) -> str:
        return self.get_query_string({"p": self.page_num + 1}) if self.has_next else ""
