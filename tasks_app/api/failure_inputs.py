"""What may be asked of failures in groups: of the list, of one, and of the retry of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.utils import timezone

from access_app.http.fields import Fields, or_null, read_object, read_reason_text
from access_app.http.filters import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from access_app.http.openapi.schemas import INSTANT, NAME, Json, integer, schema
from access_app.http.problems import Problem
from access_app.http.query import Parameter, Query, instant, one_of, visible, whole
from access_app.http.times import parse_instant, show_instant
from access_app.refusals import InvalidInput
from tasks_app.acts import BulkAction
from tasks_app.api.filters import queue_name
from tasks_app.api.operation_inputs import QUEUE, RATE
from tasks_app.executors.registry import executors
from tasks_app.failure_groups import USUAL, Order, Wanted, Window
from tasks_app.states import TaskStatus
from tasks_app.tickets import Ask

SORTS: Final = tuple(f"{order}{way}" for order in Order for way in ("", ",asc", ",desc"))
_TEXT: Final[Json] = {"type": "string", "minLength": 1}
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


_WINDOW: Final = {
    "from": Parameter(instant, INSTANT, "Ended at this time or later; 24 hours before `to` if absent."),
    "to": Parameter(instant, INSTANT, "Ended before this; now if absent."),
    "queue": Parameter(queue_name, NAME, "Of tasks of this queue."),
}
_LIST: Final = {
    "type": Parameter(one_of(lambda: sorted(executors())), _TEXT, "Of tasks of this type."),
    "code": Parameter(visible, _TEXT, "With this error code."),
    "sort": Parameter(
        one_of(SORTS),
        schema("FailureSort"),
        "Order, count,desc if absent; ties: the last failure first.",
        default="count,desc",
    ),
    "page": Parameter(whole(0, MAX_PAGE), integer(0, MAX_PAGE), "Which page, from 0; the first if absent.", default=0),
    "size": Parameter(
        whole(1, MAX_SIZE),
        integer(1, MAX_SIZE),
        f"How many groups a page has, {DEFAULT_SIZE} if absent.",
        default=DEFAULT_SIZE,
    ),
}
# Made by a call, because Python has another use for one of the names; of copies, which forms take apart.
WindowQuery: type[Query] = type("WindowQuery", (Query,), {**_WINDOW})
FailuresQuery: type[Query] = type("FailuresQuery", (Query,), {**_WINDOW, **_LIST})


def window_of(asked: Mapping[str, Any]) -> Window:
    """The time that is asked for. Raises `InvalidInput`."""
    until = asked.get("to")
    since = asked.get("from") or _usual_before(until or timezone.now())
    if until is not None and until <= since:
        raise InvalidInput({"to": "must be later than from"})
    return Window(since, until, asked.get("queue"))


def _usual_before(until: datetime) -> datetime:
    """As far back as a look goes, and no further than there are times."""
    return max(until, _FIRST + USUAL) - USUAL


def wanted_of(asked: Mapping[str, Any]) -> Wanted:
    """Raises `InvalidInput`."""
    order, _, way = asked["sort"].partition(",")
    page, size = asked["page"], asked["size"]
    return Wanted(
        window_of(asked), asked["type"], asked["code"], Order(order), way == "desc", size=size, offset=page * size
    )


@dataclass(frozen=True, slots=True)
class AskedRetry:
    """What the body of a retry asks for."""

    window: Window
    reason: str
    rate: int | None


_RETRY: Final[Fields] = {
    "from": ("from", or_null(parse_instant)),
    "to": ("to", or_null(parse_instant)),
    "queue": ("queue", or_null(QUEUE.read)),
    "reason": ("reason", read_reason_text),
    "ratePerSecond": ("rate", or_null(RATE.read)),
}


def read_retry(data: Any) -> AskedRetry:
    """Raises `Problem` and `InvalidInput` naming every bad field."""
    values, problems = read_object(data, _RETRY)
    if problems:
        raise Problem.invalid(problems)
    # Up to now: what fails so later was not shown.
    window = window_of({**values, "to": values.get("to") or timezone.now()})
    return AskedRetry(window, values.get("reason", ""), values.get("rate"))


def retry_of(fingerprint: str, window: Window) -> Ask:
    """The retry of those tasks of a group that failed so in a window, and have come to nothing else since."""
    return Ask(BulkAction.RETRY, filter_of(fingerprint, window))


def filter_of(fingerprint: str, window: Window) -> dict[str, Any]:
    """The filter of GET /tasks that means them."""
    found: dict[str, Any] = {
        "status": [str(TaskStatus.FAILED)],
        "failure": fingerprint,
        "endedAfter": _shown(window.since),
    }
    if window.until is not None:
        found["endedBefore"] = _shown(window.until)
    if window.queue is not None:
        found["queue"] = window.queue
    return found


def _shown(at: datetime) -> str:
    return str(show_instant(at))
