"""Each policy, and pairs of them, with the outcome read from the ledger and from real tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from access_app.models import AuditEvent
from schedules_app.firing import fire_due
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import CANCELLED, SUCCEEDED, Engine
from tests.support.schedules import (
    MINUTE,
    ledger,
    make_calendar,
    make_schedule,
    move_back,
    states,
    tasks_of,
    whole_now,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY
F, L, C, M = "FIRED", "LATE", "COALESCED", "MISSED"
OVERLAP, PAUSED, BLACKOUT = "SKIPPED_OVERLAP", "SKIPPED_PAUSED", "SKIPPED_BLACKOUT"


class TestMisfire:
    @pytest.mark.parametrize(
        ("policy", "on_time", "late"),
        [
            ({"misfire_policy": "skip"}, [M, M, M, F], [M, M, M, M]),
            ({"misfire_policy": "run_once"}, [C, C, C, F], [C, C, C, L]),
            ({"misfire_policy": "run_all"}, [L, L, L, F], [L, L, L, L]),
            ({"misfire_policy": "run_all", "misfire_max_runs": 2}, [M, L, L, F], [M, M, L, L]),
            ({"misfire_policy": "run_once", "misfire_grace_seconds": 100_000}, [F, F, F, F], [F, F, F, F]),
        ],
    )
    def test_decides_what_was_missed(
        self, session: Session, policy: dict[str, Any], on_time: list[str], late: list[str]
    ) -> None:
        """Four slots an hour apart; the newest is due now, or was half an hour ago."""
        for newest, wanted in ((timedelta(0), on_time), (HOUR / 2, late)):
            schedule = make_schedule(due=4, every=HOUR, late=newest, overlap="allow", **policy)
            fire_due(session)
            assert states(schedule) == wanted
            ran = [fire.slot for fire in ledger(schedule) if fire.task_id is not None]
            assert [task.scheduled_for for task in tasks_of(schedule)] == ran
            assert ran == [fire.slot for fire in ledger(schedule) if fire.state in (F, L)]


class TestOverlap:
    """Slots that come while a task of an earlier one has not ended."""

    def open_task(self, engine: Engine, schedule: Schedule, status: str) -> Task:
        """The task of the schedule's first slot, brought into a state; the next slot is due."""
        fire_due(engine.session)
        [task] = tasks_of(schedule)
        if status != "PENDING":
            worker = engine.worker(slots=1)
            engine.assign()
            [attempt] = engine.start(worker) if status != "SCHEDULED" else [None]
            if attempt is not None and status == "SUCCESS":
                engine.finish(worker, attempt, SUCCEEDED)
        assert engine.task(task.pk).status == status
        move_back([schedule.pk], HOUR)
        return engine.task(task.pk)

    def due_again(self, **columns: Any) -> Schedule:
        """Its first slot is due, and behind `open_task` a second one."""
        return make_schedule(every=HOUR, **columns)

    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RUNNING"])
    @pytest.mark.parametrize(
        ("policy", "second"), [("allow", F), ("skip", OVERLAP), ("queue_one", F), ("cancel_running", F)]
    )
    def test_decides_what_becomes_of_the_next_slot(self, engine: Engine, policy: str, second: str, status: str) -> None:
        schedule = self.due_again(overlap=policy)
        before = self.open_task(engine, schedule, status)
        fire_due(engine.session)
        assert states(schedule) == [F, second]
        assert len(tasks_of(schedule)) == (1 if second == OVERLAP else 2)
        if second == OVERLAP:
            assert str(before.pk) in ledger(schedule)[-1].note

    @pytest.mark.parametrize("policy", ["skip", "queue_one", "cancel_running"])
    def test_is_none_once_the_task_has_ended(self, engine: Engine, policy: str) -> None:
        schedule = self.due_again(overlap=policy)
        before = self.open_task(engine, schedule, "SUCCESS")
        fire_due(engine.session)
        assert states(schedule) == [F, F]
        assert engine.task(before.pk).status == "SUCCESS"

    def test_queue_one_lets_one_wait_behind_the_first_and_no_more(self, engine: Engine) -> None:
        schedule = self.due_again(overlap="queue_one")
        self.open_task(engine, schedule, "RUNNING")
        for _ in range(2):
            fire_due(engine.session)
            move_back([schedule.pk], HOUR)
        assert states(schedule) == [F, F, OVERLAP]
        [first, second] = tasks_of(schedule)
        engine.worker(slots=5)
        engine.assign()
        assert engine.statuses([first.pk, second.pk]) == ["RUNNING", "PENDING"]
        assert first.concurrency_key == second.concurrency_key == f"schedule:{schedule.pk}"
        engine.finish(first.worker_id, engine.attempt_of(first.pk), SUCCEEDED)
        engine.assign()
        assert engine.statuses([first.pk, second.pk]) == ["SUCCESS", "SCHEDULED"]

    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED"])
    def test_cancel_running_ends_at_once_what_waits(self, engine: Engine, status: str) -> None:
        schedule = self.due_again(overlap="cancel_running")
        before = self.open_task(engine, schedule, status)
        report = fire_due(engine.session)
        assert report.stop == []
        assert engine.statuses([task.pk for task in tasks_of(schedule)]) == ["CANCELLED", "PENDING"]
        event = AuditEvent.objects.get(task_id=before.pk)
        assert (event.action, event.actor, event.from_status, event.to_status) == (
            "task.cancelled", f"schedule:{schedule.name}", status, "CANCELLED",
        )  # fmt: skip
        assert engine.violations() == {}

    def test_cancel_running_asks_for_the_end_of_what_runs_and_waits_for_it(self, engine: Engine) -> None:
        schedule = self.due_again(overlap="cancel_running")
        before = self.open_task(engine, schedule, "RUNNING")
        report = fire_due(engine.session)
        assert report.stop == [before.worker_id]
        [first, second] = tasks_of(schedule)
        assert (first.status, first.cancel_requested_at is not None) == ("RUNNING", True)
        engine.worker(slots=5)
        engine.assign()
        assert engine.task(second.pk).status == "PENDING"
        engine.finish(before.worker_id, engine.attempt_of(first.pk), CANCELLED)
        engine.assign()
        assert engine.statuses([first.pk, second.pk]) == ["CANCELLED", "SCHEDULED"]
        assert engine.actions(first.pk) == ["task.cancel_requested"]

    def test_counts_no_task_of_others_nor_one_run_by_hand_that_ended(self, engine: Engine) -> None:
        other, schedule = self.due_again(overlap="skip"), self.due_again(overlap="skip")
        engine.create()
        fire_due(engine.session)
        assert states(other) == states(schedule) == [F]

    def test_keeps_the_keys_of_templates(self, engine: Engine) -> None:
        task = {"type": "DUMMY", "payload": {}, "concurrencyKey": "mine"}
        schedule = self.due_again(overlap="queue_one", task=task)
        fire_due(engine.session)
        assert tasks_of(schedule)[0].concurrency_key == "mine"


class TestPairs:
    """Missed slots meet an open task, a pause, a blackout."""

    @pytest.mark.parametrize(
        ("misfire", "overlap", "wanted"),
        [
            ("run_once", "skip", [C, C, F]),
            ("run_all", "skip", [L, OVERLAP, OVERLAP]),
            ("run_all", "queue_one", [L, L, OVERLAP]),
            ("run_all", "allow", [L, L, F]),
            ("run_all", "cancel_running", [OVERLAP, OVERLAP, F]),
            ("skip", "queue_one", [M, M, F]),
        ],
    )
    def test_of_misfire_and_overlap(self, session: Session, misfire: str, overlap: str, wanted: list[str]) -> None:
        schedule = make_schedule(due=3, every=HOUR, misfire_policy=misfire, overlap=overlap)
        fire_due(session)
        assert states(schedule) == wanted
        assert len(tasks_of(schedule)) == sum(state in (F, L) for state in wanted)

    def test_of_pause_and_anything_runs_nothing_but_goes_on(self, session: Session) -> None:
        schedule = make_schedule(due=3, misfire_policy="run_all", paused_at=whole_now() - HOUR)
        fire_due(session)
        assert (states(schedule), tasks_of(schedule)) == ([PAUSED] * 3, [])
        assert Schedule.objects.get(pk=schedule.pk).next_slot > whole_now()  # type: ignore[operator]

    def test_of_an_ended_pause_and_misfire_skips_the_slots_of_the_pause_only(self, session: Session) -> None:
        now = whole_now()
        schedule = make_schedule(
            due=4, every=HOUR, overlap="allow", misfire_policy="run_all",
            paused_at=now - HOUR * 2.5, resumed_at=now - HOUR / 2,
        )  # fmt: skip
        fire_due(session)
        assert states(schedule) == [L, PAUSED, PAUSED, F]

    def test_of_blackout_and_misfire(self, session: Session) -> None:
        now = whole_now()
        make_calendar("freeze", {"from": _iso(now - HOUR * 2.5), "to": _iso(now - HOUR / 2)})
        schedule = make_schedule(due=4, every=HOUR, overlap="allow", misfire_policy="run_all", calendars=["freeze"])
        fire_due(session)
        assert states(schedule) == [L, BLACKOUT, BLACKOUT, F]
        assert "freeze" in ledger(schedule)[1].note

    def test_of_a_blackout_that_is_waited_for(self, session: Session) -> None:
        now = whole_now()
        make_calendar("freeze", {"from": _iso(now - HOUR * 4), "to": _iso(now + HOUR)}, on_blackout="run_at_end")
        schedule = make_schedule(due=3, every=HOUR, late=MINUTE, calendars=["freeze"])
        fire_due(session)
        waiting = Schedule.objects.get(pk=schedule.pk)
        assert (ledger(schedule), waiting.next_fire_at) == ([], now + HOUR)
        assert waiting.next_slot == schedule.next_slot
        BlackoutCalendar.objects.update(ranges=[{"from": _iso(now - HOUR * 4), "to": _iso(now)}])
        Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=now)
        fire_due(session)
        assert states(schedule) == [C, C, L]


class TestLongOutages:
    """The scheduler was away: stored times are moved back for that long."""

    @pytest.mark.parametrize("away", [10 * MINUTE, 3 * DAY, 5 * WEEK], ids=["minutes", "days", "weeks"])
    @pytest.mark.parametrize("policy", ["skip", "run_once", "run_all"])
    def test_write_a_bounded_number_of_rows_and_runs(self, session: Session, policy: str, away: timedelta) -> None:
        schedule = make_schedule(misfire_policy=policy, misfire_max_runs=7, overlap="allow")
        move_back([schedule.pk], away)
        fire_due(session)
        rows, tasks = ledger(schedule), tasks_of(schedule)
        assert len(rows) <= 101
        assert len(tasks) == {"skip": 1, "run_once": 1, "run_all": 8}[policy]  # and the one that is due now
        assert rows[0].slot == schedule.next_slot - away  # type: ignore[operator]
        assert rows[-1].state == F
        assert Schedule.objects.get(pk=schedule.pk).next_slot > whole_now()  # type: ignore[operator]
        told = sum(1 if row.last_slot is None else 1 + (row.last_slot - row.slot) // MINUTE for row in rows)
        assert told == away // MINUTE + 1  # each slot in a row of its own, or in one that stands for it

    def test_of_a_schedule_of_every_second_cost_no_more(self, session: Session) -> None:
        second = timedelta(seconds=1)
        schedule = make_schedule(every=second, misfire_grace_seconds=0)
        move_back([schedule.pk], 52 * WEEK)
        fire_due(session)
        assert len(ledger(schedule)) <= 101
        assert len(tasks_of(schedule)) == 1

    def test_that_a_pause_covers_flood_nothing(self, session: Session) -> None:
        """Many schedules, paused for more than a week in which no scheduler was alive, then resumed."""
        now = whole_now()
        late, ended = timedelta(seconds=30), {"paused_at": now - WEEK * 2, "resumed_at": now}
        ids = [make_schedule(due=0, late=late, **ended).pk for _ in range(300)]
        move_back(ids, WEEK)
        while fire_due(session).schedules:
            pass
        assert Task.objects.count() == 0
        assert ScheduleFire.objects.exclude(state=PAUSED).count() == 0
        assert ScheduleFire.objects.count() <= 300 * 101


def _iso(at: Any) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
