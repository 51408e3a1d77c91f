"""Zone data that changes under a running system: the next slots follow, and no wall clock is run twice."""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schedules_app import zones
from schedules_app.firing import fire_due, follow_zone_rules
from schedules_app.models import Schedule
from tasks_app.sessions import Session
from tests.support.logs import capture_logs
from tests.support.schedules import ledger, make_schedule, states, whole_now

PLACE = "Test/Place"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SetOffset = Callable[[int], None]


def fixed_offset(hours: int) -> bytes:
    """A zone file (TZif, RFC 8536) that knows one offset."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)  # no transitions, one type of local time, four bytes of its name
    body = struct.pack(">lbb", hours * 3600, 0, 0) + b"TST\0"
    footer = f"\n<+{hours:02}>-{hours}\n".encode()
    return 2 * (b"TZif2" + bytes(15) + counts + body) + footer


@pytest.fixture
def set_offset(tmp_path: Path) -> Iterator[SetOffset]:
    """Publishes rules for a zone of our own: so many hours ahead of UTC, from ever to ever."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path), *before])

    def publish(hours: int) -> None:
        (tmp_path / "Test").mkdir(exist_ok=True)
        (tmp_path / PLACE).write_bytes(fixed_offset(hours))
        zones.forget()

    yield publish
    zoneinfo.reset_tzpath(to=before)
    zones.forget()


def daily(at: datetime, *, decided: datetime, **columns: Any) -> Schedule:
    """A schedule of the wall clock that ``at`` has in the zone now, decided up to ``decided``."""
    place = zones.zone(PLACE)
    wall = place.local(at)
    return make_schedule(
        cron=f"{wall.minute} {wall.hour} * * *", timezone=PLACE, next_slot=at, next_fire_at=at, last_slot=decided,
        last_local=place.local(decided).replace(tzinfo=UTC), zone_rules=place.fingerprint(at), **columns,
    )  # fmt: skip


def next_slot(schedule: Schedule) -> datetime | None:
    return Schedule.objects.get(pk=schedule.pk).next_slot


class TestSchedulesUnderOldRules:
    def test_bring_a_slot_nearer(self, session: Session, set_offset: SetOffset) -> None:
        """In half an hour by the old rules, half an hour ago by the new ones: it has not run today, so it runs."""
        set_offset(1)
        minute = whole_now().replace(second=0)
        schedule = daily(minute + HOUR / 2, decided=minute - DAY + HOUR / 2)
        set_offset(2)
        assert fire_due(session).schedules == 0
        assert follow_zone_rules(session) == 1
        fire_due(session)
        [row] = ledger(schedule)
        assert (row.slot, row.state) == (minute - HOUR / 2, "LATE")
        assert next_slot(schedule) == minute - HOUR / 2 + DAY

    def test_never_repeat_a_wall_clock(self, session: Session, set_offset: SetOffset) -> None:
        """It ran half an hour ago; by the new rules the same wall clock comes again in half an hour."""
        set_offset(2)
        minute = whole_now().replace(second=0)
        schedule = daily(minute + DAY - HOUR / 2, decided=minute - HOUR / 2)
        set_offset(1)
        assert follow_zone_rules(session) == 1
        assert next_slot(schedule) == minute + HOUR / 2 + DAY

    def test_count_for_what_is_due_before_anybody_followed_them(self, session: Session, set_offset: SetOffset) -> None:
        set_offset(1)
        minute = whole_now().replace(second=0)
        schedule = daily(minute, decided=minute - DAY)
        set_offset(2)
        fire_due(session)
        assert [(row.slot, row.state) for row in ledger(schedule)] == [(minute - HOUR, "LATE")]
        assert next_slot(schedule) == minute - HOUR + DAY
        assert follow_zone_rules(session) == 0

    def test_that_put_off_a_due_slot_are_waited_for(self, session: Session, set_offset: SetOffset) -> None:
        set_offset(2)
        minute = whole_now().replace(second=0)
        schedule = daily(minute, decided=minute - DAY)
        set_offset(1)
        fire_due(session)
        assert (states(schedule), next_slot(schedule)) == ([], minute + HOUR)

    def test_are_followed_once_and_by_one(self, session: Session, set_offset: SetOffset) -> None:
        set_offset(1)
        soon = whole_now().replace(second=0) + HOUR
        schedules = [daily(soon, decided=soon - DAY) for _ in range(5)]
        other, ended = make_schedule(due=0), daily(soon, decided=soon - DAY)
        Schedule.objects.filter(pk=ended.pk).update(next_slot=None, next_fire_at=None)
        set_offset(3)
        assert [follow_zone_rules(session, limit=3) for _ in range(3)] == [3, 2, 0]
        assert {next_slot(schedule) for schedule in schedules} == {soon - 2 * HOUR}
        assert next_slot(other) == other.next_slot

    def test_leave_elapsed_time_alone(self, session: Session, set_offset: SetOffset) -> None:
        set_offset(1)
        schedule = make_schedule(due=0, timezone=PLACE, every=HOUR)
        set_offset(2)
        assert follow_zone_rules(session) == 1
        assert next_slot(schedule) == schedule.next_slot

    def test_that_one_schedule_cannot_follow_stop_no_other(self, session: Session, set_offset: SetOffset) -> None:
        set_offset(1)
        soon = whole_now().replace(second=0) + HOUR
        good, bad = daily(soon, decided=soon - DAY), daily(soon, decided=soon - DAY)
        lost = make_schedule(due=0)
        Schedule.objects.filter(pk=bad.pk).update(cron="* * * * 99")
        Schedule.objects.filter(pk=lost.pk).update(timezone="Gone/Zone")
        set_offset(2)
        with capture_logs() as lines:
            assert [follow_zone_rules(session) for _ in range(2)] == [2, 0]
        assert [line["schedule"] for line in lines] == [bad.name]
        assert next_slot(good) == soon - HOUR
