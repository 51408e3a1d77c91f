"""What people ask of schedules: nothing runs by itself, nothing that was due is lost, nobody overwrites another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from access_app.idempotency import Idempotency, IdempotencyConflict
from access_app.models import AuditEvent, IdempotencyKey
from access_app.versions import Stale
from schedules_app import services
from schedules_app.firing import fire, fire_due
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule
from schedules_app.services import NameTaken, ScheduleNotFound
from schedules_app.stored import StoredSchedule
from tasks_app import wakeups
from tasks_app.fields import NewTask
from tasks_app.sessions import Session
from tests.factories import unknown_id
from tests.support.races import rival, transaction
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

OpenSession = Callable[[], Session]
HOUR = timedelta(hours=1)
TASK = NewTask(type="DUMMY", payload={"sleepDurationMs": 1}, queue="q", retry={"backoff": "fixed"})


def hourly(**fields: Any) -> NewSchedule:
    return NewSchedule(**{"name": "hourly", "cron": "0 * * * *", "task": TASK, **fields})


def create(**fields: Any) -> Schedule:
    return services.create_schedule(hourly(**fields), created_by="me").schedule


def edit(schedule: Schedule, **fields: Any) -> Schedule:
    return services.edit_schedule(schedule.pk, lambda now: replace(now, **fields), actor="me")


def actions(schedule: Schedule) -> list[str]:
    return list(
        AuditEvent.objects.filter(target=f"schedule:{schedule.name}").order_by("id").values_list("action", flat=True)
    )


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(wakeups, "notify_schedulers", lambda session=None, **_: calls.append("schedulers"))
    monkeypatch.setattr(wakeups, "notify_stop", lambda worker_id: calls.append(f"stop {worker_id}"))
    return calls


class TestCreate:
    def test_answers_a_schedule_whose_first_slot_lies_after_now(self, session: Session, woken: list[str]) -> None:
        schedule = create(start_at=whole_now() - 500 * HOUR)
        assert whole_now() < schedule.next_slot <= whole_now() + HOUR  # type: ignore[operator]
        assert schedule.next_fire_at == schedule.next_slot
        assert (schedule.version, schedule.created_by, schedule.paused) == (1, "me", False)
        assert fire_due(session).schedules == 0
        assert (actions(schedule), woken) == (["schedule.created"], ["schedulers"])

    def test_keeps_what_was_asked_for(self, session: Session) -> None:
        make_calendar("freeze", {"weekdays": ["sat"], "from": "00:00", "to": "23:59"})
        new = hourly(
            timezone="Europe/Berlin", description="d", jitter_seconds=5, misfire_policy="run_all", misfire_max_runs=3,
            misfire_grace_seconds=7, overlap="allow", dst_gap="skip", dst_fold="twice", calendars=("freeze",),
            start_at=whole_now(), end_at=whole_now() + 9000 * HOUR,
        )  # fmt: skip
        schedule = services.create_schedule(new, created_by="me").schedule
        assert services.definition_of(schedule) == new

    def test_waits_for_its_start(self, session: Session) -> None:
        start = whole_now() + 100 * HOUR
        schedule = create(start_at=start)
        assert start <= schedule.next_slot < start + HOUR  # type: ignore[operator]

    def test_that_is_disabled_has_no_next_slot(self, session: Session) -> None:
        schedule = create(enabled=False)
        assert (schedule.next_slot, schedule.next_fire_at) == (None, None)

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"cron": "0 0 31 2 *"}, "cron"),
            ({"timezone": "Mars/Base"}, "timezone"),
            ({"task": NewTask(type="DUMMY", payload={"x": 1})}, "task.payload.x"),
            ({"calendars": ("none",)}, "calendars"),
        ],
    )
    def test_refuses_what_cannot_be_kept(self, session: Session, fields: dict[str, Any], problem: str) -> None:
        with pytest.raises(InvalidSchedule) as caught:
            create(**fields)
        assert list(caught.value.problems) == [problem]
        assert Schedule.objects.count() == 0

    def test_refuses_a_name_that_is_taken(self, session: Session) -> None:
        create()
        with pytest.raises(NameTaken):
            create()
        other = create(name="other")
        with pytest.raises(NameTaken):
            edit(other, name="hourly")

    def test_is_once_for_an_idempotency_key(self, session: Session) -> None:
        key = Idempotency("k", b"a" * 32)
        made = [services.create_schedule(hourly(), created_by="me", idempotency=key) for _ in range(2)]
        assert [each.replayed for each in made] == [False, True]
        assert made[0].schedule == made[1].schedule
        with pytest.raises(IdempotencyConflict):
            services.create_schedule(hourly(), created_by="me", idempotency=Idempotency("k", b"b" * 32))
        services.delete_schedule(made[0].schedule.pk, actor="me")
        assert IdempotencyKey.objects.count() == 0


class TestEdit:
    def test_takes_effect_at_once_and_fires_nothing(self, session: Session, woken: list[str]) -> None:
        schedule = create()
        edited = edit(schedule, cron="*/5 * * * *", name="often")
        assert edited.next_slot <= whole_now() + 5 * MINUTE  # type: ignore[operator]
        assert (edited.version, edited.name) == (2, "often")
        assert fire_due(session).schedules == 0
        assert AuditEvent.objects.get(action="schedule.edited").detail == {"fields": ["cron", "name"]}
        assert woken == ["schedulers"] * 2

    def test_of_the_template_leaves_the_next_slot_alone_and_is_for_the_next_only(self, session: Session) -> None:
        schedule = make_schedule(due=0)
        edited = edit(schedule, task=replace(TASK, queue="other"))
        assert (edited.next_slot, edited.next_fire_at) == (schedule.next_slot, schedule.next_fire_at)
        assert edited.task["queue"] == "other"

    def test_decides_first_what_was_due_as_it_was_meant(self, session: Session) -> None:
        schedule = make_schedule(due=2, task={"type": "DUMMY", "payload": {}, "queue": "old"})
        edited = edit(schedule, task=TASK, interval_seconds=None, cron="0 0 1 1 *")
        assert states(schedule) == ["COALESCED", "FIRED"]
        assert [task.queue for task in tasks_of(schedule)] == ["old"]
        assert edited.next_slot > whole_now() + MINUTE  # type: ignore[operator]

    def test_that_changes_nothing_is_none(self, session: Session) -> None:
        schedule = create()
        assert edit(schedule).version == 1
        assert actions(schedule) == ["schedule.created"]

    def test_to_times_that_are_past_fires_nothing_of_the_past(self, session: Session) -> None:
        schedule = create()
        edit(schedule, start_at=whole_now() - 5000 * HOUR, cron="* * * * *")
        assert fire_due(session).schedules == 0

    def test_that_switches_off_and_on_neither_runs_nor_repeats(self, session: Session) -> None:
        schedule = make_schedule(due=2)
        off = edit(schedule, enabled=False)
        assert (off.next_slot, states(schedule), tasks_of(schedule)) == (None, ["SKIPPED_PAUSED"] * 2, [])
        on = edit(off, enabled=True)
        assert on.next_slot > whole_now()  # type: ignore[operator]
        assert fire_due(session).schedules == 0

    def test_tells_of_a_slot_that_was_waiting(self, session: Session) -> None:
        """Its time had come, but not its jitter: under the new times it does not exist."""
        schedule = make_schedule(jitter_seconds=30, next_fire_at=whole_now() + HOUR)
        edit(schedule, interval_seconds=7200)
        [row] = ledger(schedule)
        assert (row.state, row.slot) == ("MISSED", schedule.next_slot)
        assert "edited" in row.note

    def test_of_its_calendars_has_a_waiting_slot_looked_at_again(self, session: Session) -> None:
        now = whole_now()
        until = f"{now + HOUR:%Y-%m-%dT%H:%M:%SZ}"
        make_calendar("freeze", {"from": f"{now - HOUR:%Y-%m-%dT%H:%M:%SZ}", "to": until}, on_blackout="run_at_end")
        schedule = make_schedule(calendars=["freeze"])
        fire_due(session)
        assert states(schedule) == []
        edit(schedule, calendars=())
        fire_due(session)
        assert states(schedule) == ["FIRED"]

    def test_is_refused_when_somebody_was_faster(self, session: Session) -> None:
        schedule = create()
        edit(schedule, description="mine")
        with pytest.raises(Stale, match="the schedule has changed"):
            services.edit_schedule(schedule.pk, lambda now: now, actor="me", versions=[1])
        with pytest.raises(ScheduleNotFound):
            services.edit_schedule(unknown_id(), lambda now: now, actor="me")

    def test_of_something_else_is_allowed_once_it_has_ended(self, session: Session) -> None:
        schedule = make_schedule(
            due=0, interval_seconds=None, rrule="FREQ=DAILY;COUNT=1", next_slot=None, next_fire_at=None,
            anchor_at=whole_now() - 100 * HOUR,
        )  # fmt: skip
        assert edit(schedule, description="done").description == "done"

    def test_waits_for_a_pass_and_then_sees_what_it_did(self, session: Session, open_session: OpenSession) -> None:
        schedule, other = make_schedule(), open_session()
        with transaction(other), other.connection.cursor() as cursor:
            rows = other.rows("due_schedules", {"limit": 5})
            fire(cursor, [StoredSchedule._make(row) for row in rows])
            change = rival(lambda: edit(schedule, interval_seconds=3600))
            change.waits(session)
        assert change.answer().next_slot > whole_now()  # type: ignore[operator]
        assert states(schedule) == ["FIRED"]

    def test_passes_over_by_a_pass_until_it_is_done(self, session: Session, open_session: OpenSession) -> None:
        schedule, other = make_schedule(), open_session()
        with transaction(other):
            other.fetch("SELECT 1 FROM schedules WHERE id = %s FOR NO KEY UPDATE", [schedule.pk])
            assert fire_due(session).schedules == 0
        assert fire_due(session).schedules == 1


class TestPauseAndResume:
    def test_neither_fires_at_once_nor_forgets(self, session: Session) -> None:
        schedule = make_schedule(due=0)
        paused = services.pause_schedule(schedule.pk, actor="ops", reason="broken")
        assert (paused.paused, paused.paused_by, paused.pause_reason, paused.version) == (True, "ops", "broken", 2)
        move_back([schedule.pk], 3 * MINUTE)
        Schedule.objects.filter(pk=schedule.pk).update(paused_at=whole_now() - HOUR)
        fire_due(session)
        assert states(schedule) == ["SKIPPED_PAUSED"] * 3
        resumed = services.resume_schedule(schedule.pk, actor="ops")
        assert (resumed.paused, resumed.version) == (False, 3)
        assert resumed.next_slot > whole_now()  # type: ignore[operator]
        assert fire_due(session).schedules == 0
        move_back([schedule.pk], MINUTE)
        Schedule.objects.filter(pk=schedule.pk).update(resumed_at=whole_now() - MINUTE)
        fire_due(session)
        assert states(schedule) == ["SKIPPED_PAUSED"] * 3 + ["FIRED"]
        assert actions(schedule) == ["schedule.paused", "schedule.resumed"]

    def test_decides_the_slots_of_the_pause_although_no_scheduler_ran(self, session: Session) -> None:
        """Also of the pause before the last: each resumption settles its own."""
        schedule = make_schedule(due=3)
        services.pause_schedule(schedule.pk, actor="ops")
        services.resume_schedule(schedule.pk, actor="ops")
        assert states(schedule) == ["SKIPPED_PAUSED"] * 3
        services.pause_schedule(schedule.pk, actor="ops")
        assert services.resume_schedule(schedule.pk, actor="ops").next_slot > whole_now()  # type: ignore[operator]

    def test_twice_changes_nothing_more(self, session: Session) -> None:
        schedule = create()
        assert services.resume_schedule(schedule.pk, actor="ops").version == 1
        services.pause_schedule(schedule.pk, actor="ops", reason="first")
        again = services.pause_schedule(schedule.pk, actor="ops", reason="second")
        assert (again.version, again.pause_reason) == (2, "first")

    def test_is_refused_when_somebody_was_faster(self, session: Session) -> None:
        schedule = create()
        for change in (services.pause_schedule, services.resume_schedule):
            with pytest.raises(Stale):
                change(schedule.pk, actor="ops", versions=[7])


class TestDelete:
    def test_keeps_ledger_and_tasks(self, session: Session) -> None:
        schedule = make_schedule()
        fire_due(session)
        services.delete_schedule(schedule.pk, actor="me", reason="gone")
        assert not Schedule.objects.exists()
        assert (states(schedule), len(tasks_of(schedule))) == (["FIRED"], 1)
        event = AuditEvent.objects.get(action="schedule.deleted")
        assert (event.target, event.reason) == (f"schedule:{schedule.name}", "gone")
        with pytest.raises(ScheduleNotFound):
            services.delete_schedule(schedule.pk, actor="me")


class TestClone:
    def test_is_disabled_and_otherwise_the_same(self, session: Session) -> None:
        schedule = create(misfire_policy="skip")
        clone = services.clone_schedule(schedule.pk, name="copy", actor="you")
        wanted = replace(services.definition_of(schedule), name="copy", enabled=False)
        assert services.definition_of(clone) == wanted
        assert (clone.created_by, clone.next_slot) == ("you", None)
