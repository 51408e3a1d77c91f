"""Schedules that cannot be decided: put off for longer each time, reported everywhere, in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client

from access_app.models import AuditEvent
from monitoring_app import selectors as monitoring
from schedules_app import due, firing
from schedules_app.admin.filters import StateFilter
from schedules_app.batches import put_off_for
from schedules_app.effort import Effort, TooCostly
from schedules_app.firing import fire_due
from schedules_app.models import Schedule
from schedules_app.selectors import Health, conditions_of, why
from schedules_app.services import edit_schedule
from tasks_app.sessions import Session
from tests.factories import make_key
from tests.support.api import Api
from tests.support.logs import capture_logs
from tests.support.schedules import MINUTE, make_schedule, states

HOUR = timedelta(hours=1)
COSTLY = "its times are too costly to work out"


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Schedule]:
    """A stored schedule, due, whose times an earlier version took and this one cannot work out within its steps."""
    monkeypatch.setattr(due, "Effort", lambda: Effort(3))
    due.look.cache_clear()
    return lambda: make_schedule(cron="* * * * * *")


def again(schedule: Schedule) -> Schedule:
    """As if the time had come to look at it again."""
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=F("next_slot"))
    return Schedule.objects.get(pk=schedule.pk)


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    return now  # type: ignore[no-any-return]


class TestPutOffFor:
    def test_doubles_up_to_an_hour(self) -> None:
        minutes = [put_off_for(times) // MINUTE for times in (0, 1, 2, 3, 4, 5, 6, 7, 10**9)]
        assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]


class TestAPass:
    def test_puts_off_what_is_too_costly_for_longer_each_time(
        self, session: Session, costly: Callable[[], Schedule]
    ) -> None:
        schedule, good = costly(), make_schedule()
        delays = []
        for _ in range(3):
            fire_due(session)
            now = Schedule.objects.get(pk=schedule.pk)
            assert now.next_fire_at is not None
            delays.append(round((now.next_fire_at - database_now()) / MINUTE))
            assert (now.next_slot, now.last_slot) == (schedule.next_slot, schedule.last_slot)
            again(schedule)
        assert delays == [1, 2, 4]
        assert (states(schedule), states(good)) == ([], ["FIRED"])

    def test_tells_of_it(self, session: Session, costly: Callable[[], Schedule]) -> None:
        schedule = costly()
        with capture_logs() as lines:
            fire_due(session)
            again(schedule)
            fire_due(session)
        told = [line for line in lines if line["event"] == "schedule_not_decided"]
        assert [(line["schedule"], line["reason"], line["times"]) for line in told] == [
            (schedule.name, COSTLY, 1),
            (schedule.name, COSTLY, 2),
        ]
        assert all(line["exc_info"] is None for line in told)
        schedule.refresh_from_db()
        [first, *_] = why(schedule)
        assert (first.code, first.until) == ("PUT_OFF", schedule.next_fire_at)
        assert first.detail == f"it could not be decided, 2 times in a row: {COSTLY}"
        assert conditions_of([schedule])[schedule.pk].health is Health.PUT_OFF
        assert monitoring.survey().schedules_put_off == 1
        found = StateFilter.narrow_to(None, Schedule.objects.all(), "put_off")  # type: ignore[arg-type]
        assert list(found) == [schedule]
        [event] = AuditEvent.objects.filter(action="schedule.put_off")
        assert (event.actor, event.target, event.reason) == ("scheduler", f"schedule:{schedule.name}", COSTLY)

    def test_decides_what_was_put_off_behind_all_others(
        self, session: Session, costly: Callable[[], Schedule], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pass that has time for one only takes the one that nothing is known against, though it is due later."""
        schedule = costly()
        fire_due(session)
        again(schedule)
        good = make_schedule()
        monkeypatch.setattr(firing, "LONGEST_LOOK", -1.0)
        fire_due(session)
        assert states(good) == ["FIRED"]
        assert Schedule.objects.get(pk=schedule.pk).put_offs == 1

    def test_takes_up_again_what_can_be_decided(
        self, session: Session, costly: Callable[[], Schedule], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schedule = costly()
        fire_due(session)
        monkeypatch.undo()
        again(schedule)
        fire_due(session)
        schedule.refresh_from_db()
        assert (states(schedule)[0], schedule.put_offs, schedule.put_off_reason) == ("FIRED", 0, "")
        assert conditions_of([schedule])[schedule.pk].health is not Health.PUT_OFF

    def test_keeps_a_reason_that_can_be_shown(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        schedule = make_schedule()

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("\0\x1b[31m" + "x" * 1000)

        monkeypatch.setattr("schedules_app.batches.decide", broken)
        fire_due(session)
        reason = Schedule.objects.get(pk=schedule.pk).put_off_reason
        assert reason.startswith("\\x00\\x1b[31mxxx")
        assert len(reason) == 300


class TestAnEdit:
    def test_has_it_looked_at_again_at_once(self, session: Session, costly: Callable[[], Schedule]) -> None:
        schedule = costly()
        fire_due(session)
        edited = edit_schedule(schedule.pk, lambda before: replace(before, overlap="allow"), actor="ada")
        assert (edited.put_offs, edited.next_fire_at) == (0, schedule.next_slot)

    def test_of_its_times_gives_up_the_slot_that_waited(
        self, session: Session, costly: Callable[[], Schedule], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schedule = costly()
        fire_due(session)
        monkeypatch.undo()
        edited = edit_schedule(schedule.pk, lambda before: replace(before, cron="0 0 * * *"), actor="ada")
        assert (edited.put_offs, edited.put_off_reason, states(schedule)) == (0, "", ["MISSED"])
        assert edited.next_fire_at is not None
        assert edited.next_fire_at > database_now()


def test_a_preview_that_is_too_costly_is_a_conflict(
    db: None, costly: Callable[[], Schedule], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.factories import make_key
    from tests.support.api import Api

    def too_costly(*_: object, **__: object) -> None:
        raise TooCostly

    schedule = costly()
    monkeypatch.setattr("schedules_app.selectors.preview_of", too_costly)
    response = Api(make_key()).get(f"/schedules/{schedule.pk}/preview")
    assert (response.status_code, response.json()["errors"][0]["message"]) == (409, COSTLY)


def test_the_admin_and_the_api_say_so(session: Session, costly: Callable[[], Schedule], client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    schedule = costly()
    fire_due(session)
    page = client.get(f"/admin/schedules_app/schedule/{schedule.pk}/change/").content.decode()
    assert "PUT_OFF" in page
    assert COSTLY in page
    listing = client.get("/admin/schedules_app/schedule/?state=put_off").content.decode()
    assert schedule.name in listing
    assert "PUT OFF" in listing
    reasons = Api(make_key()).get(f"/schedules/{schedule.pk}/why").json()["reasons"]
    assert [reason["code"] for reason in reasons] == ["PUT_OFF", "NO_LIVE_SCHEDULER"]
    assert reasons[0]["until"] is not None
