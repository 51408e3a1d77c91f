"""Failures in groups: the list with a picture of the last day, and the page of one with its tasks and the way to retry
them, which leads to the form for acting on many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.refusals import InvalidInput
from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, person_of
from access_app.staff.filters import BadValue, BarFilter, ChoiceFilter
from access_app.staff.page_list import PageList
from tasks_app import failure_groups, selectors
from tasks_app.admin.filters import TypeFilter
from tasks_app.failure_groups import HOURS, USUAL, Counted, Order, Wanted, Window
from tasks_app.failures import FailureGroup
from tasks_app.fields import QUEUE_NAME

_WINDOWS: Final = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", USUAL),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
_USUAL: Final = "24h"
#: Of the picture of a group.
_HEIGHT: Final = 16
_LATEST: Final = 10


class WithinFilter(ChoiceFilter):
    """Which time the counts are of; without one the last 24 hours."""

    title, parameter_name, kind = "time", "within", "tabs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in _WINDOWS.items()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """All of them but the one that Django adds, which would be all failures ever."""
        _, *named = super().choices(changelist)
        for choice, (name, _) in zip(named, self.lookup_choices, strict=True):
            yield choice | {"selected": name == (self.value() or _USUAL)}

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset


class OrderFilter(ChoiceFilter):
    title, parameter_name, kind = "order", "by", "select"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(Order.COUNT, "Most first"), (Order.LAST, "Latest first")]

    def narrow_to(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset


class InQueueFilter(BarFilter):
    """By the queue of the tasks when they failed, which the counts know and the groups do not."""

    title, parameter_name, placeholder = "queue", "queue", "Queue, exactly"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not QUEUE_NAME.fullmatch(value):
            raise BadValue("can be the name of no queue")
        return queryset


class CodeFilter(BarFilter):
    title, parameter_name, placeholder = "error code", "code", "Error code, e.g. NETWORK"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not value.isprintable():
            raise BadValue("can be no error code")
        return queryset.filter(code=value)


class Groups(PageList):
    """Groups as the window of the filters shows them."""

    def read_rows(self, start: int, stop: int) -> list[Any]:
        if self.problems:
            return []
        named = {str(spec.parameter_name): (spec.value() or "").strip() for spec in self.filter_specs}  # type: ignore[attr-defined]
        wanted = Wanted(
            window_of(named["within"] or _USUAL, named["queue"] or None),
            named["type"] or None,
            named["code"] or None,
            Order(named["by"] or Order.COUNT),
            size=stop - start,
            offset=start,
        )
        try:
            return [_row_of(group) for group in failure_groups.list_groups(wanted)[0]]
        except InvalidInput as error:
            self.filter_specs[0].problem = "; ".join(error.problems.values())  # type: ignore[attr-defined]
            return []


def window_of(name: str, queue: str | None = None) -> Window:
    """The window of a tab, up to now."""
    return Window(timezone.now() - _WINDOWS[name][1], None, queue)


def _row_of(group: Counted) -> FailureGroup:
    """What the list draws: a group that knows what was counted of it."""
    row = FailureGroup(fingerprint=group.fingerprint, type=group.type, code=group.code, message=group.message)
    row.found = group  # type: ignore[attr-defined]  # read by the columns
    return row


@admin.register(FailureGroup)
class FailureGroupAdmin(StaffAdmin):
    page_template = "admin/tasks_app/failuregroup/page.html"
    reads = Action.FAILURE_READ
    list_display = ("group", "how_many", "last_day", "first_one", "last_one", "one_of_them")
    list_filter = (WithinFilter, TypeFilter, InQueueFilter, CodeFilter, OrderFilter)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PageList]:
        return Groups

    def prepare(self, rows: list[Any]) -> None:
        hours = failure_groups.hours_of([row.pk for row in rows])
        for row in rows:
            row.hours = hours[row.pk]

    @admin.display(description="failure")
    def group(self, row: FailureGroup) -> SafeString:
        message = display.words(row.message)
        return format_html(
            '<span class="ts-task"><span><b>{}</b> <span class="ts-error ts-mono">{}</span></span>'
            '<span class="ts-what ts-mono" title="{}">{}</span></span>',
            row.type,
            row.code,
            message,
            message[:200],
        )

    @admin.display(description="attempts")
    def how_many(self, row: Any) -> str:
        return display.number(row.found.count)

    @admin.display(description="last 24 hours")
    def last_day(self, row: Any) -> SafeString:
        return picture(row.hours)

    @admin.display(description="first")
    def first_one(self, row: Any) -> SafeString | str:
        return display.past(row.found.first)

    @admin.display(description="last")
    def last_one(self, row: Any) -> SafeString | str:
        return display.past(row.found.last)

    @admin.display(description="one of them")
    def one_of_them(self, row: Any) -> SafeString | str:
        return display.task_link(row.found.sample) if row.found.sample else display.EMPTY

    def live_seconds(self, row: Any) -> int:
        return 10

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        found = failure_groups.count_since(row.pk, {f"in_{name}": window_of(name).since for name in _WINDOWS})
        [hours] = failure_groups.hours_of([row.pk]).values()
        person = person_of(request)
        retries = person.may(Action.BULK_CREATE) and person.may(Action.BULK_RUN, row.type)
        return {
            "title": f"{row.type} {row.code}",
            "message": display.words(row.message),
            "picture": picture(hours),
            "stats": [(label, f"{found[f'in_{name}']:,}") for name, (label, _) in _WINDOWS.items()],
            "retries": [(label, retry_url(row, name)) for name, (label, _) in _WINDOWS.items() if found[f"in_{name}"]]
            if retries
            else [],
            "why_none": person.refusal(Action.BULK_RUN, row.type) or "",
            "latest": _latest(row),
            "tasks": f"{reverse('admin:tasks_app_task_changelist')}?{display.query(failure=row.pk)}",
            "facts": [
                ("Type", row.type),
                ("Code", row.code),
                ("First ever", display.exact(row.first_at)),
                ("Last", display.exact(row.last_at)),
                ("Fingerprint", row.pk),
            ],
        }


def retry_url(row: FailureGroup, within: str) -> str:
    """The form for acting on many, filled in: what failed so within a time up to now, and is FAILED by that."""
    now = timezone.now()
    asked = {
        "action": "retry",
        "status": "FAILED",
        "failure": row.pk,
        "ended_after": (now - _WINDOWS[within][1]).isoformat(),
        "ended_before": now.isoformat(),
    }
    return f"{reverse('admin:tasks_app_bulkoperation_add')}?{display.query(**asked)}"


def picture(hours: Sequence[int]) -> SafeString:
    """A bar for each hour, the highest as high as it goes; any failure at all can be seen."""
    most, total = max(hours), sum(hours)
    if not total:
        return format_html('<span class="ts-dim">{}</span>', display.EMPTY)
    bars = "".join(_bar(hour, count / most) for hour, count in enumerate(hours) if count)
    words = f"{total:,} in the last {HOURS} hours, at most {most:,} in one"
    return format_html(
        '<svg class="ts-spark ts-red" viewBox="0 0 {} {}" role="img" aria-label="{words}"><title>{words}</title>'
        '<path d="{bars}"/></svg>',
        3 * HOURS - 1,
        _HEIGHT,
        words=words,
        bars=bars,
    )


def _bar(hour: int, share: float) -> str:
    return f"M{3 * hour} {_HEIGHT}v-{max(1, round(_HEIGHT * share))}h2v{_HEIGHT}z"


def _latest(row: FailureGroup) -> list[dict[str, Any]]:
    """The tasks of the last failures, each as it is now."""
    found = failure_groups.latest_of(row.pk, most=_LATEST)
    tasks = selectors.tasks_of(each.task_id for each in found)
    return [
        {
            "task": display.task_link(each.task_id),
            "attempt": each.attempt,
            "queue": each.queue,
            "state": display.badge(tasks[each.task_id].status) if each.task_id in tasks else display.EMPTY,
            "ended": display.past(each.at),
        }
        for each in found
    ]
