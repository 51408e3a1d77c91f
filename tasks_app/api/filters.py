"""The query string of ``GET /tasks``: strict, because a filter that is silently ignored selects everything.

Not django-filter: its form fields take naive times, repeated values and unknown names, and each would need an override.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from tasks_app.api.problems import Problem
from tasks_app.api.times import parse_instant
from tasks_app.executors.registry import executors
from tasks_app.ids import lowest_id
from tasks_app.models import ENDED_ROW, OWNED_ROW, UNSUCCESSFUL_ROW, WAITING_ROW
from tasks_app.new_tasks import CORRELATION_ID, QUEUE_NAME
from tasks_app.states import FINAL, TaskStatus

MAX_SIZE: Final = 200
DEFAULT_SIZE: Final = 20
MAX_PAGE: Final = 100_000_000
_MILLISECOND: Final = timedelta(milliseconds=1)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Waiting tasks in three indexes: the due, those that have lost a worker, those with a key. Only the last are parked.
_WAITING_KINDS: Final = [
    WAITING_ROW & Q(key_blocked=False, crash_count=0),
    WAITING_ROW & Q(key_blocked=False, crash_count__gt=0),
    WAITING_ROW & Q(concurrency_key__isnull=False),
]

#: JSON name → column. Creation time is in the id, and so is its index.
SORTS: Final = {"createdAt": "id", "scheduleAt": "schedule_at", "priority": "priority"}


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of tasks; ties are broken by id, in the same direction."""

    name: str = "createdAt"
    descending: bool = True

    @property
    def column(self) -> str:
        return SORTS[self.name]

    def order(self, *, reverse: bool = False) -> list[str]:
        sign = "-" if self.descending != reverse else ""
        return [sign + column for column in dict.fromkeys((self.column, "id"))]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a caller wants to see: which tasks, in which order, and which page of them."""

    where: Q
    #: Changes no row of the answer: it repeats what partial indexes are about, so that they can be used.
    hint: Q
    filtered: bool
    sort: Sort
    size: int
    page: int
    #: None: numbered pages; an empty text: the first keyset page.
    cursor: str | None
    #: The parameters a cursor belongs to: all but ``cursor`` and ``size``.
    scope: str


def read_listing(parameters: QueryDict) -> Listing:
    """Parse the parameters; the view has refused unknown names. Raises `Problem` naming every bad one."""
    problems: dict[str, str] = {}
    where = Q()
    for name, values in parameters.lists():
        if len(values) > 1 and name != "status":
            problems[name] = "must be given once"
            continue
        if name in _FILTERS:
            where &= _read(name, values, problems)
    sort = _value(parameters, "sort", _sort, Sort(), problems)
    size = _value(parameters, "size", _whole(1, MAX_SIZE), DEFAULT_SIZE, problems)
    page = _value(parameters, "page", _whole(0, MAX_PAGE), 0, problems)
    if "cursor" in parameters and "page" in parameters:
        problems["cursor"] = "cannot be used together with page"
    if problems:
        raise Problem.invalid(problems)
    scope = "&".join(f"{name}={value}" for name in sorted(_FILTERS) for value in sorted(parameters.getlist(name)))
    cursor = str(parameters["cursor"]) if "cursor" in parameters else None
    return Listing(where, _hint(parameters), bool(scope), sort, size, page, cursor, scope)


def _hint(parameters: QueryDict) -> Q:
    """The kinds of rows that can match, for filters an index of each kind helps: by status, by correlation id."""
    statuses = set(map(str, parameters.getlist("status"))) or set(TaskStatus)
    kinds = []
    if statuses & FINAL:
        # Successes have no index by status: without a correlation id the primary key, newest first, is full of them.
        kinds = [ENDED_ROW if TaskStatus.SUCCESS in statuses else ENDED_ROW & UNSUCCESSFUL_ROW]
    kinds += [OWNED_ROW] if statuses & {TaskStatus.SCHEDULED, TaskStatus.RUNNING} else []
    kinds += _WAITING_KINDS if TaskStatus.PENDING in statuses else []
    helps = "correlationId" in parameters or len(kinds) < 2 + len(_WAITING_KINDS)
    return reduce(operator.or_, kinds) if helps else Q()


def _read(name: str, values: list[str], problems: dict[str, str]) -> Q:
    try:
        if name == "status":
            return Q(status__in=[_status(value) for value in values])
        lookup, read = _FILTERS[name]
        return Q(**{lookup: read(values[0])})
    except ValueError as error:
        problems[name] = str(error)
        return Q()


def _value(parameters: QueryDict, name: str, read: Callable[[str], Any], default: Any, problems: dict[str, str]) -> Any:
    if name in parameters:
        try:
            return read(str(parameters[name]))
        except ValueError as error:
            problems.setdefault(name, str(error))
    return default


def _status(text: str) -> str:
    if text not in list(TaskStatus):
        raise ValueError(f"must be one of {', '.join(TaskStatus)}")
    return text


def _type(text: str) -> str:
    if text not in executors():
        raise ValueError(f"must be one of {', '.join(sorted(executors()))}")
    return text


def _matching(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(message)
        return text

    return read


def _uuid(text: str) -> UUID:
    if not _UUID.fullmatch(text):
        raise ValueError("must be a UUID")
    return UUID(text)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def _sort(text: str) -> Sort:
    name, comma, direction = text.partition(",")
    if name not in SORTS or direction not in (("asc", "desc") if comma else ("",)):
        raise ValueError(f"must be one of {', '.join(SORTS)}, followed by ,asc or ,desc")
    return Sort(name, direction == "desc")


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        hint = " (write + as %2B in a URL)" if re.search(r"\d \d\d:?\d\d$", text) else ""
        raise ValueError(f"{error}{hint}") from None


def _created(text: str) -> UUID:
    """The lowest id of the first millisecond that is not before the instant: ids hold whole milliseconds."""
    instant = _instant(text)
    rest = instant.microsecond % 1000
    try:
        return lowest_id(instant + (_MILLISECOND if rest else timedelta()))
    except OverflowError:  # the last millisecond of year 9999
        return lowest_id(instant)


_FILTERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "status": ("status__in", _status),
    "type": ("type", _type),
    "queue": ("queue", _matching(QUEUE_NAME, "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -")),
    "workerId": ("worker_id", _uuid),
    "scheduleId": ("schedule_id", _uuid),
    "correlationId": ("correlation_id", _matching(CORRELATION_ID, "must be 1 to 128 characters of A-Z a-z 0-9 . _ -")),
    "createdAfter": ("id__gte", _created),
    "createdBefore": ("id__lt", _created),
    "scheduledAfter": ("schedule_at__gte", _instant),
    "scheduledBefore": ("schedule_at__lt", _instant),
}
PARAMETERS: Final = frozenset(_FILTERS) | {"page", "size", "sort", "cursor"}
