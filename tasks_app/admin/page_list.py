"""How a list of the staff UI reads its rows: a page and one row more, without counting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
else:  # unfold has no types
    from unfold.views import ChangeList

#: How far one can page: OFFSET reads what it skips. Further back is what the filters by time are for.
MOST_ROWS: Final = 10_000


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
