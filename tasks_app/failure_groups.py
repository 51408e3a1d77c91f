"""What may be asked about failures in groups: how many there were in a time, when, and which task is one of them.

Counts come from the narrow rows of ``failures``, each a failed attempt; messages are read of the groups that are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from access_app.refusals import NotFound
from access_app.sql import statement
from tasks_app.failures import FailureGroup, TaskFailure
from tasks_app.patience import no_longer_than

#: How far a look goes back that does not say.
USUAL: Final = timedelta(hours=24)
LONGEST_COUNT: Final = timedelta(seconds=5)
#: Hours of the picture of a group.
HOURS: Final = 24
_TOO_MANY: Final = {"from": f"takes more than {LONGEST_COUNT.seconds} s to count: name a later time"}


class GroupNotFound(NotFound):
    """No group has this fingerprint, or none any more."""


class Order(StrEnum):
    """What a list of groups goes by."""

    COUNT = "count"
    LAST = "last"


class Window(NamedTuple):
    """Which failures are meant: those that ended from one time to before another, perhaps of one queue."""

    since: datetime
    until: datetime | None = None
    queue: str | None = None

    @classmethod
    def usual(cls) -> Window:
        return cls(timezone.now() - USUAL)


class Wanted(NamedTuple):
    """Which groups, in which order, and which of them."""

    window: Window
    type: str | None = None
    code: str | None = None
    order: Order = Order.COUNT
    descending: bool = True
    size: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """A group as a window shows it: how many attempts failed so, and a task whose attempt was the last of them."""

    fingerprint: str
    type: str
    code: str
    message: str
    count: int
    first: datetime | None
    last: datetime | None
    sample: UUID | None


def group_of(fingerprint: str) -> FailureGroup:
    """The group itself. Raises `GroupNotFound`."""
    group = FailureGroup.objects.filter(pk=fingerprint).first()
    if group is None:
        raise GroupNotFound(f"there is no group of failures {fingerprint}")
    return group


def count_since(fingerprint: str, times: Mapping[str, datetime]) -> dict[str, int]:
    """How many failures a group has had since each of several times. Index: task_failures_group, alone."""
    counts = {name: Count("pk", filter=Q(at__gte=since)) for name, since in times.items()}
    found = TaskFailure.objects.filter(fingerprint=fingerprint, at__gte=min(times.values()))
    return dict(found.aggregate(**counts))


def latest_of(fingerprint: str, *, most: int) -> list[TaskFailure]:
    """The last failures of a group, latest first. Index: task_failures_group."""
    return list(TaskFailure.objects.filter(fingerprint=fingerprint).order_by("-at", "-task_id")[:most])


def list_groups(wanted: Wanted) -> tuple[list[Counted], int]:
    """A page of the groups that had failures in a window, and how many such groups there are. Raises `InvalidInput`."""
    rows = count_groups(wanted)
    return [Counted(*row[1:]) for row in rows if row[1] is not None], rows[0][0]


def count_group(group: FailureGroup, window: Window) -> Counted:
    """One group as a window shows it; with a count of 0 when it had none there. Raises `InvalidInput`."""
    found = count_groups(Wanted(window, group.type, group.code, size=1), fingerprint=group.pk)[0]
    if found[1] is None:
        return Counted(group.pk, group.type, group.code, group.message, 0, None, None, None)
    return Counted(*found[1:])


def count_groups(wanted: Wanted, *, fingerprint: str | None = None) -> list[tuple[Any, ...]]:
    """Rows of groups, each with how many groups there are; one of NULLs when the page is empty."""
    window = wanted.window
    parameters = {
        "since": window.since,
        "until": window.until or "infinity",
        "queue": window.queue,
        "fingerprint": fingerprint,
        "type": wanted.type,
        "code": wanted.code,
        "by_count": wanted.order is Order.COUNT,
        "sign": -1 if wanted.descending else 1,
        "size": wanted.size,
        "offset": wanted.offset,
    }
    with no_longer_than(LONGEST_COUNT, _TOO_MANY) as cursor:
        cursor.execute(statement("count_groups"), parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def hours_of(fingerprints: Collection[str]) -> dict[str, list[int]]:
    """How many failures each group had in each of the last 24 hours, oldest first. Raises `InvalidInput`."""
    counts = {fingerprint: [0] * HOURS for fingerprint in fingerprints}
    for fingerprint, ago, count in count_by_hour(fingerprints) if counts else ():
        counts[fingerprint][HOURS - 1 - ago] = count
    return counts


def count_by_hour(fingerprints: Collection[str]) -> Sequence[tuple[str, int, int]]:
    """Group, how many hours ago, how many; hours without any have no row."""
    with no_longer_than(LONGEST_COUNT, _TOO_MANY) as cursor:
        cursor.execute(statement("count_by_hour"), {"fingerprints": list(fingerprints), "hours": HOURS})
        rows: list[tuple[str, int, int]] = cursor.fetchall()
    return rows
