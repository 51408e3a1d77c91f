"""What may be read of schedules: what they will do, what they did, how they are, and why one does not fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow_app.queues import pause_queue
from schedules_app import outcomes, selectors
from schedules_app.firing import fire_due
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule
from schedules_app.recurrence import Definition, parse
from schedules_app.retention import delete_old_fires
from schedules_app.selectors import Condition, Health
from schedules_app.simulation import InvalidSimulation, Outage
from tasks_app.fields import NewTask
from tasks_app.sessions import Session
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.integration.test_health import add_scheduler
from tests.support.schedules import MINUTE, ledger, make_calendar, make_schedule, tasks_of, whole_now

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 28, tzinfo=UTC)


def iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


class TestFires:
    def test_are_the_ledger_newest_first(self, session: Session) -> None:
        schedule = make_schedule(due=4, misfire_policy="skip", misfire_grace_seconds=30)
        fire_due(session)
        rows = ledger(schedule)
        assert list(selectors.fires(schedule.pk)) == rows[::-1]
        assert list(selectors.fires(schedule.pk, states=["FIRED"])) == rows[3:]
        window = selectors.fires(schedule.pk, since=rows[1].slot, until=rows[3].slot)
        assert list(window) == rows[2:0:-1]


class TestPreview:
    def test_shows_local_times_and_marks_nights_of_the_clock(self) -> None:
        definition = Definition(cron="30 2 * * *", timezone="Europe/Berlin", anchor=MIDNIGHT)
        shown = selectors.preview_of(parse(definition), after=MIDNIGHT, count=3)
        assert [each.local.isoformat() for each in shown] == [
            "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00",
        ]  # fmt: skip
        assert [each.note for each in shown] == ["", "DST_GAP", ""]

    def test_names_the_blackout_a_slot_falls_in(self, session: Session) -> None:
        now = whole_now()
        make_calendar("freeze", {"from": iso(now), "to": iso(now + HOUR * 1.5)})
        make_calendar("wait", {"from": iso(now + HOUR * 1.5), "to": iso(now + HOUR * 2.5)}, on_blackout="run_at_end")
        schedule = make_schedule(every=HOUR, due=0, late=MINUTE, calendars=["freeze", "wait"], paused_at=now)
        notes = [each.note for each in selectors.preview(schedule, count=3)]
        assert notes == ["blackout freeze: skipped", "blackout wait: runs at its end", ""]


class TestSimulate:
    def simulate(self, outage: tuple[float, float], until: float = 6, **fields: Any) -> list[tuple[int, str, int]]:
        """Hours of each slot, its state, and hours of the moment it is decided."""
        new = NewSchedule(name="s", cron="0 * * * *", task=NewTask(type="DUMMY"), **fields)
        outages = [Outage(MIDNIGHT + HOUR * outage[0], MIDNIGHT + HOUR * outage[1])]
        told = selectors.simulate(new, since=MIDNIGHT, until=MIDNIGHT + HOUR * until, outages=outages)
        return [((each.slot - MIDNIGHT) // HOUR, str(each.state), (each.at - MIDNIGHT) // HOUR) for each in told]

    def test_shows_what_an_outage_would_do(self, session: Session) -> None:
        assert self.simulate((1.5, 4.5)) == [
            (0, "FIRED", 0), (1, "FIRED", 1), (2, "COALESCED", 4), (3, "COALESCED", 4), (4, "LATE", 4), (5, "FIRED", 5),
            (6, "FIRED", 6),
        ]  # fmt: skip

    def test_knows_the_policies_and_calendars(self, session: Session) -> None:
        make_calendar("noon", {"from": iso(MIDNIGHT + HOUR * 5), "to": iso(MIDNIGHT + HOUR * 5.5)})
        states = [s for _, s, _ in self.simulate((1.5, 4.5), misfire_policy="skip", calendars=("noon",))]
        assert states == ["FIRED", "FIRED", "MISSED", "MISSED", "MISSED", "SKIPPED_BLACKOUT", "FIRED"]

    def test_refuses_what_it_cannot_do(self, session: Session) -> None:
        with pytest.raises(InvalidSchedule):
            self.simulate((1, 2), timezone="Mars")
        with pytest.raises(InvalidSimulation) as caught:
            self.simulate((2, 1), until=-1)
        assert set(caught.value.problems) == {"to", "outages[0].to"}
        with pytest.raises(InvalidSimulation):
            self.simulate((1, 2), until=24 * 365 * 3)


class TestHealth:
    def test_is_one_word(self, session: Session) -> None:
        now = whole_now()
        schedules = {
            Health.OK: make_schedule(),
            Health.LATE: make_schedule(late=HOUR, every=DAY),
            Health.DISABLED: make_schedule(enabled=False, next_slot=None, next_fire_at=None),
            Health.ENDED: make_schedule(next_slot=None, next_fire_at=None),
            Health.PAUSED: make_schedule(due=0, paused_at=now),
        }
        fire_due(session)
        schedules[Health.OVERDUE] = make_schedule(late=HOUR)
        schedules[Health.OVERLAPPING] = make_schedule(due=2, every=timedelta(seconds=1), overlap="skip")
        Schedule.objects.filter(pk=schedules[Health.OVERDUE].pk).update(next_fire_at=now + DAY)
        fire_due(session)
        Schedule.objects.filter(pk=schedules[Health.OVERDUE].pk).update(next_fire_at=now - HOUR)
        page = list(Schedule.objects.all())
        told = {schedule_id: condition.health for schedule_id, condition in selectors.conditions_of(page).items()}
        assert told == {schedule.pk: health for health, schedule in schedules.items()}

    def test_is_failing_while_its_newest_ended_task_failed(self, session: Session) -> None:
        """S: success, F: failed, C: cancelled, O: still open; oldest first."""
        statuses = {"S": TaskStatus.SUCCESS, "F": TaskStatus.FAILED, "C": TaskStatus.CANCELLED, "O": TaskStatus.PENDING}
        most = outcomes.MOST_LOOKED_AT
        expected = {"": 0, "S": 0, "F": 1, "SFF": 2, "FFS": 0, "FFC": 2, "SFCF": 2, "FO": 1, "O": 0, "F" * 30: most,
                    "F" + "O" * 30: 0}  # fmt: skip
        schedules = {ended: make_schedule(due=0) for ended in expected}
        for ended, schedule in schedules.items():
            for letter in ended:
                make_task(schedule_id=schedule.pk, status=statuses[letter])
        conditions = selectors.conditions_of(list(schedules.values()))
        for ended, failures in expected.items():
            health = Health.FAILING if failures else Health.OK
            assert conditions[schedules[ended].pk] == Condition(health, failures), ended

    def test_is_failing_also_when_it_is_paused_or_over(self, session: Session) -> None:
        for columns in ({"paused_at": whole_now()}, {"next_slot": None, "next_fire_at": None}):
            schedule = make_schedule(due=0, **columns)
            make_task(schedule_id=schedule.pk, status=TaskStatus.FAILED)
            assert selectors.conditions_of([schedule])[schedule.pk].health == Health.FAILING


class TestWhy:
    def codes(self, schedule: Schedule) -> list[str]:
        return [reason.code for reason in selectors.why(Schedule.objects.get(pk=schedule.pk))]

    def test_is_nothing_for_one_that_is_due_and_free(self, session: Session) -> None:
        add_scheduler()
        assert self.codes(make_schedule()) == []

    def test_names_every_reason_there_is(self, session: Session) -> None:
        now = whole_now()
        make_calendar("freeze", {"from": iso(now - HOUR), "to": iso(now + HOUR)})
        schedule = make_schedule(overlap="skip")
        fire_due(session)
        pause_queue("default", actor="ops")
        Schedule.objects.update(calendars=["freeze"], paused_at=now, paused_by="ops", pause_reason="broken")
        reasons = {reason.code: reason for reason in selectors.why(Schedule.objects.get(pk=schedule.pk))}
        assert list(reasons) == [
            "PAUSED", "NOT_DUE", "IN_BLACKOUT", "OVERLAP", "NO_LIVE_SCHEDULER", "QUEUE_PAUSED",
        ]  # fmt: skip
        assert reasons["PAUSED"].detail.startswith("paused by ops at ")
        assert reasons["PAUSED"].detail.endswith(": broken")
        assert reasons["IN_BLACKOUT"].until == now + HOUR
        assert str(tasks_of(schedule)[0].pk) in reasons["OVERLAP"].detail

    def test_is_that_it_is_off_or_over_or_has_not_begun(self, session: Session) -> None:
        add_scheduler()
        none: dict[str, Any] = {"next_slot": None, "next_fire_at": None}
        assert self.codes(make_schedule(enabled=False, **none)) == ["DISABLED"]
        assert self.codes(make_schedule(end_at=whole_now(), **none)) == ["ENDED"]
        assert self.codes(make_schedule(due=0, start_at=whole_now() + HOUR)) == ["NOT_STARTED"]


class TestDeleteOldFires:
    def test_forgets_slots_decided_long_ago(self, session: Session) -> None:
        schedule = make_schedule(due=4, every=HOUR, misfire_policy="skip")
        fire_due(session)
        session.execute("UPDATE schedule_fires SET decided_at = now() - interval '10 years' WHERE state = 'MISSED'")
        assert [delete_old_fires(session, limit=2) for _ in range(3)] == [2, 1, 0]
        assert [row.state for row in ledger(schedule)] == ["FIRED"]
