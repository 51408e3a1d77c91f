"""When a schedule runs next, in words: a time that goes by without a run is not called one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.staff import display
from schedules_app.calendars import Calendar, InvalidCalendar, OnBlackout, covering, parse_calendar
from schedules_app.models import BlackoutCalendar, Schedule

NOT_WHILE_PAUSED: Final = "not while paused"


def next_fires(schedules: Sequence[Schedule], now: datetime) -> Mapping[UUID, SafeString | str]:
    """The words for each schedule; one query for all, and none when no schedule has a calendar."""
    known = known_calendars({name for schedule in schedules for name in schedule.calendars})
    return {each.pk: _words(each, [known[name] for name in each.calendars if name in known], now) for each in schedules}


def known_calendars(names: Iterable[str]) -> dict[str, Calendar]:
    """The calendars of these names that this host can read, by name."""
    wanted, known = list(names), {}
    for row in BlackoutCalendar.objects.filter(pk__in=wanted) if wanted else ():
        try:
            known[row.name] = parse_calendar(row.name, row.timezone, row.on_blackout, row.ranges)
        except InvalidCalendar:  # this host does not know its zone: the page of the calendar says so
            continue
    return known


def _words(schedule: Schedule, calendars: Sequence[Calendar], now: datetime) -> SafeString | str:
    if schedule.next_fire_at is None or schedule.next_slot is None:
        return display.EMPTY
    if schedule.paused:
        return NOT_WHILE_PAUSED
    blackout = covering(calendars, schedule.next_slot)
    if blackout is None:
        return display.due(schedule.next_fire_at, now)
    if blackout.on_blackout is OnBlackout.SKIP:
        return format_html(
            '<span title="{}">skipped, in blackout {}</span>', display.exact(schedule.next_slot), blackout.calendar
        )
    return format_html("{}, at the end of blackout {}", display.due(blackout.until, now), blackout.calendar)
