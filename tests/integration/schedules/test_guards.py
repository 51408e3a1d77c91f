"""Whoever may not run commands gets none run by a schedule that turns to them between their look and their request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from access_app.rights import Action, KeyCaller, Refused
from schedules_app import calendar_services, guards, manual_runs, services
from schedules_app.models import BlackoutCalendar, Schedule
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.races import rival, transaction
from tests.support.schedules import MINUTE, make_calendar, make_schedule, whole_now

OpenSession = Callable[[], Session]
SHELL = {"type": "SHELL", "payload": {"command": "true"}}
MODEST = KeyCaller("modest", frozenset({"schedules:write"}))


def resume(schedule_id: UUID) -> Any:
    guard = guards.may_run(MODEST, Action.SCHEDULE_RESUME)
    return services.resume_schedule(schedule_id, actor="modest", guard=guard)


def trigger(schedule_id: UUID) -> Any:
    guard = guards.may_run(MODEST, Action.SCHEDULE_TRIGGER)
    return manual_runs.trigger_schedule(schedule_id, actor="modest", guard=guard)


def backfill(schedule_id: UUID) -> Any:
    guard, until = guards.may_run(MODEST, Action.SCHEDULE_BACKFILL), whole_now()
    return manual_runs.backfill_schedule(schedule_id, since=until - MINUTE, until=until, actor="modest", guard=guard)


def edit(schedule_id: UUID) -> Any:
    change = guards.schedule_change(MODEST, lambda before: replace(before, jitter_seconds=1))
    return services.edit_schedule(schedule_id, change, actor="modest")


class TestMayRun:
    @pytest.mark.parametrize("act", [resume, trigger, backfill, edit])
    def test_looks_at_what_the_schedule_runs_under_its_lock(
        self, open_session: OpenSession, act: Callable[[UUID], Any]
    ) -> None:
        other, watcher = open_session(), open_session()
        schedule = make_schedule(due=0, paused_at=whole_now(), paused_by="root")
        with transaction(other):
            other.execute("UPDATE schedules SET task = %s::jsonb WHERE id = %s", [json.dumps(SHELL), schedule.pk])
            running = rival(lambda: act(schedule.pk))
            running.waits(watcher)
        with pytest.raises(Refused, match="tasks:shell"):
            running.answer()
        assert (Schedule.objects.get().paused, Task.objects.count(), AuditEvent.objects.count()) == (True, 0, 0)

    def test_lets_those_pass_who_may(self, session: Session) -> None:
        schedule = make_schedule(due=0, task=SHELL, paused_at=whole_now())
        root = KeyCaller("root", frozenset({"schedules:write", "tasks:shell"}))
        guard = guards.may_run(root, Action.SCHEDULE_RESUME)
        assert not services.resume_schedule(schedule.pk, actor="root", guard=guard).paused


class TestScheduleChange:
    @pytest.mark.parametrize("before", ["SHELL", "DUMMY"])
    def test_neither_begins_nor_ends_with_commands(self, session: Session, before: str) -> None:
        tasks = {"SHELL": SHELL, "DUMMY": {"type": "DUMMY", "payload": {}}}
        schedule = make_schedule(due=0, task=tasks.pop(before))
        [after] = tasks.values()
        change = guards.schedule_change(
            MODEST, lambda was: replace(was, task=replace(was.task, type=after["type"], payload=after["payload"]))
        )
        with pytest.raises(Refused, match="tasks:shell"):
            services.edit_schedule(schedule.pk, change, actor="modest")
        assert Schedule.objects.get().version == 1


class TestCalendarChange:
    def test_moves_no_schedule_that_runs_commands(self, session: Session) -> None:
        make_calendar("freeze", {"from": "2020-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"})
        make_calendar("other", {"dates": "12-24/12-26"})
        make_schedule(due=0, calendars=["freeze", "other"])
        make_schedule(due=0, task=SHELL, calendars=["freeze"])
        change = guards.calendar_change(MODEST, lambda before: replace(before, on_blackout="run_at_end"))
        with pytest.raises(Refused, match="tasks:shell"):
            calendar_services.edit_calendar("freeze", change, actor="modest")
        calendar_services.edit_calendar("other", change, actor="modest")
        assert dict(BlackoutCalendar.objects.values_list("name", "version")) == {"freeze": 1, "other": 2}
