"""Blackout calendars: kept as asked for, in force at once, never taken from under a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from access_app.models import AuditEvent
from access_app.versions import Stale
from schedules_app import calendar_services, services
from schedules_app.calendar_services import CalendarInUse, CalendarNotFound, NewCalendar
from schedules_app.calendars import InvalidCalendar
from schedules_app.firing import fire_due
from schedules_app.models import BlackoutCalendar
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.services import NameTaken
from tasks_app.sessions import Session
from tests.support.races import rival, transaction
from tests.support.schedules import make_calendar, make_schedule, states, whole_now

OpenSession = Callable[[], Session]
NIGHTS = NewCalendar(
    name="nights", timezone="Europe/Berlin", on_blackout="run_at_end",
    ranges=[{"weekdays": ["sat", "sun"], "from": "22:00", "to": "06:00"}],
)  # fmt: skip
HOUR = timedelta(hours=1)


def now_until(hours: float) -> dict[str, Any]:
    now = whole_now()
    return {"from": f"{now - HOUR * 9:%Y-%m-%dT%H:%M:%SZ}", "to": f"{now + HOUR * hours:%Y-%m-%dT%H:%M:%SZ}"}


class TestCalendars:
    def test_are_kept_as_asked_for(self, session: Session) -> None:
        made = calendar_services.create_calendar(NIGHTS, created_by="me")
        assert (calendar_services.definition_of_calendar(made), made.version, made.created_by) == (NIGHTS, 1, "me")
        edited = calendar_services.edit_calendar("nights", lambda c: replace(c, description="d"), actor="me")
        assert (edited.description, edited.version) == ("d", 2)
        calendar_services.delete_calendar("nights", actor="me")
        assert not BlackoutCalendar.objects.exists()
        actions = list(AuditEvent.objects.order_by("id").values_list("action", "target"))
        assert actions == [(f"calendar.{did}", "calendar:nights") for did in ("created", "edited", "deleted")]

    def test_refuse_what_cannot_be_kept(self, session: Session) -> None:
        with pytest.raises(InvalidCalendar) as caught:
            calendar_services.create_calendar(replace(NIGHTS, name="a b", timezone="Mars"), created_by="me")
        assert set(caught.value.problems) == {"name", "timezone"}
        calendar_services.create_calendar(NIGHTS, created_by="me")
        with pytest.raises(NameTaken):
            calendar_services.create_calendar(NIGHTS, created_by="me")
        with pytest.raises(InvalidCalendar):
            calendar_services.edit_calendar("nights", lambda c: replace(c, name="days"), actor="me")
        with pytest.raises(Stale, match="calendar"):
            calendar_services.edit_calendar("nights", lambda c: c, actor="me", versions=[9])
        with pytest.raises(CalendarNotFound):
            calendar_services.delete_calendar("none", actor="me")

    def test_are_in_force_at_once_for_what_waits(self, session: Session) -> None:
        make_calendar("freeze", now_until(5), on_blackout="run_at_end")
        schedule = make_schedule(calendars=["freeze"])
        fire_due(session)
        assert states(schedule) == []
        calendar_services.edit_calendar("freeze", lambda c: replace(c, ranges=[now_until(-1)]), actor="me")
        fire_due(session)
        assert states(schedule) == ["FIRED"]

    def test_in_use_stay(self, session: Session) -> None:
        make_calendar("freeze", now_until(5))
        schedule = make_schedule(calendars=["freeze"])
        with pytest.raises(CalendarInUse, match=schedule.name):
            calendar_services.delete_calendar("freeze", actor="me")

    def test_being_deleted_cannot_be_named_meanwhile(self, session: Session, open_session: OpenSession) -> None:
        make_calendar("freeze", now_until(5))
        schedule, other = make_schedule(due=0), open_session()
        with transaction(other):
            other.fetch("SELECT 1 FROM blackout_calendars WHERE name = 'freeze' FOR UPDATE")
            other.execute("DELETE FROM blackout_calendars WHERE name = 'freeze'")
            naming = rival(
                lambda: services.edit_schedule(schedule.pk, lambda s: replace(s, calendars=("freeze",)), actor="me")
            )
            naming.waits(session)
        with pytest.raises(InvalidSchedule):
            naming.answer()

    def test_being_named_can_be_edited_without_a_deadlock(self, session: Session, open_session: OpenSession) -> None:
        make_calendar("freeze", now_until(5), on_blackout="run_at_end")
        schedule, other = make_schedule(calendars=["freeze"]), open_session()
        fire_due(session)
        with transaction(other):
            other.fetch("SELECT 1 FROM schedules WHERE id = %s FOR NO KEY UPDATE", [schedule.pk])
            change = rival(
                lambda: calendar_services.edit_calendar(
                    "freeze", lambda c: replace(c, ranges=[now_until(-1)]), actor="me"
                )
            )
            change.waits(session)  # for the schedule, behind the calendar
            other.fetch("SELECT name FROM blackout_calendars WHERE name = 'freeze' FOR KEY SHARE")
        assert change.answer().version == 2
