"""Filters of bulk operations: those by which one chooses tasks, read from JSON, and those of the list of operations.

The first are exactly those of GET /tasks, read by the same form. What cannot be read is an error, and never everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict

from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import schema
from access_app.http.problems import Problem
from access_app.http.query import one_of, visible
from access_app.refusals import InvalidInput, bounded
from tasks_app.acts import BulkAction, OperationState
from tasks_app.api.filters import TaskFilters
from tasks_app.conditions import UNSUCCESSFUL, Condition, UnreadableFilter, condition_of
from tasks_app.models import Task
from tasks_app.states import UNSUCCESSFUL as UNSUCCESSFUL_STATUSES

#: What a filter may name, in the order of the documents.
NAMES: Final = tuple(TaskFilters.base_filters)
_NOTHING: Final = f"must name at least one of {', '.join(NAMES)}"


class OperationFilters(ListFilters):
    """Operations are listed by when their dry run was made."""

    sorts = {"createdAt": "pk"}
    sort_schema = "BulkOperationSort"

    state = By("state", one_of(list(OperationState)), schema("BulkOperationState"), "Operations in this state.")
    action = By("action", one_of(list(BulkAction)), schema("BulkAction"), "Operations that do this.")
    asked_by = By("asked_by", visible, {"type": "string"}, "Operations that this key, or `user:NAME`, has asked for.")


def read_filter(value: Any) -> dict[str, Any]:
    """The filter that a JSON value names, as it is kept. Raises `InvalidInput` naming every bad part."""
    if type(value) is not dict:
        raise InvalidInput({"filter": f"must be an object, and {_NOTHING}"})
    if not value:
        raise InvalidInput({"filter": _NOTHING})
    problems = {name: problem for name, found in value.items() if (problem := _problem(name, found))}
    if not problems:
        problems = dict(_form_problems(value))
    if problems:
        raise InvalidInput({f"filter.{name}": problem for name, problem in bounded(problems.items()).items()})
    return {name: _canonical(name, value[name]) for name in NAMES if name in value}


def _canonical(name: str, value: Any) -> Any:
    """One form of what means the same, which is what a token is bound to."""
    if not TaskFilters.base_filters[name].parameter.repeated:
        return value
    return sorted({value} if isinstance(value, str) else set(value))


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with the shape of one part; what its texts mean is asked of the form."""
    if name not in NAMES:
        return "is no filter of GET /tasks"
    if isinstance(value, str):
        return None
    if not TaskFilters.base_filters[name].parameter.repeated:
        return "must be a string"
    if type(value) is not list or not all(isinstance(text, str) for text in value):
        return "must be a string or a list of strings"
    return None if value else "must name at least one"


def _form_problems(value: Mapping[str, Any]) -> Mapping[str, str]:
    try:
        _filters(value).form.meanings()
    except Problem as problem:
        return problem.errors
    return {}


def _filters(stored: Mapping[str, Any]) -> TaskFilters:
    data = QueryDict(mutable=True)
    for name, value in stored.items():
        data.setlist(name, [value] if isinstance(value, str) else value)
    return TaskFilters(data, Task.objects.all())


def rows_of(stored: Mapping[str, Any]) -> QuerySet[Task]:
    """The tasks that a filter means, for a look at them."""
    filters = _filters(read_filter(stored))
    filters.form.meanings()
    rows: QuerySet[Task] = filters.qs
    return rows.filter(filters.hint()).defer("payload")


def condition_of_filter(stored: Mapping[str, Any]) -> Condition:
    """The condition of a stored filter, for statements. Raises `UnreadableFilter`, as for one of a later release."""
    try:
        filters = _filters(read_filter(stored))
    except InvalidInput as error:
        raise UnreadableFilter(str(error)) from None
    statuses = set(filters.form.meanings().get("status", ()))
    narrow = UNSUCCESSFUL if statuses and statuses <= UNSUCCESSFUL_STATUSES else "true"
    return condition_of(filters.qs, narrow=narrow)
