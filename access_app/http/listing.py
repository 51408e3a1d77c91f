"""Query strings of lists: strict, because a filter that is silently ignored selects everything. Which filters a list
has, its orders and its rows are said where the list is (``filters`` for tasks).

Not django-filter: its form fields take naive times, repeated values and unknown names, and each would need an override.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from access_app.texts import UUID_TEXT

MAX_SIZE: Final = 200
DEFAULT_SIZE: Final = 20
MAX_PAGE: Final = 100_000_000
PAGING: Final = frozenset({"page", "size", "sort", "cursor"})
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Answers what a value means, or raises ValueError with one sentence.
Read = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Sort:
    """An order by a column that is never null; ties are broken by the primary key, in the same direction."""

    name: str
    column: str
    descending: bool

    def order(self, *, reverse: bool = False) -> list[str]:
        sign = "-" if self.descending != reverse else ""
        return [sign + column for column in dict.fromkeys((self.column, "pk"))]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a caller wants to see: which rows, in which order, and which page of them."""

    where: Q
    filtered: bool
    sort: Sort
    size: int
    page: int
    #: None: numbered pages; an empty text: the first keyset page.
    cursor: str | None
    #: The parameters a cursor belongs to: all but ``cursor`` and ``size``.
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What may be asked of one kind of list. The first of ``sorts`` is its order when none is named."""

    #: Parameter → lookup, or what makes a condition of the value; and how the value is read.
    filters: Mapping[str, tuple[str | Callable[[Any], Q], Read]]
    #: Name → column.
    sorts: Mapping[str, str]
    descending: bool = True
    #: Filters that may be repeated: any of the values. Their lookups are ``…__in``.
    repeated: Collection[str] = ()

    @property
    def parameters(self) -> frozenset[str]:
        return PAGING | self.filters.keys()

    def read(self, parameters: QueryDict) -> Listing:
        """Parse the parameters; the view has refused unknown names. Raises `Problem` naming every bad one."""
        problems: dict[str, str] = {}
        where = Q()
        for name, values in parameters.lists():
            if len(values) > 1 and name not in self.repeated:
                problems[name] = "must be given once"
            elif name in self.filters:
                where &= self._filter(name, values, problems)
        sort = read_value(parameters, "sort", self._sort, self._default_sort(), problems)
        size = read_value(parameters, "size", whole(1, MAX_SIZE), DEFAULT_SIZE, problems)
        page = read_value(parameters, "page", whole(0, MAX_PAGE), 0, problems)
        if "cursor" in parameters and "page" in parameters:
            problems["cursor"] = "cannot be used together with page"
        if problems:
            raise Problem.invalid(problems)
        names = sorted(self.filters)
        scope = "&".join(f"{name}={value}" for name in names for value in sorted(parameters.getlist(name)))
        cursor = str(parameters["cursor"]) if "cursor" in parameters else None
        return Listing(where, bool(scope), sort, size, page, cursor, scope)

    def _filter(self, name: str, values: list[str], problems: dict[str, str]) -> Q:
        lookup, read = self.filters[name]
        try:
            found = [read(value) for value in values]
        except ValueError as error:
            problems[name] = str(error)
            return Q()
        value = found if name in self.repeated else found[0]
        return Q(**{lookup: value}) if isinstance(lookup, str) else lookup(value)

    def _default_sort(self) -> Sort:
        name, column = next(iter(self.sorts.items()))
        return Sort(name, column, self.descending)

    def _sort(self, text: str) -> Sort:
        name, comma, direction = text.partition(",")
        if name not in self.sorts or direction not in (("asc", "desc") if comma else ("",)):
            raise ValueError(f"must be one of {', '.join(self.sorts)}, followed by ,asc or ,desc")
        return Sort(name, self.sorts[name], direction == "desc")


def read_value(parameters: QueryDict, name: str, read: Read, default: Any, problems: dict[str, str]) -> Any:
    """The value of one parameter. What cannot be read is added to ``problems``."""
    if name in parameters:
        try:
            return read(str(parameters[name]))
        except ValueError as error:
            problems.setdefault(name, str(error))
    return default


def one_of(choices: Collection[str]) -> Read:
    """One of these."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return read


def matching(pattern: re.Pattern[str], message: str) -> Read:
    """A text of this form."""

    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(message)
        return text

    return read


def whole(low: int, high: int) -> Read:
    """A whole number of this range."""

    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def flag(text: str) -> bool:
    """True or false."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def uuid(text: str) -> UUID:
    """A UUID."""
    if not UUID_TEXT.fullmatch(text):
        raise ValueError("must be a UUID")
    return UUID(text)


def instant(text: str) -> datetime:
    """A time with its zone."""
    try:
        return parse_instant(text)
    except ValueError as error:
        hint = " (write + as %2B in a URL)" if re.search(r"\d \d\d:?\d\d$", text) else ""
        raise ValueError(f"{error}{hint}") from None
