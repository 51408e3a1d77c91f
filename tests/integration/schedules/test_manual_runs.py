"""Runs by hand: one now, whatever holds the schedule back; those of a window that did not run, each once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from access_app.idempotency import Idempotency, IdempotencyConflict
from access_app.models import AuditEvent
from schedules_app import manual_runs
from schedules_app.firing import fire_due
from schedules_app.manual_runs import Backfilled, InvalidBackfill, backfill_schedule, trigger_schedule
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.new_schedules import InvalidSchedule
from schedules_app.services import ScheduleNotFound
from schedules_app.stored import recurrence_of
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.factories import unknown_id
from tests.support.engine import Engine
from tests.support.schedules import MINUTE, ledger, make_schedule, move_back, states, tasks_of, whole_now

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)


class TestTrigger:
    @pytest.mark.parametrize(
        "columns", [{}, {"paused_at": whole_now()}, {"enabled": False, "next_slot": None, "next_fire_at": None}]
    )
    def test_runs_one_now_whatever_holds_it_back(self, session: Session, columns: dict[str, Any]) -> None:
        schedule = make_schedule(due=0, **columns)
        tasks = [trigger_schedule(schedule.pk, actor="me").task for _ in range(2)]  # also over one that is open
        rows = ledger(schedule)
        assert {(row.state, row.note, row.task_id) for row in rows} == {
            ("FIRED", "triggered by me", task.pk) for task in tasks
        }
        assert {task.scheduled_for for task in tasks} == {row.slot for row in rows}
        assert (tasks[0].status, tasks[0].created_by, tasks[0].schedule_id) == ("PENDING", "me", schedule.pk)
        after = Schedule.objects.get(pk=schedule.pk)
        assert (after.next_slot, after.version) == (schedule.next_slot, schedule.version)
        assert AuditEvent.objects.filter(action="schedule.triggered").count() == 2

    def test_takes_a_whole_second_that_is_no_slot_of_the_schedule(self, session: Session) -> None:
        """Each takes one of its own, and none that the schedule would then miss."""
        schedule = make_schedule(due=0, every=timedelta(seconds=2))
        slots = [trigger_schedule(schedule.pk, actor="me").task.scheduled_for for _ in range(3)]
        assert len(set(slots)) == 3
        assert all(slot is not None and slot.microsecond == 0 and slot <= whole_now() for slot in slots)
        regular = {slot.at for slot in recurrence_of(schedule).slots(whole_now() - HOUR, whole_now())}
        assert not regular & set(slots)

    def test_takes_one_before_a_schedule_that_has_none_to_spare(self, session: Session) -> None:
        schedule = make_schedule(due=0, every=timedelta(seconds=1))
        slots = [trigger_schedule(schedule.pk, actor="me").task.scheduled_for for _ in range(3)]
        assert len(set(slots)) == 3
        assert all(slot is not None and slot.microsecond == 0 and slot < schedule.defined_at for slot in slots)

    def test_is_once_for_an_idempotency_key(self, session: Session) -> None:
        schedule, key = make_schedule(due=0), Idempotency("k", b"a" * 32)
        made = [trigger_schedule(schedule.pk, actor="me", idempotency=key) for _ in range(2)]
        assert ([each.replayed for each in made], len(tasks_of(schedule))) == ([False, True], 1)
        assert made[0].task.pk == made[1].task.pk
        with pytest.raises(IdempotencyConflict):
            trigger_schedule(schedule.pk, actor="me", idempotency=Idempotency("k", b"b" * 32))

    def test_refuses_a_template_that_is_no_longer_taken(self, session: Session) -> None:
        schedule = make_schedule(due=0, task={"type": "GONE", "payload": {}})
        with pytest.raises(InvalidSchedule) as caught:
            trigger_schedule(schedule.pk, actor="me")
        assert list(caught.value.problems) == ["task.type"]
        with pytest.raises(ScheduleNotFound):
            trigger_schedule(unknown_id(), actor="me")


class TestBackfill:
    def backfill(self, schedule: Schedule, since: datetime, until: datetime, **options: Any) -> Backfilled:
        return backfill_schedule(schedule.pk, since=since, until=until, actor="me", **options)

    def missed(self, count: int, **columns: Any) -> tuple[Schedule, list[datetime]]:
        """A schedule that skipped ``count`` hourly slots, and those slots."""
        schedule = make_schedule(due=count + 1, every=HOUR, misfire_policy="skip", late=MINUTE / 2, **columns)
        return schedule, [schedule.next_slot + HOUR * n for n in range(count)]  # type: ignore[operator]

    def test_runs_what_did_not_run_each_once(self, session: Session) -> None:
        schedule, slots = self.missed(3)
        fire_due(session)
        assert states(schedule) == ["MISSED"] * 3 + ["FIRED"]
        done = self.backfill(schedule, slots[0], whole_now(), priority=-5)
        assert ([slot for slot, _ in done.made], done.more) == (slots, False)
        assert states(schedule) == ["LATE"] * 3 + ["FIRED"]
        assert [row.task_id for row in ledger(schedule)[:3]] == [task_id for _, task_id in done.made]
        assert ledger(schedule)[0].note == "backfilled by me"
        tasks = tasks_of(schedule)[:3]
        assert [(task.scheduled_for, task.priority, task.created_by) for task in tasks] == [
            (slot, -5, "me") for slot in slots
        ]
        assert self.backfill(schedule, slots[0], whole_now()) == Backfilled([], False)
        assert AuditEvent.objects.get(action="schedule.backfilled").detail["tasks"] == 3

    def test_keeps_to_its_window_and_its_limit_oldest_first(self, session: Session) -> None:
        schedule, slots = self.missed(5)
        fire_due(session)
        done = self.backfill(schedule, slots[1], slots[4], limit=2)
        assert ([slot for slot, _ in done.made], done.more) == (slots[1:3], True)
        assert states(schedule) == ["MISSED", "LATE", "LATE", "MISSED", "MISSED", "FIRED"]

    def test_runs_one_at_a_time_unless_overlaps_are_allowed(self, engine: Engine) -> None:
        for overlap, assigned in (("skip", 1), ("allow", 3)):
            schedule, slots = self.missed(2, overlap=overlap)
            Schedule.objects.filter(pk=schedule.pk).update(paused_at=slots[0] - HOUR)
            fire_due(engine.session)
            self.backfill(schedule, slots[0], whole_now())
            engine.worker(slots=10)
            engine.assign()
            assert sum(task.status == "SCHEDULED" for task in tasks_of(schedule)) == assigned

    def test_leaves_what_is_still_to_be_decided_to_the_pass(self, session: Session) -> None:
        schedule, slots = self.missed(3)
        assert self.backfill(schedule, slots[0], whole_now() + HOUR).made == []
        fire_due(session)
        assert len(tasks_of(schedule)) == 1

    def test_finds_slots_that_no_row_tells_of(self, session: Session) -> None:
        schedule, slots = self.missed(3)
        fire_due(session)
        ScheduleFire.objects.filter(schedule_id=schedule.pk, slot__in=slots).delete()
        done = self.backfill(schedule, slots[0], whole_now())
        assert [slot for slot, _ in done.made] == slots

    def test_does_not_run_what_the_ledger_may_have_forgotten(self, session: Session) -> None:
        schedule = make_schedule(due=0, every=HOUR, overlap="allow")
        age = settings.SCHEDULER.retention_failed
        Schedule.objects.update(defined_at=whole_now() - age * 2, anchor_at=whole_now() - age * 2)
        done = self.backfill(schedule, whole_now() - age * 2, whole_now(), limit=1)
        assert done.made[0][0] >= whole_now() - age - MINUTE

    def test_does_not_invent_slots_of_before_the_times_were_edited(self, session: Session) -> None:
        schedule = make_schedule(due=0, every=HOUR)
        Schedule.objects.update(defined_at=whole_now() + MINUTE, anchor_at=whole_now() - WEEK)
        assert self.backfill(schedule, whole_now() - WEEK, whole_now()).made == []

    def test_of_a_long_outage_runs_also_the_slots_that_share_a_row(self, session: Session) -> None:
        schedule = make_schedule(misfire_policy="skip", overlap="allow")
        move_back([schedule.pk], 1200 * MINUTE)
        fire_due(session)
        [run, *_] = ledger(schedule)
        assert run.last_slot is not None
        since, seen = run.slot, []
        self.backfill(schedule, since, whole_now(), limit=1)
        rest = ledger(schedule)[1]
        assert (rest.slot, rest.last_slot, rest.state) == (since + MINUTE, run.last_slot, "MISSED")
        while True:
            done = self.backfill(schedule, since, whole_now(), limit=500)
            seen += [slot for slot, _ in done.made]
            if not done.more:
                break
        assert seen == [since + MINUTE * n for n in range(1, 1200)]
        assert set(states(schedule)) == {"LATE", "FIRED"}
        assert all(row.last_slot is None for row in ledger(schedule))

    @pytest.mark.parametrize(
        ("window", "problem"),
        [((HOUR, -HOUR, 10), "to"), ((-HOUR, HOUR, 0), "limit"), ((-HOUR, HOUR, 1001), "limit")],
    )
    def test_refuses_a_bad_window(self, session: Session, window: tuple[Any, Any, int], problem: str) -> None:
        schedule, now = make_schedule(), whole_now()
        with pytest.raises(InvalidBackfill) as caught:
            self.backfill(schedule, now + window[0], now + window[1], limit=window[2])
        assert list(caught.value.problems) == [problem]

    def test_refuses_a_window_with_too_much_to_look_at(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(manual_runs, "MOST_SLOTS", 100)
        monkeypatch.setattr(manual_runs, "_CHUNK", 50)
        schedule, _ = self.missed(99)
        Schedule.objects.update(misfire_policy="run_all", misfire_max_runs=100, overlap="allow")
        fire_due(session)
        move_back([schedule.pk], HOUR * 100)
        fire_due(session)
        with pytest.raises(InvalidBackfill):
            self.backfill(schedule, whole_now() - HOUR * 300, whole_now(), limit=1000)
        assert Task.objects.filter(created_by="me").count() == 0
