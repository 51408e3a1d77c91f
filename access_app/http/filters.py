"""Lists as django-filter has them, on one strict base: filters, orders and pages of a list are one form of its query.

Which filters a list has, and its orders, are said where the list is (``filters`` of each app).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Final

from django.db.models import Q, QuerySet
from django_filters import Filter, FilterSet

from access_app.exports import FORMATS
from access_app.http.openapi.schemas import Json, array, integer, schema
from access_app.http.pagination import Listing, Sort
from access_app.http.query import Parameter, Query, Read, one_of, whole

MAX_SIZE: Final = 200
DEFAULT_SIZE: Final = 20
MAX_PAGE: Final = 100_000_000


class By(Filter):  # type: ignore[misc]  # the base class is untyped
    """Rows by one parameter. ``lookup``: of the model, or what makes a condition of the value."""

    def __init__(
        self, lookup: str | Callable[[Any], Q], read: Read, schema: Json, help_text: str, *, repeated: bool = False
    ) -> None:
        super().__init__()
        self.lookup = lookup
        self.parameter = Parameter(read, schema, help_text, repeated=repeated)

    @classmethod
    def any_of(cls, lookup: str, values: type[StrEnum], name: str) -> By:
        """By one or several words. ``name``: of their schema."""
        help_text = "Any of these; repeat the parameter."
        return cls(lookup, one_of(list(values)), array(schema(name)), help_text, repeated=True)

    @property
    def field(self) -> Parameter:
        return self.parameter

    def __deepcopy__(self, memo: dict[int, Any]) -> By:
        """One for each request: it learns its model, and shares the rest."""
        return copy(self)

    def condition(self, value: Any) -> Q:
        return self.lookup(value) if callable(self.lookup) else Q(**{self.lookup: value})

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.filter(self.condition(value))


class PagedQuery(Query):
    """The query of every list."""

    def clean(self) -> None:
        if {"cursor", "page"} <= self.fields.keys():
            self.add_error("cursor", "cannot be used together with page")


class ListFilters(FilterSet):  # type: ignore[misc]  # the base class is untyped
    """The filters of a list, attributes in snake_case, as parameters in camelCase, and its orders.

    The first of ``sorts`` is its order when none is named.
    """

    #: Name → column.
    sorts: ClassVar[Mapping[str, str]] = {}
    descending: ClassVar[bool] = True
    #: The name that the OpenAPI document has for the orders.
    sort_schema: ClassVar[str] = ""

    class Meta:
        form = PagedQuery

    @classmethod
    def get_filters(cls) -> dict[str, By]:
        return {_camel(name): each for name, each in super().get_filters().items()}

    @classmethod
    @cache
    def form_class(cls) -> type[Query]:
        """The form of the whole query, made once: filters first, then orders and pages."""
        fields = {name: each.field for name, each in cls.base_filters.items()} | cls.further()
        form: type[Query] = type(f"{cls.__name__}Query", (cls._meta.form,), fields)
        return form

    @classmethod
    def further(cls) -> dict[str, Parameter]:
        """The parameters besides filters."""
        return _paging(cls)

    @classmethod
    def default_sort(cls) -> Sort:
        name, column = next(iter(cls.sorts.items()))
        return Sort(name, column, cls.descending)

    def get_form_class(self) -> type[Query]:
        return self.form_class()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By all that were named at once: each step of its own would cost as much again."""
        found = self.form.cleaned_data
        return queryset.filter(*(self.filters[name].condition(found[name]) for name in found if name in self.filters))

    def hint(self) -> Q:
        """What is true of the rows anyway, in the words of partial indexes. The parameters have been read."""
        return Q()

    def listing(self) -> Listing:
        """The rows that were asked for, their order, and which page. Raises `Problem` naming all that is bad."""
        found = self.form.meanings()
        scope = "&".join(
            f"{name}={value}" for name in sorted(self.filters) for value in sorted(self.data.getlist(name))
        )
        return Listing(
            rows=self.qs,
            hint=self.hint(),
            filtered=bool(scope),
            sort=found.get("sort") or self.default_sort(),
            size=found.get("size", DEFAULT_SIZE),
            page=found.get("page", 0),
            cursor=found.get("cursor"),
            scope=scope,
        )


class ExportedList(ListFilters):
    """A mixin for the whole of a list as a file: its filters and orders, and no pages."""

    @classmethod
    def further(cls) -> dict[str, Parameter]:
        form = Parameter(one_of(FORMATS), schema("ExportFormat"), "What the file is, json if absent.", default="json")
        return {"format": form, "sort": _paging(cls)["sort"]}


def _camel(name: str) -> str:
    """``created_after`` is createdAfter; ``from_``, which Python has another use for, is from."""
    head, *tail = name.removesuffix("_").split("_")
    return head + "".join(word.title() for word in tail)


def _paging(filters: type[ListFilters]) -> dict[str, Parameter]:
    """What every list takes. No schema has a default: generated clients send those, and ``page`` bars ``cursor``."""
    sort = filters.default_sort()
    order = f"Order, {sort.name},{'desc' if sort.descending else 'asc'} if absent"
    keyset = (
        "Keyset pages: empty for the first, then `next` or `previous` of the page before, with the same filters and "
        "sort. Not together with `page`."
    )
    return {
        "page": Parameter(whole(0, MAX_PAGE), integer(0, MAX_PAGE), "Which page, from 0; the first if absent."),
        "size": Parameter(
            whole(1, MAX_SIZE), integer(1, MAX_SIZE), f"How many items a page has, {DEFAULT_SIZE} if absent."
        ),
        "sort": Parameter(
            _sort(filters.sorts),
            schema(filters.sort_schema),
            f"{order}; ties are broken by id in the same direction.",
        ),
        "cursor": Parameter(str, {"type": "string"}, keyset, may_be_empty=True),
    }


def _sort(sorts: Mapping[str, str]) -> Read:
    def read(text: str) -> Sort:
        name, comma, direction = text.partition(",")
        if name not in sorts or direction not in (("asc", "desc") if comma else ("",)):
            raise ValueError(f"must be one of {', '.join(sorts)}, followed by ,asc or ,desc")
        return Sort(name, sorts[name], direction == "desc")

    return read
